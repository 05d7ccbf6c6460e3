// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How the session of a process is asked; or what it left is read, where it has ended. */
#include "daemon/client.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "daemon/archive.h"
#include "format/pprof.h"
#include "trace/session/control.h"

struct error *client_request(pid_t pid, const char *command, struct json *arguments,
			     struct json_object **ret, void **ret_payload, size_t *ret_size)
{
	cleanup(json_deinit) struct json request;

	if (arguments)
		request = *arguments;
	else
		json_init(&request);
	json_text(&request, request.root, "command", command);
	try(json_built(&request));
	return control_request(pid, request.root, ret, ret_payload, ret_size);
}

struct error *client_request_alive(pid_t pid, const char *command, struct json *arguments,
				   struct json_object **ret, void **ret_payload, size_t *ret_size)
{
	struct error *error = client_request(pid, command, arguments, ret, ret_payload, ret_size);
	cleanup(json_cleanup) struct json_object *last = NULL;
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
		"`tmbpf status -p %d` and `tmbpf snapshot -p %d -o FILE` still tell what it held "
		"last.",
		pid, pid);
}

struct error *client_stop(pid_t pid)
{
	cleanup(json_cleanup) struct json_object *reply = NULL;

	return client_request(pid, "stop", NULL, &reply, NULL, NULL);
}

struct error *client_status(pid_t pid, struct json_object **ret)
{
	struct error *error, *ended;
	struct json arguments;

	json_init(&arguments);
	json_flag(&arguments, arguments.root, "growth", true);
	error = client_request(pid, "status", &arguments, ret, NULL, NULL);
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

struct error *client_snapshot_bytes(pid_t pid, void **ret, size_t *ret_size)
{
	cleanup(json_cleanup) struct json_object *reply = NULL;
	struct error *error = client_request(pid, "snapshot", NULL, &reply, ret, ret_size);
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

struct error *client_snapshot(const void *payload, size_t size, struct snapshot **ret)
{
	cleanup_fd int fd = memfd_create("snapshot", MFD_CLOEXEC);
	char path[40];

	if (fd < 0 || write(fd, payload, size) != (ssize_t)size)
		return error_create_errno(ERROR_FAILED, errno, "cannot take in a snapshot");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return pprof_read(path, NULL, ret);
}
