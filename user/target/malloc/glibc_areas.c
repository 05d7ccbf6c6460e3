// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The memory that the arenas have from the kernel.
 *
 * main_arena's is sbrk()'s: from start_brk on. Another arena's are heaps (struct heap_info of
 * malloc/arena.c), each at an address that is a multiple of 64 MiB; the newest holds the arena's
 * top, and each names the one before it. The arena itself lies in the first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "target/malloc/glibc_internal.h"

#define GLIBC_HEAP_MAX (64ULL << 20)          /* GLIBC_HEAP_MAX_SIZE */
#define HEAPS_MAX      (1U << 17)             /* of an arena: 8 TiB */
#define STATE_REST     (254 * 8 + 16 + 5 * 8) /* of malloc_state, from the bins on */

struct heap_info {
	uint64_t arena, prev, size;
};

struct error *glibc_area_add(struct glibc *glibc, const struct glibc_area *area)
{
	try(array_reserve(&glibc->areas, &glibc->area_capacity, glibc->area_count, 1,
			  sizeof(*area)));
	glibc->areas[glibc->area_count] = *area;
	/* A heap may grow to its limit later. */
	glibc->areas[glibc->area_count++].spans =
		((area->heap ? GLIBC_HEAP_MAX : area->end - area->start) >> GLIBC_MARKS_SPAN) + 1;
	return NULL;
}

void glibc_areas_clear(struct glibc *glibc, enum glibc_mark mark)
{
	size_t i;
	uint64_t j;

	for (i = 0; i < glibc->area_count; i++) {
		struct glibc_area *area = &glibc->areas[i];

		if (!area->marks[mark])
			continue;
		for (j = 0; j < area->spans; j++)
			free(area->marks[mark][j]);
		free(area->marks[mark]);
		area->marks[mark] = NULL;
	}
}

void glibc_areas_deinit(struct glibc *glibc)
{
	glibc_areas_clear(glibc, GLIBC_MARK_TCACHE);
	glibc_areas_clear(glibc, GLIBC_MARK_FASTBIN);
	free(glibc->areas);
	glibc->areas = NULL;
	glibc->area_count = 0;
}

struct error *glibc_area_mark(struct glibc_area *area, enum glibc_mark mark, uint64_t address)
{
	uint64_t offset = address - area->start;
	struct glibc_marks ***marks = &area->marks[mark], **span;

	if (offset >> GLIBC_MARKS_SPAN >= area->spans)
		return NULL;
	if (!*marks)
		*marks = calloc(area->spans, sizeof(**marks));
	if (!*marks)
		return error_create_errno(ERROR_FAILED, ENOMEM, "malloc's free chunks");
	span = &(*marks)[offset >> GLIBC_MARKS_SPAN];
	if (!*span)
		*span = calloc(1, sizeof(**span));
	if (!*span)
		return error_create_errno(ERROR_FAILED, ENOMEM, "malloc's free chunks");
	offset = (offset & ((1 << GLIBC_MARKS_SPAN) - 1)) / 16;
	(*span)->bits[offset / 64] |= 1ULL << (offset % 64);
	return NULL;
}

bool glibc_area_marked(const struct glibc_area *area, enum glibc_mark mark, uint64_t address)
{
	uint64_t offset = address - area->start;
	const struct glibc_marks *span;

	if (!area->marks[mark] || offset >> GLIBC_MARKS_SPAN >= area->spans)
		return false;
	span = area->marks[mark][offset >> GLIBC_MARKS_SPAN];
	offset = (offset & ((1 << GLIBC_MARKS_SPAN) - 1)) / 16;
	return span && span->bits[offset / 64] >> (offset % 64) & 1;
}

struct glibc_area *glibc_area_at(const struct glibc *glibc, uint64_t address)
{
	size_t low = 0, high = glibc->area_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (glibc->areas[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == glibc->area_count || glibc->areas[low].start > address)
		return NULL;
	return &glibc->areas[low];
}

static bool is_mapped(const struct glibc *glibc, uint64_t start, uint64_t end)
{
	size_t i;

	for (i = 0; i < glibc->map_count && start < end; i++) {
		const struct process_map *map = &glibc->maps[i];

		if (map->start <= start && start < map->end && map->readable && map->writable &&
		    !map->inode)
			start = map->end;
	}
	return start >= end;
}

/* sbrk()'s memory: *RET's start and end; false if there is none. */
static bool brk_range(const struct glibc *glibc, const struct process_map *maps, size_t count,
		      struct glibc_range *ret)
{
	struct glibc_range range = {0, 0};
	size_t i;

	for (i = 0; i < count; i++) {
		const struct process_map *map = &maps[i];

		if (strcmp(map->path, "[heap]") || !map->readable || !map->writable ||
		    map->end <= glibc->start_brk || (range.end && range.end != map->start))
			continue;
		if (!range.end)
			range.start = map->start < glibc->start_brk ? glibc->start_brk : map->start;
		range.end = map->end;
	}
	if (range.end)
		*ret = range;
	return range.end;
}

/* It belongs to the main_arena whose top is there: more than one C library can be mapped. */
static struct error *brk_find(struct glibc *glibc)
{
	struct glibc_area area = {.brk = true};
	struct glibc_range range;
	size_t i;

