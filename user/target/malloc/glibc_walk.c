// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The chunks of an area, one behind the other (struct malloc_chunk of malloc/malloc.c). A chunk's
 * size says where the next one is, whose PREV_INUSE says whether this one is in a bin; then
 * the next one's prev_size repeats the size.
 *
 * A buffer's chunks are all gone through before one of them is visited, so that a buffer that
 * was read while it changed can be read again.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/malloc/glibc_internal.h"

#define FENCE        0x10ULL      /* size of what closes an area; 0 behind it */
#define RESYNC_LEAST 16           /* chunks that follow one another are no accident */
#define EARLY        (2ULL << 20) /* bytes of an area where threads' caches mostly are */
/*
 * How often an area's memory may be read, and so many buffers more. Heaps that change are read a
 * little more than once; one where chunks break off again and again is made so.
 */
#define LOADS_TIMES 4
#define LOADS_MORE  64

static void top_read(struct glibc_walk *walk)
{
	uint64_t top = glibc_arena_top(walk->glibc, &walk->glibc->arenas[walk->area->arena]);

	if (top)
		walk->top = top;
}

void glibc_walk_init(struct glibc_walk *walk, struct glibc *glibc, struct glibc_area *area,
		     uint64_t at)
{
	*walk = (struct glibc_walk){.glibc = glibc, .area = area, .at = at, .limit = UINT64_MAX};
	walk->loads_most = LOADS_MORE + LOADS_TIMES * (glibc_area_left(area, at) / GLIBC_BUFFER);
	top_read(walk);
}

bool glibc_walk_goes_on(struct glibc_walk *walk)
{
	uint64_t left = glibc_area_left(walk->area, walk->at);
	bool moved = walk->at > walk->asked;

	walk->asked = walk->at;
	if (!left || walk->at >= walk->limit)
		return false;
	moved &= walk->loads < walk->loads_most;
	if (!moved)
		walk->given_up = left;
	return moved;
}

/* Bytes between FROM and the walk's place that the area still has. */
static uint64_t passed_since(const struct glibc_walk *walk, uint64_t from)
{
	return glibc_area_left(walk->area, from) - glibc_area_left(walk->area, walk->at);
}

static void buffer_load(struct glibc_walk *walk)
{
	walk->loads++;
	glibc_buffer_load(&walk->glibc->buffer, walk->at & ~(GLIBC_PAGE - 1),
			  glibc_align(walk->area->end, GLIBC_PAGE));
}

/* The header at ADDRESS, in the buffer or, if FAR, behind it. */
static bool header_read(struct glibc_walk *walk, uint64_t address, bool far,
			struct glibc_header *ret)
{
	const void *data = glibc_buffer_at(&walk->glibc->buffer, address, sizeof(*ret));

	if (data)
		memcpy(ret, data, sizeof(*ret));
	else if (!far || address < walk->glibc->buffer.end)
		return false;
	else
		return glibc_peek(&walk->glibc->small, address, ret, sizeof(*ret));
	return true;
}

/*
 * Does a chunk of SIZE, where LEFT bytes are to the area's end, leave another one's header behind
 * it?
 */
