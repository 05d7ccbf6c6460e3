// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/sampling/native_memory.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "python/malloc.h"
#include "python/python.h"
#include "python/heap/space.h"
#include "target/malloc/glibc.h"
#include "target/process/resident.h"
#include "trace/tracer/tracer.h"

/* A walk that is asked for comes no sooner than this many times as long as the last one took. */
#define WALK_REST 100

struct outside {
	const struct python *python;
	struct resident *resident;
	bool walked;
	double small;               /* bytes of small chunks in use */
	double large_resident;      /* of large ones in heaps, what is there */
	double heaps_resident;      /* of malloc's heaps, what is there, in use or not */
	struct glibc_range *ranges; /* malloc's heaps */
	size_t range_count, range_capacity;
	struct outside_visitor *visitor;
	uint64_t walked_at, took; /* the last walk: its end, its length; nanoseconds */
};

struct error *outside_create(const struct python *python, struct outside **ret)
{
	struct outside *outside = calloc(1, sizeof(*outside));
	struct error *error;

	if (!outside)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot take a census");
	outside->python = python;
	error = resident_create(python->process, &outside->resident);
	if (error) {
		outside_destroy(outside);
		return error;
	}
	*ret = outside;
	return NULL;
}

void outside_destroy(struct outside *outside)
{
	if (!outside)
		return;
	resident_destroy(outside->resident);
	free(outside->ranges);
	free(outside);
}

static struct error *chunk_count(void *context, const struct glibc_chunk *chunk)
{
	struct outside *outside = context;
	uint64_t start = chunk->address - (chunk->total - chunk->size);

	if (outside->visitor->visit)
		outside->visitor->visit(outside->visitor->context, chunk);
	if (glibc_state_free(chunk->state) || chunk->state == GLIBC_MAPPED)
		return NULL;
	if (chunk->size < TRACER_LARGE_LEAST)
		outside->small += (double)chunk->total;
	else
		outside->large_resident +=
			(double)resident_bytes(outside->resident, start, start + chunk->total);
	return NULL;
}

static struct error *walk(struct outside *outside, struct glibc *glibc)
{
	struct glibc_range range;

	outside->walked = false;
	outside->small = outside->large_resident = outside->heaps_resident = 0;
	outside->range_count = 0;
	if (glibc_absent(glibc))
		return NULL;
	try(glibc_each(glibc, chunk_count, outside));
	for (size_t i = 0; glibc_heap_range(glibc, i, &range); i++) {
		try(array_reserve(&outside->ranges, &outside->range_capacity, i, 1, sizeof(range)));
		outside->ranges[outside->range_count++] = range;
		outside->heaps_resident +=
			(double)resident_bytes(outside->resident, range.start, range.end);
	}
	outside->walked = true;
	return NULL;
}

struct error *outside_walk(struct outside *outside, const struct python_heaps *heaps,
			   struct outside_visitor *visitor)
{
	uint64_t began = clock_now(CLOCK_MONOTONIC);
	cleanup_free struct glibc_range *excluded = NULL;
	struct python_space *space;
	struct glibc *glibc;
	struct error *error;
	size_t count;

	try(python_space_create(outside->python, heaps, &space));
	count = space->arena_count;
	error = python_space_ranges(space, &excluded);
	python_space_destroy(space);
	try(error);
	try(python_glibc_create(outside->python, excluded, count, &glibc));
	outside->visitor = visitor;
	error = walk(outside, glibc);
	visitor->done = !error && outside->walked;
	outside->walked_at = clock_now(CLOCK_MONOTONIC);
	outside->took = outside->walked_at - began;
	glibc_destroy(glibc);
	return error;
}

bool outside_stale(const struct outside *outside)
{
	return clock_now(CLOCK_MONOTONIC) - outside->walked_at > WALK_REST * outside->took;
}

bool outside_walked(const struct outside *outside)
{
	return outside->walked;
}

bool outside_in_heap(const struct outside *outside, uint64_t address)
{
	for (size_t i = 0; i < outside->range_count; i++)
		if (address >= outside->ranges[i].start && address < outside->ranges[i].end)
			return true;
	return false;
}

void outside_classes(const struct outside *outside, double bytes, double *ret_small,
		     double *ret_large)
{
	double free_bytes = outside->heaps_resident - outside->large_resident;

	*ret_small = outside->walked ? outside->small : 0;
	*ret_large = bytes > free_bytes ? bytes - free_bytes : 0;
}