	if (!brk_range(glibc, glibc->maps, glibc->map_count, &range))
		return NULL;
	for (i = 0; i < glibc->arena_count; i++) {
		uint64_t top = glibc_arena_top(glibc, &glibc->arenas[i]);

		if (glibc->arenas[i].main && top >= range.start && top < range.end)
			break;
	}
	area.arena = i < glibc->arena_count ? i : 0;
	area.first = glibc_align(range.start, 16);
	/* Marks are by addresses that are multiples of 16. */
	area.start = area.first;
	area.end = range.end;
	return glibc_area_add(glibc, &area);
}

uint64_t glibc_arena_top(struct glibc *glibc, const struct glibc_arena *arena)
{
	uint64_t top = 0;

	glibc_peek(&glibc->small, arena->state + arena->bins - 16, &top, sizeof(top));
	return top;
}

void glibc_area_refresh(struct glibc *glibc, struct glibc_area *area)
{
	struct process_map *maps;
	struct glibc_range range;
	struct heap_info info;
	struct error *error;
	size_t count;

	if (area->heap) {
		if (glibc_peek(&glibc->small, area->start, &info, sizeof(info)) &&
		    info.arena == glibc->arenas[area->arena].state && info.size <= GLIBC_HEAP_MAX &&
		    info.size > area->first - area->start)
			area->end = area->start + info.size;
	} else if (area->brk && glibc->process) {
		error = process_maps(glibc->process, &maps, &count);
		if (error) {
			/* The walk's end says so if the process went. */
			error_destroy(error);
			return;
		}
		if (brk_range(glibc, maps, count, &range) && range.end > area->first)
			area->end = range.end;
		process_maps_destroy(maps, count);
	}
}

static struct error *heaps_find(struct glibc *glibc, size_t index)
{
	const struct glibc_arena arena = glibc->arenas[index];
	uint64_t info_size = arena.state & (GLIBC_HEAP_MAX - 1), top, heap;
	unsigned int count = 0;
	struct glibc_turn turn = {0};
	struct heap_info info;

	if (!glibc_peek(&glibc->small, arena.state + arena.bins - 16, &top, sizeof(top)) ||
	    info_size < sizeof(info) || info_size > GLIBC_PAGE) {
		glibc->totals.broken++;
		return NULL;
	}
	for (heap = top & ~(GLIBC_HEAP_MAX - 1); heap; heap = info.prev) {
		struct glibc_area area = {.arena = index, .heap = true};

		if (heap % GLIBC_HEAP_MAX || count++ >= HEAPS_MAX ||
		    !glibc_peek(&glibc->small, heap, &info, sizeof(info)) ||
		    info.arena != arena.state || info.size < info_size ||
		    info.size > GLIBC_HEAP_MAX || info.size % GLIBC_PAGE ||
		    glibc_turn_seen(&turn, heap) || !is_mapped(glibc, heap, heap + info.size)) {
			glibc->totals.broken++;
			return NULL;
		}
		area.start = heap;
		area.end = heap + info.size;
		area.first = heap + info_size;
		/* In the first heap the arena comes before the chunks. */
		if (area.first == arena.state)
			area.first = glibc_align(area.first + arena.bins + STATE_REST, 16);
		if (area.first >= area.end) {
			glibc->totals.broken++;
			return NULL;
		}
		try(glibc_area_add(glibc, &area));
	}
	return NULL;
}

static int area_compare(const void *left, const void *right)
{
	const struct glibc_area *a = left, *b = right;

	return a->start < b->start ? -1 : a->start > b->start;
}

/* Two lists of heaps that meet, or the like: the second is left out. */
static void overlaps_drop(struct glibc *glibc)
{
	size_t i, kept = 0;

	for (i = 0; i < glibc->area_count; i++) {
		if (kept && glibc->areas[i].start < glibc->areas[kept - 1].end) {
			glibc->totals.broken++;
			continue;
		}
		glibc->areas[kept++] = glibc->areas[i];
	}
	glibc->area_count = kept;
}

static void areas_sort(struct glibc *glibc)
{
	if (glibc->area_count)
		qsort(glibc->areas, glibc->area_count, sizeof(*glibc->areas), area_compare);
	overlaps_drop(glibc);
}

struct error *glibc_areas_find(struct glibc *glibc)
{
	size_t i;

	try(brk_find(glibc));
	for (i = 0; i < glibc->arena_count; i++)
		if (!glibc->arenas[i].main)
			try(heaps_find(glibc, i));
	areas_sort(glibc);
	try(glibc_morecore_find(glibc));
	areas_sort(glibc);
	return NULL;
}
