// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A walk over the heaps of glibc's malloc, from finding them to what of them was not found. */
#include "target/malloc/glibc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/malloc/glibc_internal.h"
#include "target/process/pagemap.h"

#define STAT_START_BRK 47 /* where sbrk() began */

static struct error *process_look(struct glibc *glibc, int *ret_pagemap)
{
	cleanup_free pid_t *threads = NULL;
	size_t count;

	try(process_maps(glibc->process, &glibc->maps, &glibc->map_count));
	try(process_threads(glibc->process, &threads, &count));
	glibc->threads = count;
	glibc->start_brk = process_stat(glibc->process, STAT_START_BRK);
	return pagemap_open(glibc->process, ret_pagemap);
}

struct error *glibc_init(struct glibc *glibc, struct memory *memory, int pagemap)
{
	glibc->memory = memory;
	glibc->buffer.pagemap = pagemap;
	try(glibc_buffer_init(&glibc->buffer, memory, pagemap, GLIBC_BUFFER));
	try(glibc_buffer_init(&glibc->small, memory, pagemap, GLIBC_PAGE));
	glibc->found = reallocarray(NULL, GLIBC_FOUND_MAX, sizeof(*glibc->found));
	if (!glibc->found)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a walk over malloc's heaps");
	try(glibc_find(glibc));
	if (glibc->absent[0])
		return NULL;
	try(glibc_areas_find(glibc));
	try(glibc_morecore_find(glibc));
	glibc->totals.arenas = glibc->arena_count;
	glibc->totals.heaps = glibc->area_count;
	return NULL;
}

static void glibc_cleanup(struct glibc **glibc)
{
	glibc_destroy(*glibc);
}

struct error *glibc_create(struct process *process, const struct glibc_range *excluded,
			   size_t count, const char *other, struct glibc **ret)
{
	cleanup(glibc_cleanup) struct glibc *glibc = calloc(1, sizeof(*glibc));
	int pagemap = -1;

	if (!glibc)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a walk over malloc's heaps");
	glibc->buffer.pagemap = -1;
	glibc->process = process;
	if (other) {
		snprintf(glibc->other, sizeof(glibc->other), "%s", other);
		snprintf(glibc->absent, sizeof(glibc->absent), "%s's are not walked", glibc->other);
		*ret = take(glibc);
		return NULL;
	}
	if (count) {
		glibc->own_excluded = reallocarray(NULL, count, sizeof(*excluded));
		if (!glibc->own_excluded)
			return error_create_errno(ERROR_FAILED, ENOMEM,
						  "a walk over malloc's heaps");
		memcpy(glibc->own_excluded, excluded, count * sizeof(*excluded));
		glibc->excluded = glibc->own_excluded;
		glibc->excluded_count = count;
	}
	try(process_look(glibc, &pagemap));
	try(glibc_init(glibc, &process->memory, pagemap));
	*ret = take(glibc);
	return NULL;
}

void glibc_destroy(struct glibc *glibc)
{
	if (!glibc)
		return;
	if (glibc->buffer.pagemap >= 0)
		close(glibc->buffer.pagemap);
	glibc_buffer_deinit(&glibc->buffer);
	glibc_buffer_deinit(&glibc->small);
	glibc_areas_deinit(glibc);
	process_maps_destroy(glibc->maps, glibc->map_count);
	free(glibc->own_excluded);
	free(glibc->arenas);
	free(glibc->caches);
	free(glibc->found);
	free(glibc);
}

const char *glibc_absent(const struct glibc *glibc)
{
	return glibc->absent[0] ? glibc->absent : NULL;
}

const char *glibc_other(const struct glibc *glibc)
{
	return glibc->other[0] ? glibc->other : NULL;
}

bool glibc_heap_range(const struct glibc *glibc, size_t i, struct glibc_range *ret)
{
	if (i >= glibc->area_count)
		return false;
	*ret = (struct glibc_range){glibc->areas[i].start, glibc->areas[i].end};
	return true;
}

const struct glibc_totals *glibc_totals(const struct glibc *glibc)
{
	return &glibc->totals;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * Bytes that the process could write to and nobody else sees: malloc has no more, whatever it says.
 */
static uint64_t private_bytes(const struct glibc *glibc)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < glibc->map_count; i++)
		if (glibc->maps[i].writable && !glibc->maps[i].shared)
			sum += glibc->maps[i].end - glibc->maps[i].start;
	return sum;
}

/* What malloc says it has for its arenas, less what was found there. */
static void heaps_compare(struct glibc *glibc)
{
	struct glibc_totals *totals = &glibc->totals;
	/* What came or went during the walk is no loss. */
	uint64_t least =
		least_of(least_of(glibc_system_bytes(glibc), glibc->system), private_bytes(glibc));
	uint64_t known = totals->top.bytes + totals->overhead + totals->unknown;
	size_t i;

	for (i = 0; i < GLIBC_STATES; i++)
		if (i != GLIBC_MAPPED)
			known += totals->states[i].bytes;
	if (least > known)
		totals->unknown += least - known;
}

/* What malloc says it mapped, less what was found. */
static void mapped_compare(struct glibc *glibc)
{
	uint64_t mapped, found = glibc->totals.states[GLIBC_MAPPED].bytes;

	if (!glibc->parameters ||
	    !glibc_peek(&glibc->small, glibc->parameters, &mapped, sizeof(mapped)))
		return;
	mapped = least_of(mapped, private_bytes(glibc));
	glibc->totals.mapped_unknown = mapped > found ? mapped - found : 0;
}

struct error *glibc_each(struct glibc *glibc,
			 struct error *(*visit)(void *context, const struct glibc_chunk *chunk),
			 void *context)
{
	if (glibc->absent[0])
		return NULL;
	glibc->visit = visit;
	glibc->system = glibc_system_bytes(glibc);
	glibc->context = context;
	try(glibc_walk_caches(glibc));
	glibc->totals.caches = glibc->cache_count;
	try(glibc_lists_read(glibc));
	try(glibc_walk_areas(glibc));
	try(glibc_mapped_each(glibc));
	try(glibc_areas_settle(glibc));
	heaps_compare(glibc);
	mapped_compare(glibc);
	return glibc->process ? process_check(glibc->process) : NULL;
}
