// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "command/group_commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "base/text.h"
#include "daemon/archive.h"
#include "daemon/group/group_serve.h"
#include "view/status_text.h"
#include "daemon/client.h"

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "a group of processes");
}

/* The COUNT processes of a group's status. */
static json_object *processes_of(json_object *status, size_t *ret_count)
{
	json_object *processes = NULL;

	*ret_count = 0;
	if (json_object_object_get_ex(status, "processes", &processes) &&
	    json_object_is_type(processes, json_type_array))
		*ret_count = json_object_array_length(processes);
	return processes;
}

static bool state_is(json_object *process, const char *state)
{
	return !strcmp(status_text(process, "state"), state);
}

/* What could not be traced, and why, on standard error. */
static void failures_print(json_object *status)
{
	size_t count;
	json_object *processes = processes_of(status, &count);

	for (size_t i = 0; i < count; i++) {
		json_object *process = json_object_array_get_idx(processes, i);
		cleanup_free char *reason = text_display(status_text(process, "reason"));

		if (state_is(process, "failed"))
			fprintf(stderr, "tmbpf: not traced: %s\n", reason ? reason : "");
	}
}

struct error *group_request_stop(const char *name)
{
	cleanup(json_cleanup) json_object *request = json_object_new_object(), *reply = NULL;

	json_object_object_add(request, "command", json_object_new_string("stop"));
	return control_group_request(name, request, &reply);
}

struct error *group_command_start(const struct group_target_options *given,
				  const struct tracer_options *options, FILE *out, char **ret_name)
{
	cleanup(group_target_deinit) struct group_target target = {0};
	cleanup(json_cleanup) json_object *status = NULL;
	cleanup_free char *title = NULL;
	json_object *counts;
	uint64_t traced;

	try(group_target_init(given, &target));
	try(group_start(&target, options));
	try(group_status_fetch(target.name, &status));
	json_object_object_get_ex(status, "counts", &counts);
	failures_print(status);
	title = text_display(target.title);
	if (!status_number(counts, "traced") && status_number(counts, "failed") &&
	    !status_number(counts, "starting") && !status_number(counts, "new")) {
		error_destroy(group_request_stop(target.name));
		return error_create(ERROR_FAILED, "%s: no process can be traced",
				    title ? title : "");
	}
	traced = status_number(counts, "traced");
	fprintf(out, "%s: %llu process%s traced; those that come later will be\n",
		title ? title : "", (unsigned long long)traced, traced == 1 ? " is" : "es are");
	if (!ret_name)
		return NULL;
	*ret_name = strdup(target.name);
	return *ret_name ? NULL : no_memory();
}

/*
 * Sessions whose watcher is gone are stopped one by one. Of a group that ended long ago only what it left is touched: its
 * pids may be others' by now.
 */
static struct error *members_stop(const char *name, json_object *status)
{
	size_t count;
	json_object *processes = processes_of(status, &count);

	for (size_t i = 0; i < count; i++) {
		json_object *process = json_object_array_get_idx(processes, i), *reply = NULL;
		pid_t pid = status_number(process, "pid");

		ended_forget_of(pid, name);
		if (state_is(status, "ended"))
			continue;
		error_destroy(target_request(pid, "stop", NULL, &reply, NULL, NULL));
		json_object_put(reply);
	}
	return NULL;
}

struct error *group_command_stop(const char *name)
{
	cleanup(json_cleanup) json_object *status = NULL;
	cleanup_free char *title = NULL;
	struct error *error;

	try(group_status_fetch(name, &status));
	title = text_display(status_text(status, "title"));
	error = group_request_stop(name);
	if (error && error_kind(error) == ERROR_NOTHING) {
		error_destroy(error);
		try(members_stop(name, status));
		group_status_forget(name);
		printf("%s has ended, and its last totals are forgotten\n", title ? title : "");
		return NULL;
	}
	try(error);
	printf("%s: nothing is traced any more\n", title ? title : "");
	return NULL;
}

struct error *group_command_clear(const char *name, bool peak)
{
	cleanup(json_cleanup) json_object *status = NULL;
	size_t count, cleared = 0;
	json_object *processes;

	try(group_status_fetch(name, &status));
	processes = processes_of(status, &count);
	for (size_t i = 0; i < count; i++) {
		json_object *process = json_object_array_get_idx(processes, i), *reply = NULL;
		json_object *request;
		struct error *error;

		if (!state_is(process, "traced"))
			continue;
		request = json_object_new_object();
		json_object_object_add(request, "peak", json_object_new_boolean(peak));
		error = target_request(status_number(process, "pid"), "clear", request, &reply,
				       NULL, NULL);
		json_object_put(reply);
		if (error && error_kind(error) != ERROR_NOTHING)
			return error;
		cleared += !error;
		error_destroy(error); /* it has ended meanwhile */
	}
	printf("%zu process%s: %s\n", cleared, cleared == 1 ? "" : "es",
	       peak ? "the peak is what each holds now" : "what was traced is forgotten");
	return NULL;
}

/* The last of a process that has ended: that of the group NAME, not of who has had its pid since. */
static struct error *ended_bytes(const char *name, pid_t pid, void **ret, size_t *ret_size)
{
	if (!ended_is_of(pid, name))
		return error_create(ERROR_NOTHING, "process %d is not traced", pid);
	return ended_snapshot(pid, ret, ret_size);
}

/* ENDED: the group NAME, whose process PID has ended; else NULL. */
static struct error *snapshot_write(const char *folder, pid_t pid, const char *ended, bool *ret)
{
	cleanup(output_cleanup) struct output *output = NULL;
	cleanup_free char *path = NULL;
	cleanup_free void *data = NULL;
	char text[TEXT_NUMBER_MAX];
	struct error *error;
	size_t size;

	error = ended ? ended_bytes(ended, pid, &data, &size)
		      : target_snapshot_bytes(pid, &data, &size);
	if (error && error_kind(error) == ERROR_NOTHING) {
		fprintf(stderr, "tmbpf: no snapshot of process %d: its session is gone\n", pid);
		error_destroy(error);
		return NULL;
	}
	try(error);
	if (asprintf(&path, "%s/%d.pb.gz", folder, pid) < 0) {
		path = NULL;
		return no_memory();
	}
	try(output_create(path, &output));
	try(output_write(output, data, size));
	try(output_commit(output));
	printf("%s: %s\n", path, text_size(size, text));
	*ret = true;
	return NULL;
}

struct error *group_command_folder(const char *folder)
{
	if (mkdir(folder, 0777) && errno != EEXIST)
		return error_create_errno(ERROR_FAILED, errno, "cannot make the folder %s", folder);
	return access(folder, W_OK | X_OK)
		       ? error_create_errno(ERROR_FAILED, errno, "cannot write into the folder %s",
					    folder)
		       : NULL;
}

struct error *group_command_snapshot(const char *name, const char *folder)
{
	cleanup(json_cleanup) json_object *status = NULL;
	size_t count, written = 0;
	json_object *processes;

	try(group_status_fetch(name, &status));
	try(group_command_folder(folder));
	processes = processes_of(status, &count);
	for (size_t i = 0; i < count; i++) {
		json_object *process = json_object_array_get_idx(processes, i);
		bool done = false;

		if (!state_is(process, "traced") && !state_is(process, "ended"))
			continue;
		try(snapshot_write(folder, status_number(process, "pid"),
				   state_is(process, "ended") ? name : NULL, &done));
		written += done;
	}
	if (!written)
		return error_create(ERROR_NOTHING, "the group %s has no session", name);
	return NULL;
}
