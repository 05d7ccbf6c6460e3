// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "daemon/client.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include "daemon/archive.h"
#include "format/pprof.h"
#include "trace/session/control.h"

static const struct argp_option options[] = {
	{"pid", 'p', "PID", 0, "The process", 0},
	{0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct target_options *given = state->input;

	if (key != 'p')
		return ARGP_ERR_UNKNOWN;
	given->pid = value;
	return 0;
}

const struct argp target_argp = {.options = options, .parser = parse_option};

struct error *target_pid(const struct target_options *given, pid_t *ret)
{
	if (!given->pid)
		return error_create(ERROR_USAGE, "-p PID is missing");
	return option_pid("-p", given->pid, ret);
}

struct error *target_request(pid_t pid, const char *command, json_object *arguments,
			     json_object **ret, void **ret_payload, size_t *ret_size)
{
	cleanup(json_cleanup) json_object *request = arguments ? arguments
							       : json_object_new_object();

	json_object_object_add(request, "command", json_object_new_string(command));
	return control_request(pid, request, ret, ret_payload, ret_size);
}

struct error *target_request_alive(pid_t pid, const char *command, json_object *arguments,
				   json_object **ret, void **ret_payload, size_t *ret_size)
{
	struct error *error = target_request(pid, command, arguments, ret, ret_payload, ret_size);
	cleanup(json_cleanup) json_object *last = NULL;
	struct error *ended;

	if (!error || error_kind(error) != ERROR_NOTHING)
		return error;
	ended = ended_status(pid, &last);
	if (ended) {
		error_destroy(ended);
		return error;
	}
	error_destroy(error);
	return error_advise(
		error_create(ERROR_NOTHING, "process %d has ended, and its session with it", pid),
		"`tmbpf status -p %d` and `tmbpf snapshot -p %d -o FILE` still tell what it held last.",
		pid, pid);
}

struct error *target_status(pid_t pid, json_object **ret)
{
	json_object *request = json_object_new_object();
	struct error *error, *ended;

	json_object_object_add(request, "growth", json_object_new_boolean(true));
	error = target_request(pid, "status", request, ret, NULL, NULL);
	if (!error || error_kind(error) != ERROR_NOTHING)
		return error;
	ended = ended_status(pid, ret);
	if (!ended) {
		error_destroy(error);
		return NULL;
	}
	error_destroy(ended);
	return error;
}

struct error *target_snapshot_bytes(pid_t pid, void **ret, size_t *ret_size)
{
	cleanup(json_cleanup) json_object *reply = NULL;
	struct error *error = target_request(pid, "snapshot", NULL, &reply, ret, ret_size);
	struct error *ended;

	if (!error || error_kind(error) != ERROR_NOTHING)
		return error;
	ended = ended_snapshot(pid, ret, ret_size);
	if (!ended) {
		error_destroy(error);
		return NULL;
	}
	error_destroy(ended);
	return error;
}

struct error *target_snapshot(const void *payload, size_t size, struct snapshot **ret)
{
	cleanup_fd int fd = memfd_create("snapshot", MFD_CLOEXEC);
	char path[40];

	if (fd < 0 || write(fd, payload, size) != (ssize_t)size)
		return error_create_errno(ERROR_FAILED, errno, "cannot take in a snapshot");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return pprof_read(path, NULL, ret);
}