static bool chunk_fits(uint64_t size, uint64_t left)
{
	return size <= left && left - size >= sizeof(struct glibc_header);
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

/* Is the chunk of SIZE at P the area's last one, which nothing follows? */
static bool is_top(const struct glibc_walk *walk, uint64_t p, uint64_t size, uint64_t left)
{
	return size >= GLIBC_CHUNK_MIN && (size == left || (p == walk->top && size < left));
}

enum glibc_end glibc_walk_buffer(struct glibc_walk *walk)
{
	struct glibc *glibc = walk->glibc;
	uint64_t p = walk->at, left;

	walk->found = 0;
	while ((left = glibc_area_left(walk->area, p))) {
		struct glibc_header header, next;
		uint64_t size;

		walk->at = p;
		if (p >= glibc->buffer.end && walk->found)
			return GLIBC_END_MORE;
		if (!header_read(walk, p, false, &header))
			return GLIBC_END_BROKEN;
		size = header.size & ~GLIBC_FLAGS;
		if (is_top(walk, p, size, left)) {
			walk->top_size = size;
			return GLIBC_END_TOP;
		}
		if (p == walk->top)
			return GLIBC_END_BROKEN;
		if (size == FENCE || !size)
			return header.size & (GLIBC_IS_MMAPPED | GLIBC_NON_MAIN) ? GLIBC_END_BROKEN
										 : GLIBC_END_FENCE;
		if (size & 15 || header.size & GLIBC_IS_MMAPPED || !chunk_fits(size, left))
			return GLIBC_END_BROKEN;
		/* A chunk that is larger than the buffer is the only one in it. */
		if (p + size + sizeof(next) > glibc->buffer.end && walk->found)
			return GLIBC_END_MORE;
		if (!header_read(walk, p + size, true, &next) ||
		    !chunk_is_sound(walk, header.size, next))
			return GLIBC_END_BROKEN;
		glibc->found[walk->found++] = (struct glibc_found){
			p - glibc->buffer.start,
			!(next.size & GLIBC_PREV_INUSE),
			size,
		};
		p += size;
	}
	walk->at = p;
	return GLIBC_END_AREA;
}

/* The buffer from AT on, read again while it does not hold together. */
static struct error *buffer_walk(struct glibc_walk *walk, enum glibc_end *ret)
{
	uint64_t at = walk->at;
	unsigned int again;
	uint64_t top;

	for (again = 0;; again++) {
		walk->at = at;
		buffer_load(walk);
		*ret = glibc_walk_buffer(walk);
		top = walk->top;
		if (*ret == GLIBC_END_TOP && walk->at == top) {
			/* Is that still the top? */
			top_read(walk);
			if (walk->top == top)
				break;
		} else if (*ret != GLIBC_END_BROKEN) {
			break;
		}
		if (again == GLIBC_AGAIN)
			break;
		walk->glibc->totals.read_again += !again;
		top_read(walk);
		try(glibc_area_refresh(walk->glibc, walk->area));
	}
	return NULL;
}

static struct error *chunk_visit(struct glibc_walk *walk, const struct glibc_found *found)
{
	struct glibc *glibc = walk->glibc;
	const uint8_t *start = glibc->buffer.data + found->offset + 16;
	uint64_t held = glibc->buffer.end - glibc->buffer.start - found->offset;
	struct glibc_chunk chunk = {
		.address = glibc->buffer.start + found->offset + 16,
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

static bool is_start(uint64_t size, uint64_t left)
{
	return (size & ~GLIBC_FLAGS) >= GLIBC_CHUNK_MIN && !(size & 8) &&
	       !(size & GLIBC_IS_MMAPPED) && (size & ~GLIBC_FLAGS) <= left;
}

bool glibc_walk_starts(struct glibc_walk *walk, uint64_t address)
{
	struct glibc_buffer *small = &walk->glibc->small;
	uint64_t p = address, left;
	size_t i;

	for (i = 0; i < RESYNC_LEAST && (left = glibc_area_left(walk->area, p)); i++) {
		struct glibc_header header, next;
		uint64_t size;

		if (p == walk->top)
			return true;
		if (!glibc_peek_again(small, p, &header, sizeof(header)))
			return false;
		size = header.size & ~GLIBC_FLAGS;
		if (i && size == FENCE)
			return true;
		if (!is_start(header.size, left))
			return false;
		if (size == left)
			return true;
		if (!chunk_fits(size, left) ||
		    !glibc_peek_again(small, p + size, &next, sizeof(next)) ||
		    !chunk_is_sound(walk, header.size, next))
			return false;
		p += size;
	}
	return i == RESYNC_LEAST;
}

/*
 * Looks for where chunks begin in the buffer, from the walk's place on; if nowhere, that is at the
 * buffer's end.
 */
static bool buffer_search(struct glibc_walk *walk)
{
	struct glibc *glibc = walk->glibc;

	buffer_load(walk);
	for (; walk->at < glibc->buffer.end; walk->at += sizeof(struct glibc_header)) {
		const struct glibc_header *header =
			glibc_buffer_at(&glibc->buffer, walk->at, sizeof(*header));

		if (!header)
			walk->at |= GLIBC_PAGE - sizeof(*header);
		else if ((walk->at == walk->top ||
			  is_start(header->size, glibc_area_left(walk->area, walk->at))) &&
			 glibc_walk_starts(walk, walk->at))
			return true;
	}
	return false;
}

/*
 * Takes the walk to where chunks begin again, from ADDRESS on, which lies behind its place, or to
 * the area's end. Returns how many bytes it has passed.
 */
static uint64_t start_find(struct glibc_walk *walk, uint64_t address)
{
	struct glibc_buffer *small = &walk->glibc->small;
	uint64_t from = walk->at, left;

	top_read(walk);
	small->start = small->end = 0;
	walk->at = address;
	while ((left = glibc_area_left(walk->area, walk->at))) {
		uint64_t end = walk->at + left, page = walk->at & ~(GLIBC_PAGE - 1);
		uint64_t next = glibc_pages_next(small, page, end);

		if (next > page)
			walk->at = next;
		if (next < end && buffer_search(walk))
			break;
	}
	return passed_since(walk, from);
}

/* What comes behind an area's closing chunks: sbrk() by others, then malloc's again. */
static void fence_pass(struct glibc_walk *walk)
{
	uint64_t *overhead = &walk->glibc->totals.overhead, from = walk->at;

	/* Two of them; the rest of a page is not used, nor that of a heap. */
	walk->at += walk->area->heap ? glibc_area_left(walk->area, from) : 2 * FENCE;
	*overhead += passed_since(walk, from);
	if (!walk->area->heap)
		start_find(walk, walk->at);
}

/* A walk from AREA's first chunk on, to its end as it is now. */
static struct error *area_begin(struct glibc_walk *walk, struct glibc *glibc,
				struct glibc_area *area)
{
	try(glibc_area_refresh(glibc, area));
	glibc_walk_init(walk, glibc, area, area->first);
	/* What comes before in sbrk()'s memory is not malloc's. */
	if (!area->heap)
		start_find(walk, walk->at);
	walk->first = walk->at;
	return NULL;
}

static struct error *area_walk(struct glibc *glibc, struct glibc_area *area)
{
	struct glibc_walk walk;
	size_t i;

	try(area_begin(&walk, glibc, area));
	if (area->heap)
		glibc->totals.overhead += passed_since(&walk, area->start);
	while (glibc_walk_goes_on(&walk)) {
		enum glibc_end end;

		try(buffer_walk(&walk, &end));
		for (i = 0; i < walk.found; i++)
			try(chunk_visit(&walk, &glibc->found[i]));
		switch (end) {
		case GLIBC_END_MORE:
		case GLIBC_END_AREA:
			break;
		case GLIBC_END_TOP:
			glibc->totals.top.count++;
			glibc->totals.top.bytes += walk.top_size;
			return NULL;
		case GLIBC_END_FENCE:
			fence_pass(&walk);
			break;
		case GLIBC_END_BROKEN:
			glibc->totals.broken++;
			glibc->totals.unknown += start_find(&walk, walk.at + 16);
			break;
		}
	}
	glibc->totals.broken += walk.given_up > 0;
	glibc->totals.unknown += walk.given_up;
	return NULL;
}

struct error *glibc_walk_areas(struct glibc *glibc)
{
	size_t i;

	for (i = 0; i < glibc->area_count; i++)
		try(area_walk(glibc, &glibc->areas[i]));
	return NULL;
}

/* The caches among the chunks from the walk's place to its limit at least. */
static struct error *caches_of(struct glibc_walk *walk)
{
	struct glibc *glibc = walk->glibc;
	const struct glibc_area *area = walk->area;
	size_t i;

	while (glibc_walk_goes_on(walk)) {
		enum glibc_end end;

		try(buffer_walk(walk, &end));
		for (i = 0; i < walk->found; i++) {
			const struct glibc_found *found = &glibc->found[i];
			uint64_t address = glibc->buffer.start + found->offset + 16;

			if (!found->bin && glibc_cache_is(glibc, address, found->size,
							  address == walk->first + 16))
				try(glibc_cache_add(glibc, address));
		}
		if (end == GLIBC_END_TOP || (end == GLIBC_END_FENCE && area->heap))
			break;
		if (end == GLIBC_END_FENCE || end == GLIBC_END_BROKEN)
			start_find(walk, walk->at + 16);
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
			try(area_begin(&walk, glibc, &glibc->areas[i]));
			if (!pass)
				walk.limit = walk.at + EARLY;
			try(caches_of(&walk));
			if (glibc->cache_count >= glibc->threads && pass)
				break;
		}
	}
	return NULL;
}
