/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The watcher of a group: what group.c, group_watch.c and group_serve.c share, in this order. */
#ifndef TMBPF_DAEMON_GROUP_GROUP_INTERNAL_H
#define TMBPF_DAEMON_GROUP_GROUP_INTERNAL_H

#include "daemon/group/group_members.h"
#include "daemon/group/group_target.h"
#include "trace/tracer/follow.h"
#include "trace/tracer/tracer.h"

struct group {
	struct group_target target;
	struct tracer_options tracing; /* of each session */
	struct follow *follow;
	enum follow_scope scope;
	struct members members;
	struct timespec since;
	uint64_t since_monotonic;
	uint64_t checked, scanned; /* monotonic nanoseconds: the last time that it was */
	uint64_t events_lost;      /* that were made good by a scan */
	char **folders;            /* of the control groups; "" not known */
	size_t folder_count;
	char *warning; /* what went wrong in watching; NULL nothing */
	int lock, listener;
	uint64_t occupied; /* monotonic nanoseconds: somebody was in it then, or it began */
	bool begun;        /* those that were there are known */
	bool stopped;
};

/* group.c */
/* Keeps ERROR's message as the group's warning, and frees it; NULL is accepted. */
void group_warn(struct group *group, struct error *error);
/*
 * Frees what the group (a struct group) has open; files and sessions stay as they are. Also for a
 * process forked off.
 */
void group_release(void *group);

/* group_watch.c */
/* Begins to watch, and finds those that are there. */
struct error *group_watch_begin(struct group *group);
/*
 * Takes in what has happened, and does what is due. How many milliseconds there is time until
 * something else is.
 */
int group_watch(struct group *group);
/* Takes in all that has been told of, and of a tree whom the kernel has in it. */
void group_catch_up(struct group *group);
/*
 * Whether each process that was there at the beginning has been looked at, and no tracer attaches
 * to one of them.
 */
bool group_settled(const struct group *group);
/* Takes in what the tracer of MEMBER reported. */
void group_report(struct group *group, struct member *member);

#endif
