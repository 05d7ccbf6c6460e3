// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The chunks of an area, one behind the other (struct malloc_chunk of malloc/malloc.c). A chunk's
 * size says where the next one is, whose PREV_INUSE says whether this one is in a bin; then
 * the next one's prev_size repeats the size.
 *
 * A window's chunks are all gone through before one of them is visited, so that a window that
 * was read while it changed can be read again.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/malloc/glibc_internal.h"

#define FENCE        0x10ULL      /* size of what closes an area; 0 behind it */
#define RESYNC_LEAST 16           /* chunks that follow one another are no accident */
#define EARLY        (2ULL << 20) /* bytes of an area where threads' caches mostly are */

static void top_read(struct glibc_walk *walk)
{
	uint64_t top = glibc_arena_top(walk->glibc, &walk->glibc->arenas[walk->area->arena]);

	if (top)
		walk->top = top;
}

void glibc_walk_init(struct glibc_walk *walk, struct glibc *glibc, struct glibc_area *area,
		     uint64_t at)
{
	*walk = (struct glibc_walk){.glibc = glibc, .area = area, .at = at};
	top_read(walk);
}

static void window_load(struct glibc_walk *walk)
{
	glibc_window_load(&walk->glibc->window, walk->at & ~(GLIBC_PAGE - 1),
			  glibc_align(walk->area->end, GLIBC_PAGE));
}

/* The header at ADDRESS, in the window or, if FAR, behind it. */
static bool header_read(struct glibc_walk *walk, uint64_t address, bool far,
			struct glibc_header *ret)
{
	const void *data = glibc_window_at(&walk->glibc->window, address, sizeof(*ret));

	if (data)
		memcpy(ret, data, sizeof(*ret));
	else if (!far || address < walk->glibc->window.end)
		return false;
	else
		return glibc_peek(&walk->glibc->small, address, ret, sizeof(*ret));
	return true;
}

static bool chunk_is_sound(const struct glibc_walk *walk, uint64_t size, struct glibc_header next)
{
	const struct glibc_arena *arena = &walk->glibc->arenas[walk->area->arena];
	bool non_main = size & GLIBC_NON_MAIN;

	if (!(next.size & GLIBC_PREV_INUSE))
		return next.prev_size == (size & ~GLIBC_FLAGS);
	/* A chunk in a bin does not keep that flag. */
	return non_main == !arena->main;
}

enum glibc_end glibc_walk_window(struct glibc_walk *walk)
{
	struct glibc *glibc = walk->glibc;
	uint64_t p = walk->at;

	walk->found = 0;
	for (;;) {
		struct glibc_header header, next;
		uint64_t size;

		walk->at = p;
		if (!header_read(walk, p, false, &header))
			return GLIBC_END_BROKEN;
		size = header.size & ~GLIBC_FLAGS;
		if (p == walk->top || (size == walk->area->end - p && size >= GLIBC_CHUNK_MIN)) {
			walk->top_size = size;
			return GLIBC_END_TOP;
		}
		if (size == FENCE || !size)
			return header.size & (GLIBC_IS_MMAPPED | GLIBC_NON_MAIN) ? GLIBC_END_BROKEN
										 : GLIBC_END_FENCE;
		if (size & 15 || header.size & GLIBC_IS_MMAPPED ||
		    size + sizeof(header) > walk->area->end - p)
			return GLIBC_END_BROKEN;
		/* A chunk that is larger than the window is the only one in it. */
		if (p + size + sizeof(next) > glibc->window.end && walk->found)
			return GLIBC_END_MORE;
		if (!header_read(walk, p + size, true, &next) ||
		    !chunk_is_sound(walk, header.size, next))
			return GLIBC_END_BROKEN;
		glibc->found[walk->found++] = (struct glibc_found){
			p - glibc->window.start,
			!(next.size & GLIBC_PREV_INUSE),
			size,
		};
		p += size;
		if (p >= glibc->window.end) {
			walk->at = p;
			return GLIBC_END_MORE;
		}
	}
}

