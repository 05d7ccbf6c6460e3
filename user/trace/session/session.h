/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A session: this process traces one target, until somebody stops it or the target is gone.
 * Meanwhile a loop answers requests; the caller's table says what each request means.
 */
#ifndef TMBPF_TRACE_SESSION_SESSION_H
#define TMBPF_TRACE_SESSION_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "target/container/container.h"
#include "target/process/process.h"
#include "trace/sampling/sampler.h"
#include "trace/tracer/heap_check.h"
#include "trace/fork/fork_protocol.h"
#include "trace/symbols/symbols.h"
#include "trace/tracer/tracer.h"

struct error;
struct json_object;

enum session_state {
	SESSION_RUNNING,
	SESSION_STOPPED, /* somebody asked it to end */
	SESSION_EXITED,  /* the target is gone */
	SESSION_EXECED,  /* the target has become another program */
};

/* The last walk over the pools, in sessions that do not probe frees of the object domain. */
struct session_walk {
	uint64_t at, took; /* its end and its length, monotonic nanoseconds; AT 0: there was none */
	int64_t time;      /* its end, nanoseconds since the epoch */
	uint64_t count, size; /* blocks held then, and their bytes */
	uint64_t allocated;   /* blocks allocated until then */
	uint64_t unstable;    /* pools that changed whenever they were read */
};

/* The last time that the heap check measured. */
struct session_growth {
	uint64_t at, took; /* its end and its length, monotonic nanoseconds; AT 0: there was none */
	struct heap_check_counts counts;
	char *failed; /* why nothing can be measured; NULL: nothing failed */
};

struct session {
	pid_t pid;
	struct process *process;
	struct tracer *tracer;
	struct symbols *symbols;
	struct sampler *sampler; /* NULL: every allocation and free is traced */
	struct tracer_options options;
	enum session_state state;
	struct timespec since;    /* real time when tracing began or was cleared */
	uint64_t since_monotonic; /* the same, in monotonic nanoseconds */
	uint64_t rss_at_start;    /* bytes */
	uint64_t last_rss;        /* the last value that could be read, bytes */
	char *warning;            /* what went wrong, to be shown; NULL: nothing */
	bool gone;                /* a walk found the target gone; the loop will see why */
	bool reference_unchecked; /* the layout is a reference process's, and not yet checked */
	bool confined;            /* system calls are filtered, or cannot be */
	struct session_walk walk;
	struct heap_check *heap_check; /* NULL: there is no heap check */
	struct session_growth grown;
	int lock, listener;
	struct container container; /* the one the target is in; empty: none is known */
	char *cgroup;     /* the target's: of version 2, or the first that is not the root */
	char *group;      /* the group it belongs to; NULL: none */
	pid_t parent;     /* who started the target, in a group; 0: not known */
	bool inherits;    /* the target is a fork of PARENT */
	bool parent_knew; /* PARENT's session knew what the target has from it: `inherited` */
	struct fork_counts inherited;
};

/* What a session that belongs to a group is told. */
struct session_origin {
	const char *group; /* the group's name */
	pid_t parent;      /* who started the target; 0: not known */
	bool inherits;     /* the target is a fork, and runs the same program since */
};

struct session_request {
	const char *name;
	/* Fills REPLY. The payload is malloc'd; the loop frees it. */
	struct error *(*run)(struct session *session, struct json_object *request,
			     struct json_object *reply, void **ret_payload, size_t *ret_size);
};

/*
 * Starts to trace PID: takes its lock, attaches the probes, turns tracing on. ORIGIN is NULL if the
 * session belongs to no group. RET is to be destroyed.
 */
struct error *session_create(pid_t pid, const struct tracer_options *options,
			     const struct session_origin *origin, struct session **ret);
/* Ends the session and frees it. NULL is accepted. */
void session_destroy(struct session *session);

/* Removes the probes, the socket and the lock. What was traced can still be read. */
void session_end(struct session *session);

/*
 * Serves REQUESTS (ended by a NULL name) until the session ends; session->state says why. The
 * totals are still there afterwards. SIGTERM and SIGINT end it as well, if they are blocked and
 * SIGNALS is a signalfd for them; it is -1 otherwise.
 */
struct error *session_serve(struct session *session, const struct session_request *requests,
			    int signals);

/* Takes in what the BPF programs have announced. */
void session_drain(struct session *session);

/* What the protocol of forks needs of SESSION; all of it is borrowed. */
struct fork_side session_fork_side(struct session *session);

/*
 * Whether only walks over the pools tell what is held (session->walk). Of a target that is gone,
 * the last one does.
 */
bool session_is_lazy(const struct session *session);
/* Whether the target's memory cannot be read any more. */
bool session_over(const struct session *session);
/*
 * Finds out what is held now, if the session is lazy and the target is there. RESTED: does nothing
 * until a multiple of the last walk's duration has passed.
 */
struct error *session_walk(struct session *session, bool rested);
/*
 * Compares the traced blocks with a census of pymalloc's pools; the result goes to session->grown.
 * Only for exact sessions whose target still runs. Rate-limited: does nothing until the time since
 * the last measurement exceeds its duration (ASKED), or a hundred times that (otherwise).
 */
void session_heap_check(struct session *session, bool asked);
/* Like session_walk(), for the block at ADDRESS alone. */
struct error *session_walk_block(struct session *session, uint64_t address);
/* Hands every row to VISIT: what is held now or, by a target that is gone, was at the last walk. */
struct error *session_each(struct session *session, symbols_visitor visit, void *context);

/* Forgets what was traced. Tracing is off meanwhile. */
struct error *session_clear(struct session *session);

#endif
