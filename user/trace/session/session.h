/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A session: one target being traced by this process, from the opening of the window until it is stopped or the
 * target is gone, and the loop that serves what others ask of it. What a request means is the caller's table.
 */
#ifndef TMBPF_TRACE_SESSION_SESSION_H
#define TMBPF_TRACE_SESSION_SESSION_H

#include <json-c/json.h>
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

enum session_state {
	SESSION_RUNNING,
	SESSION_STOPPED, /* asked to end */
	SESSION_EXITED,  /* the target is gone */
	SESSION_EXECED,  /* the target has become another program */
};

/* The last walk over the pools, where frees of the object domain are not probed. */
struct session_walk {
	uint64_t at, took;    /* monotonic nanoseconds: its end, its length; at 0: there was none */
	int64_t time;         /* its end, nanoseconds since the epoch */
	uint64_t count, size; /* blocks that were held then, and their bytes */
	uint64_t allocated;   /* blocks that had been allocated until then */
	uint64_t unstable;    /* pools that could not be made out */
};

/* The last time that the heap's growth was measured. */
struct session_growth {
	uint64_t at, took; /* monotonic nanoseconds: its end, its length; at 0: it never was */
	struct heap_check_counts counts;
	char *failed; /* why it cannot be; NULL nothing */
};

struct session {
	pid_t pid;
	struct process *process;
	struct tracer *tracer;
	struct symbols *symbols;
	struct sampler *sampler; /* NULL: every allocation and free is traced */
	struct tracer_options options;
	enum session_state state;
	struct timespec since;    /* real time: tracing began, or was cleared */
	uint64_t since_monotonic; /* the same, nanoseconds */
	uint64_t rss_at_start;    /* bytes */
	uint64_t last_rss;        /* the last that could be read */
	char *warning;            /* what went wrong meanwhile, to be shown; NULL nothing */
	bool gone;                /* a walk found no target any more; the loop will see why */
	bool reference_unchecked; /* the layout was learned from a reference process, and not yet checked */
	bool confined; /* a filter of system calls was put around this process, or cannot */
	struct session_walk walk;
	struct heap_check *heap_check; /* NULL: not measured */
	struct session_growth grown;
	int lock, listener;
	struct container container; /* that the target is in; empty: none is known */
	char *cgroup;  /* the target's: of version 2, or the first that is not the root */
	char *group;   /* that it belongs to; NULL none */
	pid_t parent;  /* of one in a group: who started the target; 0 not known */
	bool inherits; /* the target is a fork of PARENT */
	bool heir;     /* PARENT's session knew of what it has from that: `inherited` */
	struct fork_counts inherited;
};

/* Of a session that belongs to a group. */
struct session_origin {
	const char *group; /* its name */
	pid_t parent;      /* who started the target; 0 not known */
	bool inherits;     /* by fork, and it is no other program since */
};

struct session_request {
	const char *name;
	/* Fills REPLY; a payload is malloc'd and freed by the loop. */
	struct error *(*run)(struct session *session, json_object *request, json_object *reply,
			     void **ret_payload, size_t *ret_size);
};

/*
 * Starts tracing PID: takes its lock, attaches, opens the window. ORIGIN is NULL if it belongs to no group. RET is to be
 * destroyed in any case once created.
 */
struct error *session_create(pid_t pid, const struct tracer_options *options,
			     const struct session_origin *origin, struct session **ret);
/* Ends it, then frees all. Accepts NULL. */
void session_destroy(struct session *session);

/* Removes the probes, the socket and the lock; what was traced stays to be read. */
void session_end(struct session *session);

/*
 * Serves REQUESTS (ended by a NULL name) until the session ends; session->state says why. The totals
 * are still there afterwards. SIGTERM and SIGINT, if blocked and given as a signalfd in SIGNALS (else -1), end it as well.
 */
struct error *session_serve(struct session *session, const struct session_request *requests,
			    int signals);

/* Takes in what the programs have announced. */
void session_drain(struct session *session);

/* What the protocol of forks needs of SESSION, which it borrows. */
struct fork_side session_fork_side(struct session *session);

/*
 * Whether what is held is known only from walks over the pools (session->walk): of a target that is
 * gone, from the last one there was.
 */
bool session_is_lazy(const struct session *session);
/* Whether the target's memory is there no more. */
bool session_over(const struct session *session);
/*
 * Finds out what is held now, if the session is lazy and the target is there. With RESTED only
 * if the last walk is long ago, measured by how long it took.
 */
struct error *session_walk(struct session *session, bool rested);
/*
 * Compares the traced blocks with a census of pymalloc's pools; the result goes to session->grown.
 * Only for exact sessions whose target still runs. Rate-limited: does nothing until the time since
 * the last measurement exceeds its duration (ASKED), or a hundred times that (otherwise).
 */
void session_heap_check(struct session *session, bool asked);
/* The same as session_walk() for the block at ADDRESS alone. */
struct error *session_walk_block(struct session *session, uint64_t address);
/* Hands every row to VISIT: what is held now, or by a target that is gone at the last walk. */
struct error *session_each(struct session *session, symbols_visitor visit, void *context);

/* Forgets what was traced; the window is closed meanwhile. */
struct error *session_clear(struct session *session);

#endif
