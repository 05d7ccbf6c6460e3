/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The control socket: how other commands reach a session.
 *
 * Each session listens at a Unix socket in the run folder (trace/session/run_folder.h); only root
 * and the session's own user may connect. A request is one line of JSON: {"command": NAME, ...}.
 * The reply is one line of JSON too; where it has "payload", that many bytes follow. The reply to a
 * request that failed has "error", "kind" and "advice".
 */
#ifndef TMBPF_TRACE_SESSION_CONTROL_H
#define TMBPF_TRACE_SESSION_CONTROL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct json_object;

/*
 * Takes the lock of PID's session. There is one session at a time: this fails with ERROR_FAILED if
 * another one has the lock. The lock lives as long as the descriptor RET_LOCK is open.
 */
struct error *control_lock(pid_t pid, int *ret_lock);

/* Opens a socket that listens for PID's session, in the place of a stale one. Needs the lock. */
struct error *control_listen(pid_t pid, int *ret);
void control_unlisten(pid_t pid, int fd);

/*
 * Server side: reads one request from the connection FD, at most 64 KiB within a second. Refuses
 * who is neither root nor the session's own user.
 */
struct error *control_receive(int fd, struct json_object **ret);
struct error *control_reply(int fd, struct json_object *reply, const void *payload, size_t size);
struct error *control_reply_error(int fd, const struct error *error);

/*
 * Client side: sends REQUEST to the session of PID and returns its reply. Reads the payload too,
 * malloc'd, unless RET_PAYLOAD is NULL. Fails with ERROR_NOTHING if there is no session, and with
 * the session's own error if that is what it replied.
 */
struct error *control_request(pid_t pid, struct json_object *request, struct json_object **ret,
			      void **ret_payload, size_t *ret_size);

/* The pids that have a session, ascending; malloc'd. */
struct error *control_sessions(pid_t **ret, size_t *ret_count);

/* The pids for which the run folder has a file PID.KIND, ascending; malloc'd. */
struct error *control_files(const char *kind, pid_t **ret, size_t *ret_count);

/* The path of PID's file of KIND in the run folder, malloc'd. */
char *control_path(pid_t pid, const char *kind);

/*
 * A group of sessions is started and watched by one process. It has a lock and a socket too:
 * group-NAME.sock. NAME is of at most CONTROL_GROUP_MAX letters, digits, '.', '_' and '-'. These
 * functions are like those of a process.
 */
#define CONTROL_GROUP_MAX 64

struct error *control_group_lock(const char *name, int *ret_lock);
struct error *control_group_listen(const char *name, int *ret);
void control_group_unlisten(const char *name, int fd);
struct error *control_group_request(const char *name, struct json_object *request,
				    struct json_object **ret);
char *control_group_path(const char *name, const char *kind);
/*
 * The names of the groups that have a file of KIND, sorted. For "sock": those that answer.
 * control_names_destroy() frees them.
 */
struct error *control_groups(const char *kind, char ***ret, size_t *ret_count);
void control_names_destroy(char **names, size_t count);

#endif
