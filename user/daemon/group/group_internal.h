/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What group_serve.c and group_watch.c share: the watcher of a group. */
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

/* Begins to watch, and finds those that are there. */
struct error *group_watch_begin(struct group *group);
/*
 * Takes in what has happened, and does what is due; how many milliseconds there is time until
 * something else is.
 */
int group_watch(struct group *group);
/* Takes in all that has been told of, and of a tree whom the kernel has in it. */
void group_catch_up(struct group *group);
/* Whether each process that was there at the beginning has been looked at, and no tracer attaches to one of them. */
bool group_settled(const struct group *group);
/* Takes in what the tracer of MEMBER reported. */
void group_report(struct group *group, struct member *member);

/*
 * Frees what it has open, and leaves files and sessions as they are; also in a process forked
 * off.
 */
void group_release(void *group);

#endif
