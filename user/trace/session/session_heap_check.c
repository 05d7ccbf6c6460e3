// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* When an exact session compares what it traces with a census of the heap. */
#include "trace/session/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "python/heap/arenas.h"
#include "trace/session/session_internal.h"

/*
 * The rest between two measurements, as a multiple of the last one's duration: for those that
 * somebody asks for, and for others.
 */
#define REST     1
#define REST_OWN 100

static void drain(void *session)
{
	session_drain(session);
}

static struct error *shadow_entries(void *context, uint64_t address, uint32_t count, uint32_t *ret)
{
	const struct session *session = context;

	return tracer_shadow(session->tracer, address, count, ret);
}

static void failure_keep(struct session *session, struct error *error)
{
	if (!error)
		return;
	free(session->grown.failed);
	session->grown.failed = strdup(error_message(error));
	error_destroy(error);
}

static struct error *heap_check_start(struct session *session)
{
	const struct heap_check_source source = {
		.python = tracer_python(session->tracer),
		.lazy = session_is_lazy(session),
		.hook_extra = tracer_hook_extra(session->tracer),
		.context = session,
		.entries = shadow_entries,
		.rest = drain,
	};
	struct python_heaps heaps;
	struct error *error;

	try(heap_check_create(&source, &session->heap_check));
	/* An interpreter that has not begun has no blocks from before. */
	if (session->reference_unchecked)
		return NULL;
	try(python_heaps_read(source.python, &heaps));
	error = heap_check_begin(session->heap_check, &heaps);
	python_heaps_deinit(&heaps);
	return error;
}

void session_heap_check_end(struct session *session)
{
	heap_check_destroy(session->heap_check);
	session->heap_check = NULL;
	free(session->grown.failed);
	session->grown = (struct session_growth){0};
}

void session_heap_check_begin(struct session *session)
{
	struct error *error;

	session_heap_check_end(session);
	/* Tracing does not depend on it. */
	error = heap_check_start(session);
	if (!error)
		return;
	heap_check_destroy(session->heap_check);
	session->heap_check = NULL;
	failure_keep(session, error);
}

static struct error *heap_check_measure(struct session *session, struct heap_check_counts *ret)
{
	struct python_heaps heaps;
	struct error *error;

	try(python_heaps_read(tracer_python(session->tracer), &heaps));
	error = heap_check_count(session->heap_check, &heaps, ret);
	python_heaps_deinit(&heaps);
	return error ? error : process_check(session->process);
}

void session_heap_check(struct session *session, bool asked)
{
	uint64_t began = clock_now(CLOCK_MONOTONIC), rest = asked ? REST : REST_OWN;
	struct heap_check_counts counts;
	struct error *error;

	if (!session->heap_check || session_over(session) || session->reference_unchecked ||
	    (session->grown.at && began - session->grown.at < rest * session->grown.took))
		return;
	error = heap_check_measure(session, &counts);
	if (error && error_kind(error) == ERROR_NOTHING) {
		session->gone = true;
		error_destroy(error);
		return;
	}
	if (error) {
		failure_keep(session, error);
		return;
	}
	free(session->grown.failed);
	session->grown =
		(struct session_growth){.counts = counts, .at = clock_now(CLOCK_MONOTONIC)};
	session->grown.took = session->grown.at - began;
}