/* The window from AT on, read again while it does not hold together. */
static enum glibc_end window_walk(struct glibc_walk *walk)
{
	uint64_t at = walk->at;
	enum glibc_end end;
	unsigned int again;
	uint64_t top;

	for (again = 0;; again++) {
		walk->at = at;
		window_load(walk);
		end = glibc_walk_window(walk);
		top = walk->top;
		if (end == GLIBC_END_TOP && walk->at == top) {
			/* Is that still the top? */
			top_read(walk);
			if (walk->top == top)
				break;
		} else if (end != GLIBC_END_BROKEN) {
			break;
		}
		if (again == GLIBC_AGAIN)
			break;
		walk->glibc->totals.read_again += !again;
		top_read(walk);
		glibc_area_refresh(walk->glibc, walk->area);
	}
	return end;
}

static struct error *chunk_visit(struct glibc_walk *walk, const struct glibc_found *found)
{
	struct glibc *glibc = walk->glibc;
	const uint8_t *start = glibc->window.data + found->offset + 16;
	uint64_t held = glibc->window.end - glibc->window.start - found->offset;
	struct glibc_chunk chunk = {
		.address = glibc->window.start + found->offset + 16,
		.size = found->size - 8,
		.total = found->size,
		.state = GLIBC_BIN,
		.start = start,
	};
	uint64_t memory[2] = {0};

	held = held > 16 ? held - 16 : 0;
	chunk.start_size = held < chunk.size ? held : chunk.size;
	if (!found->bin) {
		memcpy(memory, start,
		       chunk.start_size < sizeof(memory) ? chunk.start_size : sizeof(memory));
		try(glibc_state_of(glibc, walk->area, chunk.address, memory, &chunk.state));
	}
	return glibc_emit(glibc, &chunk);
}

static bool is_start(uint64_t size, uint64_t rest)
{
	return (size & ~GLIBC_FLAGS) >= GLIBC_CHUNK_MIN && !(size & 8) &&
	       !(size & GLIBC_IS_MMAPPED) && (size & ~GLIBC_FLAGS) <= rest;
}

bool glibc_walk_starts(struct glibc_walk *walk, uint64_t address)
{
	struct glibc_window *small = &walk->glibc->small;
	uint64_t p = address, size;
	size_t i;

	for (i = 0; i < RESYNC_LEAST; i++) {
		struct glibc_header header, next;

		if (p == walk->top)
			return true;
		if (!glibc_peek_again(small, p, &header, sizeof(header)))
			return false;
		size = header.size & ~GLIBC_FLAGS;
		if (i && size == FENCE)
			return true;
		if (!is_start(header.size, walk->area->end - p))
			return false;
		if (size == walk->area->end - p)
			return true;
		if (size + sizeof(next) > walk->area->end - p ||
		    !glibc_peek_again(small, p + size, &next, sizeof(next)) ||
		    !chunk_is_sound(walk, header.size, next))
			return false;
		p += size;
	}
	return true;
}

/* Where chunks begin again, from ADDRESS on, or the area's end. */
static uint64_t start_find(struct glibc_walk *walk, uint64_t address)
{
	struct glibc *glibc = walk->glibc;
	uint64_t end = walk->area->end;

	top_read(walk);
	glibc->small.start = glibc->small.end = 0;
	while (address + 16 <= end) {
		const struct glibc_header *header;
		uint64_t stop;

		address =
			glibc_pages_next(&glibc->small, address & ~(GLIBC_PAGE - 1), end) > address
				? glibc_pages_next(&glibc->small, address & ~(GLIBC_PAGE - 1), end)
				: address;
		walk->at = address;
		if (address >= end)
			break;
		window_load(walk);
		stop = glibc->window.end < end ? glibc->window.end : end;
		for (; address + 16 <= stop; address += 16) {
			header = glibc_window_at(&glibc->window, address, sizeof(*header));
			if (!header) {
				address |= GLIBC_PAGE - 16;
				continue;
			}
			if ((address == walk->top || is_start(header->size, end - address)) &&
			    glibc_walk_starts(walk, address))
				return address;
		}
	}
	return end;
}

