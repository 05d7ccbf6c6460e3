// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the BPF programs announce, and walks over the pools: what the target holds now. */
#include "trace/session/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "trace/session/session_internal.h"

/*
 * The rest between two walks, as a multiple of the last one's duration: for walks that somebody
 * asks for, and for the session's own. The latter keep the rows few and the last totals young.
 */
#define WALK_REST     10
#define WALK_REST_OWN 100
/* Nanoseconds between two walks of the session's own: the limits, and while stacks are scarce. */
#define WALK_OWN_LEAST 100000000ull
#define WALK_OWN_MOST  5000000000ull
#define WALK_OWN_TIGHT NSEC_PER_SEC
/*
 * Within these limits, at most one part in so many of the time traced is younger than the last
 * walk.
 */
#define WALK_OWN_PART 4
/* Slabs between two looks at the ring: a millisecond or two. */
#define WALK_DRAIN_SLABS 8

void session_warn(struct session *session, struct error *error)
{
	if (!error)
		return;
	free(session->warning);
	session->warning = strdup(error_message(error));
	error_destroy(error);
}

static void record_handle(void *context, const struct tmbpf_record *record, size_t size)
{
	struct session *session = context;

	if (record->type == TMBPF_RECORD_EXEC)
		session->state = SESSION_EXECED;
	else if (record->type == TMBPF_RECORD_SLAB)
		session_warn(session, tracer_grow(session->tracer));
	else if (record->type != TMBPF_RECORD_SAMPLE)
		symbols_record(session->symbols, record, size);
	else if (session->sampler)
		session_warn(session, sampler_sample(session->sampler, record, size));
}

void session_drain(struct session *session)
{
	tracer_ring_consume(session->tracer, record_handle, session);
}

bool session_is_lazy(const struct session *session)
{
	return tracer_is_lazy(session->tracer);
}

bool session_over(const struct session *session)
{
	return session->gone || session->state == SESSION_EXITED ||
	       session->state == SESSION_EXECED;
}

bool session_gone(const struct session *session)
{
	struct error *error = process_check(session->process);

	if (!error)
		return false;
	error_destroy(error);
	return true;
}

static struct error *walk_sum(void *context, const struct symbols_row *row)
{
	struct session_walk *walk = context;

	walk->count += row->count;
	walk->size += row->size;
	walk->allocated += row->total_count;
	return NULL;
}

static struct error *walk_all(struct session *session)
{
	uint32_t slabs;

	try(tracer_walk_begin(session->tracer, &slabs));
	for (uint32_t i = 0; i < slabs; i++) {
		try(tracer_walk(session->tracer, i, record_handle, session));
		if (i % WALK_DRAIN_SLABS == WALK_DRAIN_SLABS - 1) {
			session_drain(session);
			try(tracer_grow(session->tracer));
		}
	}
	session_drain(session);
	return NULL;
}

struct error *session_walk(struct session *session, bool rested)
{
	uint64_t began = clock_now(CLOCK_MONOTONIC);
	struct session_walk walk = {0};
	struct error *error;

	if (!session_is_lazy(session) || session_over(session))
		return NULL;
	if (rested && session->walk.at && began - session->walk.at < WALK_REST * session->walk.took)
		return NULL;
	error = walk_all(session);
	/* A process that ended or became another one meanwhile tells nothing. */
	if (!error)
		error = process_check(session->process);
	if (error && error_kind(error) == ERROR_NOTHING) {
		session->gone = true;
		error_destroy(error);
		return NULL;
	}
	try(error);
	try(symbols_each(session->symbols, walk_sum, &walk));
	try(symbols_keep(session->symbols));
	walk.unstable = tracer_walk_unstable(session->tracer);
	walk.time = (int64_t)clock_now(CLOCK_REALTIME);
	walk.at = clock_now(CLOCK_MONOTONIC);
	walk.took = walk.at - began;
	session->walk = walk;
	return NULL;
}

struct error *session_walk_block(struct session *session, uint64_t address)
{
	if (!session_is_lazy(session) || session_over(session))
		return NULL;
	return tracer_walk_block(session->tracer, address, record_handle, session);
}

struct error *session_each(struct session *session, symbols_visitor visit, void *context)
{
	if (session_is_lazy(session) && session_over(session))
		return symbols_each_kept(session->symbols, visit, context);
	return symbols_each(session->symbols, visit, context);
}

/* So that the last walk is never old, even if nobody asks. */
void session_walk_own(struct session *session, uint64_t now)
{
	uint64_t begin = session->since_monotonic;
	uint64_t last = session->walk.at > begin ? session->walk.at : begin;
	uint64_t rest = (now - begin) / WALK_OWN_PART;
	struct error *error;

	if (rest > WALK_OWN_MOST)
		rest = WALK_OWN_MOST;
	if (rest > WALK_OWN_TIGHT && symbols_tight(session->symbols))
		rest = WALK_OWN_TIGHT;
	if (rest < WALK_OWN_LEAST)
		rest = WALK_OWN_LEAST;
	if (!session_is_lazy(session) || session->state != SESSION_RUNNING || last > now ||
	    now - last < rest || now - last < WALK_REST_OWN * session->walk.took)
		return;
	error = session_walk(session, false);
	/* Not all of a process that is ending can be read. Its end is noticed elsewhere. */
	if (error && session_gone(session))
		error_destroy(error);
	else
		session_warn(session, error);
}
