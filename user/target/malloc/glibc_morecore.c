// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Where sbrk() cannot give more, main_arena takes mappings of 1 MiB and more instead
 * (sysmalloc_mmap_fallback() of malloc/malloc.c), and is flagged as not contiguous. Nothing lists
 * them: they are found by the chunks that begin with a page, follow one another, and end at the
 * arena's top or with two closing chunks, as many bytes as the arena has and are not known yet.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "target/malloc/glibc_internal.h"

#define NONCONTIGUOUS 2U
#define FENCES        0x20ULL
/* From the bins on: binmap, next, next_free and attached_threads are between. */
#define SYSTEM_MEM (254 * 8 + 16 + 3 * 8)

static uint64_t system_mem(struct glibc *glibc, const struct glibc_arena *arena)
{
	uint64_t size = 0;

	glibc_peek(&glibc->small, arena->state + arena->bins + SYSTEM_MEM, &size, sizeof(size));
	return size < GLIBC_ADDRESS_MAX ? size : 0;
}

uint64_t glibc_system_bytes(struct glibc *glibc)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < glibc->arena_count; i++)
		sum += system_mem(glibc, &glibc->arenas[i]);
	return sum;
}

/* Where memory of the arena's that begins at AREA's start ends; 0 if it is none. */
static uint64_t morecore_end(struct glibc *glibc, struct glibc_area *area)
{
	enum glibc_end end = GLIBC_END_MORE;
	struct glibc_walk walk;
	uint64_t at = 0;

	glibc_walk_init(&walk, glibc, area, area->first);
	glibc->small.start = glibc->small.end = 0;
	if (!glibc_walk_starts(&walk, area->first))
		return 0;
	while (end == GLIBC_END_MORE && glibc_walk_goes_on(&walk)) {
		glibc_buffer_load(&glibc->buffer, walk.at & ~(GLIBC_PAGE - 1), area->end);
		end = glibc_walk_buffer(&walk);
	}
	if (end == GLIBC_END_TOP && walk.at == walk.top)
		at = walk.at + walk.top_size;
	else if (end == GLIBC_END_FENCE)
		at = glibc_align(walk.at + FENCES, GLIBC_PAGE);
	return at == area->end || glibc_area_left(area, at) ? at : 0;
}

static struct error *morecore_search(struct glibc *glibc, uint64_t start, uint64_t end)
{
	struct glibc_area area = {.arena = glibc->morecore_arena};

	while (start < end && glibc->morecore_left) {
		uint64_t stop;

		start = glibc_pages_next(&glibc->small, start, end);
		if (start >= end)
			break;
		area.start = area.first = start;
		area.end = end;
		stop = morecore_end(glibc, &area);
		if (stop <= start || stop - start > glibc->morecore_left) {
			start += GLIBC_PAGE;
			continue;
		}
		area.end = start = stop;
		glibc->morecore_left -= stop - area.start;
		try(glibc_area_add(glibc, &area));
	}
	return NULL;
}

struct error *glibc_morecore_find(struct glibc *glibc)
{
	size_t i, j, areas = glibc->area_count;

	for (i = 0; i < glibc->arena_count; i++) {
		const struct glibc_arena *arena = &glibc->arenas[i];
		uint64_t known = 0, all = system_mem(glibc, arena);
		uint32_t flags = 0;

		if (!arena->main ||
		    !glibc_peek(&glibc->small, arena->state + 4, &flags, sizeof(flags)) ||
		    !(flags & NONCONTIGUOUS))
			continue;
		for (j = 0; j < areas; j++)
			if (glibc->areas[j].arena == i)
				known += glibc->areas[j].end - glibc->areas[j].start;
		if (all <= known)
			continue;
		glibc->morecore_arena = i;
		glibc->morecore_left = all - known;
		try(glibc_unknown_each(glibc, morecore_search));
	}
	glibc_areas_sort(glibc);
	return NULL;
}
