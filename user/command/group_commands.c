// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How several commands begin and end the tracing of a group. */
#include "command/group_commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_read.h"
#include "base/text.h"
#include "daemon/archive.h"
#include "daemon/client.h"
#include "daemon/group/group_client.h"
#include "daemon/group/group_serve.h"
#include "daemon/group/group_status.h"
#include "daemon/group/group_target.h"

/* What could not be traced, and why, on standard error. */
static void failures_print(struct json_object *status)
{
	struct json_object *processes = json_get_array(status, "processes");

	for (size_t i = 0; i < json_length(processes); i++) {
		struct json_object *process = json_at(processes, i);
		cleanup_free char *reason = text_display(json_get_text(process, "reason"));

		if (!strcmp(json_get_text(process, "state"), "failed"))
			fprintf(stderr, "tmbpf: not traced: %s\n", reason ? reason : "");
	}
}

/* Whether there are processes, and none of them can be traced. */
static bool none_traceable(struct json_object *counts)
{
	return !json_get_number(counts, "traced") && json_get_number(counts, "failed") &&
	       !json_get_number(counts, "starting") && !json_get_number(counts, "new");
}

struct error *group_command_start(const struct group_wanted *wanted,
				  const struct tracer_options *options, FILE *out, char **ret_name)
{
	cleanup(group_target_deinit) struct group_target target = {0};
	cleanup(json_cleanup) struct json_object *status = NULL;
	cleanup_free char *title = NULL;
	struct json_object *counts;
	uint64_t traced;

	try(group_target_init(wanted, &target));
	try(group_start(&target, options));
	try(group_status_fetch(target.name, &status));
	counts = json_get_object(status, "counts");
	failures_print(status);
	title = text_display(target.title);
	if (none_traceable(counts)) {
		error_destroy(group_request_stop(target.name));
		return error_create(ERROR_FAILED, "%s: no process can be traced",
				    title ? title : "");
	}
	traced = json_get_number(counts, "traced");
	fprintf(out, "%s: %" PRIu64 " process%s traced; those that come later will be\n",
		title ? title : "", traced, traced == 1 ? " is" : "es are");
	if (!ret_name)
		return NULL;
	*ret_name = strdup(target.name);
	return *ret_name ? NULL : error_create_errno(ERROR_FAILED, ENOMEM, "a group of processes");
}

/*
 * Sessions whose watcher is gone are stopped one by one. Of a group that ended long ago only what
 * it left is touched: its pids may be others' by now.
 */
static void members_stop(const char *name, struct json_object *status)
{
	struct json_object *processes = json_get_array(status, "processes");
	bool ended = !strcmp(json_get_text(status, "state"), "ended");

	for (size_t i = 0; i < json_length(processes); i++) {
		pid_t pid = (pid_t)json_get_number(json_at(processes, i), "pid");

		ended_forget_of(pid, name);
		if (!ended)
			error_destroy(client_stop(pid));
	}
}

struct error *group_command_stop(const char *name)
{
	cleanup(json_cleanup) struct json_object *status = NULL;
	cleanup_free char *title = NULL;
	struct error *error;

	try(group_status_fetch(name, &status));
	title = text_display(json_get_text(status, "title"));
	error = group_request_stop(name);
	if (error && error_kind(error) == ERROR_NOTHING) {
		error_destroy(error);
		members_stop(name, status);
		group_status_forget(name);
		printf("%s has ended, and its last totals are forgotten\n", title ? title : "");
		return NULL;
	}
	try(error);
	printf("%s: nothing is traced any more\n", title ? title : "");
	return NULL;
}
