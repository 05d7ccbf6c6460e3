// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Copies of the target's memory, piece by piece, without the pages that it never touched. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "target/malloc/glibc_internal.h"
#include "target/process/pagemap.h"

#define PAGEMAP_BATCH 512

struct error *glibc_buffer_init(struct glibc_buffer *buffer, struct memory *memory, int pagemap,
				uint64_t size)
{
	buffer->memory = memory;
	buffer->pagemap = pagemap;
	buffer->start = buffer->end = 0;
	buffer->capacity = size < GLIBC_BUFFER ? size : GLIBC_BUFFER;
	buffer->data = malloc(size);
	if (!buffer->data)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a walk over malloc's heaps");
	return NULL;
}

void glibc_buffer_deinit(struct glibc_buffer *buffer)
{
	free(buffer->data);
	buffer->data = NULL;
}

static bool read_quietly(struct memory *memory, uint64_t address, void *ret, size_t size)
{
	struct error *error = memory_read(memory, address, ret, size);

	/* The page went meanwhile. */
	error_destroy(error);
	return !error;
}

/*
 * What the pages from START to END are, the first ROOM of them, and no more than PAGEMAP_BATCH.
 * Returns how many: none where END is not behind START.
 */
static size_t pages_look(const struct glibc_buffer *buffer, uint64_t start, uint64_t end,
			 size_t room, uint8_t *ret)
{
	uint64_t entries[PAGEMAP_BATCH], size = end > start ? end - start : 0;
	size_t i, got, count = size / GLIBC_PAGE + !!(size % GLIBC_PAGE);

	if (count > room)
		count = room;
	if (count > PAGEMAP_BATCH)
		count = PAGEMAP_BATCH;
	if (buffer->pagemap < 0) {
		memset(ret, GLIBC_PAGE_READ, count);
		return count;
	}
	got = pagemap_read(buffer->pagemap, start, count, entries);
	for (i = 0; i < count; i++) {
		ret[i] = GLIBC_PAGE_ABSENT;
		if (i >= got)
			continue;
		if (entries[i] & PAGEMAP_PRESENT)
			ret[i] = GLIBC_PAGE_READ;
		else if (entries[i] & PAGEMAP_SWAPPED)
			ret[i] = GLIBC_PAGE_SWAPPED;
	}
	return count;
}

void glibc_buffer_load(struct glibc_buffer *buffer, uint64_t start, uint64_t end)
{
	size_t i, run,
		count = pages_look(buffer, start, end, buffer->capacity / GLIBC_PAGE,
				   buffer->pages);

	buffer->start = start;
	buffer->end = start + count * GLIBC_PAGE;
	buffer->whole = true;
	for (i = 0; i < count; i += run) {
		uint8_t page = buffer->pages[i], *data = buffer->data + i * GLIBC_PAGE;

		for (run = 1; i + run < count && buffer->pages[i + run] == page; run++)
			;
		if (page == GLIBC_PAGE_READ &&
		    read_quietly(buffer->memory, start + i * GLIBC_PAGE, data, run * GLIBC_PAGE))
			continue;
		if (page == GLIBC_PAGE_READ)
			memset(buffer->pages + i, GLIBC_PAGE_ABSENT, run);
		memset(data, 0, run * GLIBC_PAGE);
		buffer->whole = false;
	}
}

/* A page that was swapped out is read where it is asked for. */
static bool page_swap(struct glibc_buffer *buffer, size_t i)
{
	if (buffer->pages[i] != GLIBC_PAGE_SWAPPED ||
	    !read_quietly(buffer->memory, buffer->start + i * GLIBC_PAGE,
			  buffer->data + i * GLIBC_PAGE, GLIBC_PAGE))
		return false;
	buffer->pages[i] = GLIBC_PAGE_READ;
	return true;
}

const void *glibc_buffer_at(struct glibc_buffer *buffer, uint64_t address, size_t size)
{
	uint64_t offset = address - buffer->start;

	if (address < buffer->start || address >= buffer->end || size > buffer->end - address)
		return NULL;
	if (!buffer->whole && buffer->pages[offset / GLIBC_PAGE] != GLIBC_PAGE_READ &&
	    !page_swap(buffer, offset / GLIBC_PAGE))
		return NULL;
	return buffer->data + offset;
}

bool glibc_peek_again(struct glibc_buffer *small, uint64_t address, void *ret, size_t size)
{
	const void *data;

	if (address >= GLIBC_ADDRESS_MAX)
		return false;
	if (address < small->start || address >= small->end)
		glibc_buffer_load(small, address & ~(GLIBC_PAGE - 1),
				  (address & ~(GLIBC_PAGE - 1)) + GLIBC_PAGE);
	data = glibc_buffer_at(small, address, size);
	if (data)
		memcpy(ret, data, size);
	return data;
}

bool glibc_peek(struct glibc_buffer *small, uint64_t address, void *ret, size_t size)
{
	small->start = small->end = 0;
	return glibc_peek_again(small, address, ret, size);
}

uint64_t glibc_pages_next(struct glibc_buffer *small, uint64_t start, uint64_t end)
{
	uint8_t pages[PAGEMAP_BATCH];

	while (start < end) {
		size_t i, count = pages_look(small, start, end, PAGEMAP_BATCH, pages);

		for (i = 0; i < count; i++)
			if (pages[i] != GLIBC_PAGE_ABSENT)
				return start + i * GLIBC_PAGE;
		start += count * GLIBC_PAGE;
	}
	return end;
}
