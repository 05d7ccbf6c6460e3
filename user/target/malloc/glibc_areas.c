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

#define HEAPS_MAX  (1U << 17)             /* of an arena: 8 TiB */
#define STATE_REST (254 * 8 + 16 + 5 * 8) /* of malloc_state, from the bins on */

struct heap_info {
	uint64_t arena, prev, size;
};

struct error *glibc_area_add(struct glibc *glibc, const struct glibc_area *area)
{
	try(array_reserve(&glibc->areas, &glibc->area_capacity, glibc->area_count, 1,
			  sizeof(*area)));
	glibc->areas[glibc->area_count] = *area;
	glibc->areas[glibc->area_count++].most = area->end;
	return NULL;
}

void glibc_areas_clear(struct glibc *glibc, enum glibc_mark mark)
{
	size_t i, j;

	for (i = 0; i < glibc->area_count; i++) {
		struct glibc_area *area = &glibc->areas[i];

		for (j = 0; j < area->spans[mark]; j++)
			free(area->marks[mark][j]);
		free(area->marks[mark]);
		area->marks[mark] = NULL;
		area->spans[mark] = 0;
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

/* Makes room for marks as far as the area goes now, SPAN among them. */
static struct error *spans_reserve(struct glibc_area *area, enum glibc_mark mark, size_t span)
{
	size_t count = area->spans[mark],
	       wanted = (glibc_area_left(area, area->start) >> GLIBC_MARKS_SPAN) + 1;
	struct glibc_marks **marks;

	if (span < count)
		return NULL;
	marks = reallocarray(area->marks[mark], wanted, sizeof(*marks));
	if (!marks)
		return error_create_errno(ERROR_FAILED, ENOMEM, "malloc's free chunks");
	memset(marks + count, 0, (wanted - count) * sizeof(*marks));
	area->marks[mark] = marks;
	area->spans[mark] = wanted;
	return NULL;
}

struct error *glibc_area_mark(struct glibc_area *area, enum glibc_mark mark, uint64_t address)
{
	uint64_t offset = address - area->start;
	struct glibc_marks **span;

	if (address < area->start || !glibc_area_left(area, address))
		return NULL;
	try(spans_reserve(area, mark, offset >> GLIBC_MARKS_SPAN));
	span = &area->marks[mark][offset >> GLIBC_MARKS_SPAN];
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

	if (address < area->start || offset >> GLIBC_MARKS_SPAN >= area->spans[mark])
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

		if (!glibc_area_left(&glibc->areas[middle], address))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == glibc->area_count || glibc->areas[low].start > address)
		return NULL;
	return &glibc->areas[low];
}

/* The maps as they are now. PRIVATE, to be freed, or those of a test. */
struct maps {
	struct process_map *list, *private;
	size_t count;
};

static void maps_deinit(struct maps *maps)
{
	process_maps_destroy(maps->private, maps->count);
}

static struct error *maps_read(const struct glibc *glibc, struct maps *ret)
{
	*ret = (struct maps){glibc->maps, NULL, glibc->map_count};
	if (!glibc->process)
		return NULL;
	try(process_maps(glibc->process, &ret->private, &ret->count));
	ret->list = ret->private;
	return NULL;
}

/* How far memory without a file goes on from START, END at the most; START if there is none. */
static uint64_t mapped_end(const struct process_map *maps, size_t count, uint64_t start,
			   uint64_t end)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (maps[middle].end <= start)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < count && start < end && maps[low].start <= start; low++) {
		if (!maps[low].readable || !maps[low].writable || maps[low].inode)
			break;
		start = maps[low].end;
	}
	return start < end ? start : end;
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

/* Can INFO, read at HEAP, be of a heap of ARENA's whose chunks begin at FIRST? */
static bool heap_is_sound(const struct heap_info *info, const struct glibc_arena *arena,
			  uint64_t heap, uint64_t first)
{
	return info->arena == arena->state && info->size <= GLIBC_HEAP_MAX &&
	       !(info->size % GLIBC_PAGE) && info->size > first - heap;
}

/* Where a heap ends by what it says itself; its start if it is no more. */
static uint64_t heap_end(struct glibc *glibc, const struct glibc_area *area)
{
	struct heap_info info;

	if (!glibc_peek(&glibc->small, area->start, &info, sizeof(info)) ||
	    !heap_is_sound(&info, &glibc->arenas[area->arena], area->start, area->first))
		return area->start;
	return area->start + info.size;
}

/* AREA ends at END, or before that where it is no longer mapped or another one begins. */
static void end_set(const struct glibc *glibc, struct glibc_area *area, const struct maps *maps,
		    uint64_t end)
{
	struct glibc_range range;

	if (area->brk)
		end = brk_range(glibc, maps->list, maps->count, &range) &&
				      range.start <= area->start
			      ? range.end
			      : area->start;
	if (area + 1 < glibc->areas + glibc->area_count && end > area[1].start)
		end = area[1].start;
	end = mapped_end(maps->list, maps->count, area->start, end);
	area->end = end > area->first ? end : area->start;
	if (area->end > area->most)
		area->most = area->end;
}

struct error *glibc_area_refresh(struct glibc *glibc, struct glibc_area *area)
{
	cleanup(maps_deinit) struct maps maps = {0};
	uint64_t end = area->heap ? heap_end(glibc, area) : area->most;

	/* What it was is mapped, or reading it will tell. */
	if (area->heap && end <= area->end) {
		area->end = end;
		return NULL;
	}
	try(maps_read(glibc, &maps));
	end_set(glibc, area, &maps, end);
	return NULL;
}

struct error *glibc_areas_settle(struct glibc *glibc)
{
	cleanup(maps_deinit) struct maps maps = {0};
	size_t i;

	try(maps_read(glibc, &maps));
	for (i = 0; i < glibc->area_count; i++) {
		struct glibc_area *area = &glibc->areas[i];

		end_set(glibc, area, &maps, area->heap ? heap_end(glibc, area) : area->most);
		glibc->totals.vanished += area->most - area->end;
	}
	return NULL;
}

/* What the heap at ADDRESS is to be walked as; false if it is none of the arena's. */
static bool heap_read(struct glibc *glibc, size_t index, uint64_t address, struct heap_info *ret,
		      struct glibc_area *ret_area)
{
	const struct glibc_arena *arena = &glibc->arenas[index];
	struct glibc_area area = {.start = address, .arena = index, .heap = true};

	if (address % GLIBC_HEAP_MAX || !glibc_peek(&glibc->small, address, ret, sizeof(*ret)))
		return false;
	area.first = address + (arena->state & (GLIBC_HEAP_MAX - 1));
	/* In the first heap the arena comes before the chunks. */
	if (area.first == arena->state)
		area.first = glibc_align(area.first + arena->bins + STATE_REST, 16);
	area.end = address + ret->size;
	*ret_area = area;
	return heap_is_sound(ret, arena, address, area.first) &&
	       mapped_end(glibc->maps, glibc->map_count, address, area.end) == area.end;
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
		struct glibc_area area;

		if (count++ >= HEAPS_MAX || glibc_turn_seen(&turn, heap) ||
		    !heap_read(glibc, index, heap, &info, &area)) {
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
		if (kept && glibc_area_left(&glibc->areas[kept - 1], glibc->areas[i].start)) {
			glibc->totals.broken++;
			continue;
		}
		glibc->areas[kept++] = glibc->areas[i];
	}
	glibc->area_count = kept;
}

void glibc_areas_sort(struct glibc *glibc)
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
	glibc_areas_sort(glibc);
	return NULL;
}