/* What comes behind an area's closing chunks: sbrk() by others, then malloc's again. */
static uint64_t fence_pass(struct glibc_walk *walk)
{
	uint64_t next = walk->area->end;

	if (walk->area->heap) {
		walk->glibc->totals.overhead += next - walk->at;
		return next;
	}
	/* Two of them; the rest of a page is not used. */
	walk->glibc->totals.overhead += 2 * FENCE;
	return start_find(walk, walk->at + 2 * FENCE);
}

static struct error *area_walk(struct glibc *glibc, struct glibc_area *area)
{
	struct glibc_walk walk;
	uint64_t broken;
	size_t i;

	glibc_walk_init(&walk, glibc, area, area->first);
	if (!area->heap)
		walk.at = start_find(&walk, area->first);
	/* What comes before in sbrk()'s memory is not malloc's. */
	if (area->heap)
		glibc->totals.overhead += walk.at - area->start;
	while (walk.at < area->end) {
		enum glibc_end end = window_walk(&walk);

		for (i = 0; i < walk.found; i++)
			try(chunk_visit(&walk, &glibc->found[i]));
		switch (end) {
		case GLIBC_END_MORE:
			break;
		case GLIBC_END_TOP:
			glibc->totals.top.count++;
			glibc->totals.top.bytes += walk.top_size;
			return NULL;
		case GLIBC_END_FENCE:
			walk.at = fence_pass(&walk);
			break;
		case GLIBC_END_BROKEN:
			glibc->totals.broken++;
			broken = walk.at;
			walk.at = start_find(&walk, broken + 16);
			glibc->totals.unknown += walk.at - broken;
			break;
		}
	}
	return NULL;
}

struct error *glibc_walk_areas(struct glibc *glibc)
{
	size_t i;

	for (i = 0; i < glibc->area_count; i++)
		try(area_walk(glibc, &glibc->areas[i]));
	return NULL;
}

/* The caches among AREA's chunks, to END at least; whether there are more chunks. */
static struct error *caches_of(struct glibc_walk *walk, uint64_t limit)
{
	struct glibc *glibc = walk->glibc;
	const struct glibc_area *area = walk->area;
	size_t i;

	while (walk->at < limit) {
		enum glibc_end end = window_walk(walk);

		for (i = 0; i < walk->found; i++) {
			const struct glibc_found *found = &glibc->found[i];
			uint64_t address = glibc->window.start + found->offset + 16;

			if (!found->bin && glibc_cache_is(glibc, address, found->size,
							  address == walk->first + 16))
				try(glibc_cache_add(glibc, address));
		}
		if (end == GLIBC_END_TOP || (end == GLIBC_END_FENCE && area->heap))
			break;
		if (end != GLIBC_END_MORE)
			walk->at = start_find(walk, walk->at + 16);
	}
	return NULL;
}

struct error *glibc_walk_caches(struct glibc *glibc)
{
	struct glibc_walk walk;
	unsigned int pass;
	size_t i;

	/* Mostly they are an arena's first chunks; all has to be seen only if some are missing. */
	for (pass = 0; pass < 2 && (!pass || glibc->cache_count < glibc->threads); pass++) {
		for (i = 0; i < glibc->area_count; i++) {
			struct glibc_area *area = &glibc->areas[i];

			glibc_walk_init(&walk, glibc, area, area->first);
			if (!area->heap)
				walk.at = start_find(&walk, area->first);
			walk.first = walk.at;
			try(caches_of(&walk, !pass && area->end - walk.at > EARLY ? walk.at + EARLY
										  : area->end));
			if (glibc->cache_count >= glibc->threads && pass)
				break;
		}
	}
	return NULL;
}
