// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads from malloc's heaps what lies outside of pymalloc's arenas. */
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

/* The rest between two walks, as a multiple of the last one's duration. */
#define WALK_REST 100

struct native_memory {
	const struct python *python;
	struct resident *resident;
	bool walked;
	double small;               /* bytes of small chunks in use */
	double large_resident;      /* resident bytes of large chunks in malloc's heaps */
	double heaps_resident;      /* resident bytes of malloc's heaps, in use or free */
	struct glibc_range *ranges; /* malloc's heaps */
	size_t range_count, range_capacity;
	struct native_memory_visitor *visitor;
	uint64_t walked_at, took; /* the last walk's end and length, nanoseconds */
};

struct error *native_memory_create(const struct python *python, struct native_memory **ret)
{
	struct native_memory *native = calloc(1, sizeof(*native));
	struct error *error;

	if (!native)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot take a census");
	native->python = python;
	error = resident_create(python->process, &native->resident);
	if (error) {
		native_memory_destroy(native);
		return error;
	}
	*ret = native;
	return NULL;
}

void native_memory_destroy(struct native_memory *native)
{
	if (!native)
		return;
	resident_destroy(native->resident);
	free(native->ranges);
	free(native);
}

static struct error *chunk_count(void *context, const struct glibc_chunk *chunk)
{
	struct native_memory *native = context;
	uint64_t start = chunk->address - (chunk->total - chunk->size);

	if (native->visitor->visit)
		native->visitor->visit(native->visitor->context, chunk);
	if (glibc_state_free(chunk->state) || chunk->state == GLIBC_MAPPED)
		return NULL;
	if (chunk->size < TRACER_LARGE_LEAST)
		native->small += (double)chunk->total;
	else
		native->large_resident +=
			(double)resident_bytes(native->resident, start, start + chunk->total);
	return NULL;
}

static struct error *walk(struct native_memory *native, struct glibc *glibc)
{
	struct glibc_range range;

	native->walked = false;
	native->small = native->large_resident = native->heaps_resident = 0;
	native->range_count = 0;
	if (glibc_absent(glibc))
		return NULL;
	try(glibc_each(glibc, chunk_count, native));
	for (size_t i = 0; glibc_heap_range(glibc, i, &range); i++) {
		try(array_reserve(&native->ranges, &native->range_capacity, i, 1, sizeof(range)));
		native->ranges[native->range_count++] = range;
		native->heaps_resident +=
			(double)resident_bytes(native->resident, range.start, range.end);
	}
	native->walked = true;
	return NULL;
}

struct error *native_memory_walk(struct native_memory *native, const struct python_heaps *heaps,
				 struct native_memory_visitor *visitor)
{
	uint64_t began = clock_now(CLOCK_MONOTONIC);
	cleanup_free struct glibc_range *excluded = NULL;
	struct python_space *space;
	struct glibc *glibc;
	struct error *error;
	size_t count;

	try(python_space_create(native->python, heaps, &space));
	count = space->arena_count;
	error = python_space_ranges(space, &excluded);
	python_space_destroy(space);
	try(error);
	try(python_glibc_create(native->python, excluded, count, &glibc));
	native->visitor = visitor;
	error = walk(native, glibc);
	visitor->done = !error && native->walked;
	native->walked_at = clock_now(CLOCK_MONOTONIC);
	native->took = native->walked_at - began;
	glibc_destroy(glibc);
	return error;
}

bool native_memory_stale(const struct native_memory *native)
{
	return clock_now(CLOCK_MONOTONIC) - native->walked_at > WALK_REST * native->took;
}

bool native_memory_walked(const struct native_memory *native)
{
	return native->walked;
}

bool native_memory_in_heap(const struct native_memory *native, uint64_t address)
{
	for (size_t i = 0; i < native->range_count; i++)
		if (address >= native->ranges[i].start && address < native->ranges[i].end)
			return true;
	return false;
}

void native_memory_classes(const struct native_memory *native, double bytes, double *ret_small,
			   double *ret_rest)
{
	double free_bytes = native->heaps_resident - native->large_resident;

	*ret_small = native->walked ? native->small : 0;
	*ret_rest = bytes > free_bytes ? bytes - free_bytes : 0;
}
