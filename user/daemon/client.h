/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the commands share that ask the session of one process: -p PID, and the question. */
#ifndef TMBPF_DAEMON_CLIENT_H
#define TMBPF_DAEMON_CLIENT_H

#include <argp.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>

struct error;

struct target_options { /* as they were given */
	const char *pid;
};

/* To be a child of the command's parser, whose input for it is a struct target_options. */
extern const struct argp target_argp;

/* A usage error if -p is missing. */
struct error *target_pid(const struct target_options *given, pid_t *ret);

/* Asks PID's session COMMAND, with the members of ARGUMENTS (NULL none). See control_request(). */
struct error *target_request(pid_t pid, const char *command, json_object *arguments,
			     json_object **ret, void **ret_payload, size_t *ret_size);

/* The same; of a session that has ended with its process it is said that it has (ERROR_NOTHING). */
struct error *target_request_alive(pid_t pid, const char *command, json_object *arguments,
				   json_object **ret, void **ret_payload, size_t *ret_size);

/* The session's status, or the last one if it has ended with its process. */
struct error *target_status(pid_t pid, json_object **ret);
/* The bytes of the session's snapshot, or of what one that has ended has left; malloc'd. */
struct error *target_snapshot_bytes(pid_t pid, void **ret, size_t *ret_size);

/* The snapshot that is packed in a reply's payload. */
struct snapshot;
struct error *target_snapshot(const void *payload, size_t size, struct snapshot **ret);

#endif
