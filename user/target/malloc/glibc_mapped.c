// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Chunks that have a mapping of their own (sysmalloc_mmap() of malloc/malloc.c). Nothing lists
 * them. Such a chunk lies at the start of its mapping, or, if an alignment was asked for, so far
 * behind as its prev_size says; IS_MMAPPED is its only flag. Up to 2.42 prev_size and size are
 * the whole mapping, since then they are 16 bytes less. The kernel makes one mapping of neighbours.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/malloc/glibc_internal.h"

#define READ (16 * GLIBC_PAGE) /* bytes of a buffer: most of a chunk is jumped over */
#define HUGE 1ULL              /* MMAP_HP, in prev_size, since 2.43 */

static bool is_candidate(const struct process_map *map)
{
	if (map->inode || map->shared || !map->readable || !map->writable)
		return false;
	return !map->path[0] || !strncmp(map->path, "[anon: glibc", 12);
}

static struct glibc_range range_of_area(const struct glibc_area *area)
{
	/* A heap's end moves; nothing else lies in its 64 MiB. */
	return (struct glibc_range){area->start,
				    area->heap ? area->start + GLIBC_HEAP_MAX : area->end};
}

/* The first range from ADDRESS on that is not to be looked at. */
static struct glibc_range excluded_next(const struct glibc *glibc, uint64_t address)
{
	struct glibc_range next = {UINT64_MAX, UINT64_MAX};
	size_t low = 0, high = glibc->excluded_count, i;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (glibc->excluded[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < glibc->excluded_count)
		next = glibc->excluded[low];
	low = 0;
	high = glibc->area_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (range_of_area(&glibc->areas[middle]).end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (i = low; i < glibc->area_count && i < low + 1; i++) {
		struct glibc_range range = range_of_area(&glibc->areas[i]);

		if (range.start < next.start)
			next = range;
	}
	return next;
}

/*
 * The chunk whose header is OFFSET bytes from START, where its mapping begins, which ends at END at
 * the latest. Returns the mapping's size, 0 for none.
 */
static uint64_t chunk_total(struct glibc_header header, uint64_t offset, uint64_t start,
			    uint64_t end, uint64_t *ret_size)
{
	uint64_t size = header.size & ~GLIBC_FLAGS, whole;

	if ((header.size & GLIBC_FLAGS) != GLIBC_IS_MMAPPED ||
	    (header.prev_size & ~HUGE) != offset || size < GLIBC_CHUNK_MIN || size > end - start)
		return 0;
	whole = offset + size;
	*ret_size = size - 16;
	if (whole % GLIBC_PAGE == GLIBC_PAGE - 16) {
		whole += 16;
		*ret_size = size - 8;
	}
	return whole % GLIBC_PAGE || whole > end - start ? 0 : whole;
}

/*
 * The chunk that begins in the page at ADDRESS of the buffer, in memory from START to END. An
 * alignment of 32 bytes or more puts the header 16 bytes before a multiple of it.
 */
static uint64_t page_chunk(struct glibc *glibc, uint64_t address, uint64_t start, uint64_t end,
			   struct glibc_chunk *ret)
{
	uint64_t within, total, base;

	for (within = 0; within < GLIBC_PAGE; within = within ? within * 2 + 16 : 16) {
		const void *data = glibc_buffer_at(&glibc->buffer, address + within,
						   sizeof(struct glibc_header));
		struct glibc_header header;

		if (!data)
			return 0;
		memcpy(&header, data, sizeof(header));
		base = address;
		/* The mapping may begin pages before. */
		if (within == GLIBC_PAGE - 16) {
			base = address + within - (header.prev_size & ~HUGE);
			if (base > address || base < start || base % GLIBC_PAGE)
				continue;
		}
		total = chunk_total(header, address + within - base, base, end, &ret->size);
		if (!total)
			continue;
		ret->address = address + within + 16;
		ret->total = total;
		return base + total;
	}
	return 0;
}

static struct error *chunk_visit(struct glibc *glibc, struct glibc_chunk *chunk)
{
	uint64_t memory[2] = {0}, held = 0;

	if (chunk->address < glibc->buffer.end)
		held = glibc->buffer.end - chunk->address;
	chunk->start_size = held < chunk->size ? held : chunk->size;
	chunk->start = glibc->buffer.data + (chunk->address - glibc->buffer.start);
	if (chunk->start_size >= sizeof(memory))
		memcpy(memory, chunk->start, sizeof(memory));
	try(glibc_state_of(glibc, NULL, chunk->address, memory, &chunk->state));
	return glibc_emit(glibc, chunk);
}

/* The chunks from START to END, memory that lies together and has nothing else of malloc's. */
static struct error *range_walk(struct glibc *glibc, uint64_t start, uint64_t end)
{
	uint64_t at = start, next;

	while (at < end) {
		struct glibc_chunk chunk = {0};

		if (at < glibc->buffer.start || at >= glibc->buffer.end) {
			at = glibc_pages_next(&glibc->small, at, end);
			if (at >= end)
				break;
			glibc_buffer_load(&glibc->buffer, at, end - at > READ ? at + READ : end);
		}
		next = page_chunk(glibc, at, start, end, &chunk);
		if (next)
			try(chunk_visit(glibc, &chunk));
		at = next ? next : at + GLIBC_PAGE;
	}
	return NULL;
}

/* Less what is excluded. */
static struct error *region_each(struct glibc *glibc, uint64_t start, uint64_t end,
				 struct error *(*each)(struct glibc *glibc, uint64_t start,
						       uint64_t end))
{
	while (start < end) {
		struct glibc_range out = excluded_next(glibc, start);

		if (out.start > end)
			out.start = end;
		if (out.start > start)
			try(each(glibc, start, out.start));
		start = out.end > start ? out.end : end;
	}
	return NULL;
}

struct error *glibc_unknown_each(struct glibc *glibc,
				 struct error *(*each)(struct glibc *glibc, uint64_t start,
						       uint64_t end))
{
	size_t i, j;

	for (i = 0; i < glibc->map_count; i = j) {
		j = i + 1;
		if (!is_candidate(&glibc->maps[i]))
			continue;
		while (j < glibc->map_count && is_candidate(&glibc->maps[j]) &&
		       glibc->maps[j].start == glibc->maps[j - 1].end)
			j++;
		glibc->buffer.start = glibc->buffer.end = 0;
		try(region_each(glibc, glibc->maps[i].start, glibc->maps[j - 1].end, each));
	}
	return NULL;
}

struct error *glibc_mapped_each(struct glibc *glibc)
{
	return glibc_unknown_each(glibc, range_walk);
}
