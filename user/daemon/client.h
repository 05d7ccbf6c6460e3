/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How the session of a process is asked: the other end of daemon/serve.h. */
#ifndef TMBPF_DAEMON_CLIENT_H
#define TMBPF_DAEMON_CLIENT_H

#include <stddef.h>
#include <sys/types.h>

struct error;
struct json;
struct json_object;
struct snapshot;

/*
 * Asks PID's session COMMAND, with the members of ARGUMENTS, a tree of its own (NULL: none), which
 * is freed. RET and a payload are as control_request() has them.
 */
struct error *client_request(pid_t pid, const char *command, struct json *arguments,
			     struct json_object **ret, void **ret_payload, size_t *ret_size);

/* The same; of a session that has ended with its process the error (ERROR_NOTHING) says so. */
struct error *client_request_alive(pid_t pid, const char *command, struct json *arguments,
				   struct json_object **ret, void **ret_payload, size_t *ret_size);

/* Ends PID's session. ERROR_NOTHING if there is none. */
struct error *client_stop(pid_t pid);

/* The session's status, or the last one if it has ended with its process. */
struct error *client_status(pid_t pid, struct json_object **ret);
/* The bytes of the session's snapshot, or of what one that has ended has left; malloc'd. */
struct error *client_snapshot_bytes(pid_t pid, void **ret, size_t *ret_size);

/* The snapshot that is packed in a reply's payload. */
struct error *client_snapshot(const void *payload, size_t size, struct snapshot **ret);

#endif
