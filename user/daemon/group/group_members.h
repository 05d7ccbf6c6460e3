/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The processes of a group, as its watcher knows them. */
#ifndef TMBPF_DAEMON_GROUP_GROUP_MEMBERS_H
#define TMBPF_DAEMON_GROUP_GROUP_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct json;

enum member_state {
	MEMBER_NEW,      /* not looked at yet, or no CPython yet: looked at again */
	MEMBER_STARTING, /* its tracer attaches */
	MEMBER_TRACED,
	MEMBER_OTHER,   /* runs, and is no CPython */
	MEMBER_FAILED,  /* runs, and cannot be traced: `reason` */
	MEMBER_STOPPED, /* runs, and its session was stopped */
	MEMBER_ENDED,   /* was traced until its end */
	MEMBER_MISSED,  /* ended before it could be traced */
};

struct member {
	pid_t pid, parent; /* parent 0: not known */
	uint64_t started;  /* clock ticks since boot; 0 not known */
	/*
	 * Monotonic nanoseconds: it began before UNTIL. What happened to its pid before SINCE may
	 * have happened to another process.
	 */
	uint64_t since, until;
	enum member_state state;
	uint32_t programs;  /* it became others by exec, so often */
	uint64_t look_at;   /* monotonic nanoseconds: NEW is looked at again then */
	uint64_t look_till; /* and for the last time; 0: it was not looked at yet */
	uint64_t rest;      /* nanoseconds between two looks; grows */
	bool looked;        /* at its present program: the watcher has seen it once */
	bool python;        /* it is a CPython for certain: a fork of one, no other program since */
	bool again;         /* it became another program while its tracer attached */
	bool gone;          /* it has ended */
	bool later;         /* it came when the group was begun */
	int report;         /* of its tracer; -1 none */
	char *text;         /* what was reported, SERVE_REPORT_MAX bytes of room */
	size_t size;
	char *command, *reason; /* NULL: not known, nothing */
};

/* Those that have ended are kept, the oldest are forgotten. */
#define MEMBERS_ENDED_MAX 256

struct members {
	struct member **list;
	size_t count, capacity;
	uint64_t seen;      /* of all time */
	uint64_t forgotten; /* that have ended and are no longer in the list */
	uint64_t sessions;  /* begun, in all */
	/* What was missed. */
	uint64_t ended_early;  /* CPythons that ended before they could be traced */
	uint64_t ended_unseen; /* programs that ended before they could be looked at */
	uint64_t failed;       /* processes that could not be traced */
	uint64_t killed;       /* tracers that ended before their session did */
};

struct member *members_find(const struct members *members, pid_t pid);
/* A new one, or the one that lives under that pid already. Fails without memory. */
struct error *members_add(struct members *members, pid_t pid, pid_t parent, struct member **ret);
/*
 * Removes what is of no interest any more: ended processes that were no CPython, and too many of
 * the others.
 */
void members_prune(struct members *members);
void members_deinit(struct members *members);

/* TEXT is copied; NULL nothing. */
void member_set_reason(struct member *member, const char *text);
/* Those whose process runs. */
size_t members_alive(const struct members *members);
size_t members_in(const struct members *members, enum member_state state);

/* Adds "processes", an array, and "counts", an object, to the root of JSON. */
void members_describe(const struct members *members, struct json *json);

#endif
