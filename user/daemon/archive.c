// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What sessions leave that ended because their target did. */
#include "daemon/archive.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/output.h"
#include "trace/session/control.h"
#include "trace/session/run_folder.h"

#define FILE_MAX (1ll << 30)

static struct error *file_write(pid_t pid, const char *kind, const void *data, size_t size)
{
	cleanup(output_cleanup) struct output *output = NULL;
	cleanup_free char *path = control_path(pid, kind);

	if (!path)
		return error_create_errno(ERROR_FAILED, ENOMEM,
					  "cannot keep the last totals of process %d", pid);
	try(output_create(path, &output));
	try(output_write(output, data, size));
	return output_commit(output);
}

static struct error *file_read(pid_t pid, const char *kind, void **ret, size_t *ret_size)
{
	cleanup_free char *path = control_path(pid, kind), *data = NULL;
	cleanup_file FILE *file = path ? fopen(path, "re") : NULL;
	struct stat found;

	if (!file)
		return error_create(ERROR_NOTHING, "process %d is not traced", pid);
	if (fstat(fileno(file), &found) || found.st_size > FILE_MAX)
		return error_create(ERROR_FAILED, "cannot read %s", path);
	data = malloc(found.st_size + 1);
	if (!data || fread(data, 1, found.st_size, file) != (size_t)found.st_size)
		return error_create_errno(ERROR_FAILED, data ? errno : ENOMEM, "cannot read %s",
					  path);
	data[found.st_size] = 0;
	*ret = take(data);
	*ret_size = found.st_size;
	return NULL;
}

/* The pid of the session that ended first of all that are kept; 0 if there are few. */
static struct error *ended_oldest(pid_t *ret)
{
	cleanup_free pid_t *pids = NULL;
	struct timespec oldest = {0};
	size_t count = 0;
	pid_t pid = 0;

	try(ended_sessions(&pids, &count));
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *path = control_path(pids[i], "status");
		struct stat found;

		if (!path || stat(path, &found))
			continue;
		if (!pid || found.st_mtim.tv_sec < oldest.tv_sec ||
		    (found.st_mtim.tv_sec == oldest.tv_sec &&
		     found.st_mtim.tv_nsec < oldest.tv_nsec)) {
			oldest = found.st_mtim;
			pid = pids[i];
		}
	}
	*ret = count > ENDED_MAX ? pid : 0;
	return NULL;
}

struct error *ended_sessions(pid_t **ret, size_t *ret_count)
{
	return control_files("status", ret, ret_count);
}

struct error *ended_store(pid_t pid, struct json_object *status, const void *snapshot, size_t size)
{
	const char *text = json_pack(status);
	pid_t oldest;

	if (!text)
		return error_create_errno(ERROR_FAILED, ENOMEM,
					  "cannot keep the last totals of process %d", pid);
	try(run_folder_make());
	try(file_write(pid, "snapshot", snapshot, size));
	try(file_write(pid, "status", text, strlen(text)));
	do
		try(ended_oldest(&oldest));
	while (oldest && ended_forget(oldest));
	return NULL;
}

struct error *ended_status(pid_t pid, struct json_object **ret)
{
	cleanup_free void *data = NULL;
	struct json_object *status;
	size_t size;

	try(file_read(pid, "status", &data, &size));
	status = json_parse(data);
	if (!status)
		return error_create(ERROR_FAILED, "what process %d's session left is damaged", pid);
	*ret = status;
	return NULL;
}

struct error *ended_snapshot(pid_t pid, void **ret, size_t *ret_size)
{
	return file_read(pid, "snapshot", ret, ret_size);
}

bool ended_forget(pid_t pid)
{
	cleanup_free char *status = control_path(pid, "status"),
			  *snapshot = control_path(pid, "snapshot");
	bool found = false;

	if (status)
		found |= !unlink(status);
	if (snapshot)
		found |= !unlink(snapshot);
	return found;
}

bool ended_is_of(pid_t pid, const char *group)
{
	cleanup(json_cleanup) struct json_object *status = NULL;
	const char *name;

	error_destroy(ended_status(pid, &status));
	return json_read_text(status, "group", &name) && !strcmp(name, group);
}

void ended_forget_of(pid_t pid, const char *group)
{
	if (ended_is_of(pid, group))
		ended_forget(pid);
}
