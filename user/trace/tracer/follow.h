/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells of processes as they start, become another program by exec, and end: those of a tree, of a
 * control group, or all. Each of these events costs a process some hundred nanoseconds. One thread
 * uses it.
 */
#ifndef TMBPF_TRACE_TRACER_FOLLOW_H
#define TMBPF_TRACE_TRACER_FOLLOW_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/follow_record.h"

struct error;
struct follow;

/*
 * Begins with SCOPE. FOLDER is that of the control group, of version 2, if SCOPE is FOLLOW_CGROUP.
 * A tree is empty until processes are added.
 */
struct error *follow_create(enum follow_scope scope, const char *folder, struct follow **ret);
/* NULL is accepted. */
void follow_destroy(struct follow *follow);

/* Makes PID, which PARENT started, a member of the tree, and all that PID starts from now on. */
struct error *follow_add(struct follow *follow, pid_t pid, pid_t parent);

/* Removes a process that ended while it was added: its pid may soon be another's. */
void follow_remove(struct follow *follow, pid_t pid);

/*
 * For FOLLOW_CGROUP: whether FOLDER is another control group now than the one that is watched. If
 * so it is watched from now on. One that is gone stays what it was.
 */
struct error *follow_cgroup(struct follow *follow, const char *folder, bool *ret);

/* The members of the tree now, and who started each; malloc'd. */
struct follow_member {
	pid_t pid, parent;
};
struct error *follow_members(struct follow *follow, struct follow_member **ret, size_t *ret_count);

typedef void (*follow_handler)(void *context, const struct follow_record *record);

/*
 * A descriptor to wait for, and a call that hands the records that are there to HANDLE, in order.
 */
int follow_fd(const struct follow *follow);
void follow_consume(struct follow *follow, follow_handler handle, void *context);

/* Records and processes for which there was no room. */
void follow_losses(const struct follow *follow, uint64_t *ret_events, uint64_t *ret_members);

#endif
