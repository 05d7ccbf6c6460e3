/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The control socket: how other commands reach a session. A Unix socket for each target, for the session's user and root
 * alone, in a folder of that user's own (trace/session/run_folder.h); a request is one line of JSON, {"command": NAME, ...}; the reply one line of JSON, followed by as many
 * bytes as its "payload" says, where it has one. A failed request's reply has "error", "kind" and "advice".
 */
#ifndef TMBPF_TRACE_SESSION_CONTROL_H
#define TMBPF_TRACE_SESSION_CONTROL_H

#include <json-c/json.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/json_read.h"

struct error;

/*
 * Takes the place of the one session of PID: a lock that lives as long as the descriptor RET_LOCK is open. Fails with
 * ERROR_FAILED if another session has it.
 */
struct error *control_lock(pid_t pid, int *ret_lock);

/* A socket that listens for PID's session; any stale one is replaced. Needs the lock. */
struct error *control_listen(pid_t pid, int *ret);
void control_unlisten(pid_t pid, int fd);

/*
 * Server side: reads one request from the connection FD (at most 64 KiB, within a second). Only the session's own user's and root's
 * are taken.
 */
struct error *control_receive(int fd, json_object **ret);
struct error *control_reply(int fd, json_object *reply, const void *payload, size_t size);
struct error *control_reply_error(int fd, const struct error *error);

/*
 * Client side: sends REQUEST to the session of PID and returns its reply, and its payload if RET_PAYLOAD is not NULL (malloc'd).
 * ERROR_NOTHING if there is no session; an error that the session replied comes back as it was.
 */
struct error *control_request(pid_t pid, json_object *request, json_object **ret,
			      void **ret_payload, size_t *ret_size);

/* The pids that have a session, ascending; malloc'd. */
struct error *control_sessions(pid_t **ret, size_t *ret_count);

/* The pids for which there is FOLDER/PID.KIND, ascending; malloc'd. */
struct error *control_files(const char *kind, pid_t **ret, size_t *ret_count);

/* What an ended session left: FOLDER/PID.KIND. Returns a malloc'd path. */
char *control_path(pid_t pid, const char *kind);

/*
 * A group of sessions, which one process starts and watches, has a socket and a lock as well: FOLDER/group-NAME.sock.
 * NAME is of at most CONTROL_GROUP_MAX letters, digits, '.', '_' and '-'. The functions are as those of a process.
 */
#define CONTROL_GROUP_MAX 64

struct error *control_group_lock(const char *name, int *ret_lock);
struct error *control_group_listen(const char *name, int *ret);
void control_group_unlisten(const char *name, int fd);
struct error *control_group_request(const char *name, json_object *request, json_object **ret);
char *control_group_path(const char *name, const char *kind);
/* The names for which there is a file of KIND, in order; "sock": those that answer. control_names_destroy() frees them. */
struct error *control_groups(const char *kind, char ***ret, size_t *ret_count);
void control_names_destroy(char **names, size_t count);

#endif
