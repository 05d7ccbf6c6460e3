// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The last status of a group, as a file beside the control sockets. */
#include "daemon/group/group_status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/output.h"
#include "trace/session/control.h"

#define STATUS_MAX (64 << 20)

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "a group of processes");
}

struct error *group_status_store(const char *name, struct json_object *status)
{
	cleanup(output_cleanup) struct output *output = NULL;
	cleanup_free char *path = control_group_path(name, "status");
	const char *text = json_pack(status);

	if (!path || !text)
		return no_memory();
	try(output_create(path, &output));
	try(output_write(output, text, strlen(text)));
	return output_commit(output);
}

struct error *group_status_read(const char *name, struct json_object **ret)
{
	cleanup_free char *path = control_group_path(name, "status"), *text = NULL;
	cleanup_file FILE *file = path ? fopen(path, "re") : NULL;
	struct json_object *status;
	size_t size;

	if (!file)
		return error_create(ERROR_NOTHING, "the group %s is not traced", name);
	text = malloc(STATUS_MAX + 1);
	if (!text)
		return no_memory();
	size = fread(text, 1, STATUS_MAX, file);
	text[size] = 0;
	status = json_parse(text);
	if (!status)
		return error_create(ERROR_FAILED, "what the group %s left is damaged", name);
	*ret = status;
	return NULL;
}

void group_status_forget(const char *name)
{
	cleanup_free char *path = control_group_path(name, "status");

	if (path)
		unlink(path);
}
