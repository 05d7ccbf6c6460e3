/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What sessions leave that ended because their target did: the last status and the last snapshot,
 * as files beside the control sockets. The newest ENDED_MAX are kept.
 */
#ifndef TMBPF_DAEMON_ARCHIVE_H
#define TMBPF_DAEMON_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct error;
struct json_object;

#define ENDED_MAX 32

struct error *ended_store(pid_t pid, struct json_object *status, const void *snapshot, size_t size);
/* ERROR_NOTHING if PID's session left none. */
struct error *ended_status(pid_t pid, struct json_object **ret);
struct error *ended_snapshot(pid_t pid, void **ret, size_t *ret_size);
/* The pids of those that left something, ascending; malloc'd. */
struct error *ended_sessions(pid_t **ret, size_t *ret_count);
/* Removes both; false if there was nothing. */
bool ended_forget(pid_t pid);
/* Whether what PID's session left is of GROUP: the pid may have been another's since. */
bool ended_is_of(pid_t pid, const char *group);
/* Removes both if they are. */
void ended_forget_of(pid_t pid, const char *group);

#endif
