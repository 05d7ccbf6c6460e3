/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells of processes as they start, become another program by exec, and end: those of a tree, of a
 * control group, or all. Costs the processes nothing but some hundred nanoseconds at each of these
 * events. One thread uses it.
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
 * Begins with SCOPE; FOLDER is the control group's, of version 2, where that is FOLLOW_CGROUP. A
 * tree is empty: its processes are added.
 */
struct error *follow_create(enum follow_scope scope, const char *folder, struct follow **ret);
/* Accepts NULL. */
void follow_destroy(struct follow *follow);

/*
 * Makes PID, started by PARENT, a member of the tree. Whom it starts from now on are members as
 * well.
 */
struct error *follow_add(struct follow *follow, pid_t pid, pid_t parent);

/* Of a process that has ended while it was added: its pid may be another's soon. */
void follow_remove(struct follow *follow, pid_t pid);

/*
 * Of FOLLOW_CGROUP: whether there is another control group at FOLDER now than the one that is watched, which is watched
 * from now on. One that is gone stays what it was.
 */
struct error *follow_cgroup(struct follow *follow, const char *folder, bool *ret);

/* The members of the tree now, with who started each; malloc'd. */
struct follow_member {
	pid_t pid, parent;
};
struct error *follow_members(struct follow *follow, struct follow_member **ret, size_t *ret_count);

typedef void (*follow_handler)(void *context, const struct follow_record *record);

/* A descriptor to wait for, and the records that are there, handed to HANDLE in order. */
int follow_fd(const struct follow *follow);
void follow_consume(struct follow *follow, follow_handler handle, void *context);

/* Records that found no room, and processes that the tree had no room for. */
void follow_losses(const struct follow *follow, uint64_t *ret_events, uint64_t *ret_members);

#endif
