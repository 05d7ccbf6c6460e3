// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* malloc's blocks, sorted, with the first one of each unit of addresses. */
#include "python/heap/chunks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"

#define UNIT_BITS 20

void python_chunks_deinit(struct python_chunks *chunks)
{
	free(chunks->list);
	free(chunks->units);
	free(chunks->firsts);
	*chunks = (struct python_chunks){0};
}

struct error *python_chunks_add(struct python_chunks *chunks, uint64_t address, uint64_t size)
{
	try(array_reserve(&chunks->list, &chunks->capacity, chunks->count, 1,
			  sizeof(*chunks->list)));
	chunks->list[chunks->count++] = (struct python_chunk){address, size, 0};
	return NULL;
}

static int compare_chunks(const void *left, const void *right)
{
	const struct python_chunk *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

struct error *python_chunks_settle(struct python_chunks *chunks)
{
	if (chunks->count == 0)
		return NULL;
	qsort(chunks->list, chunks->count, sizeof(*chunks->list), compare_chunks);
	chunks->lowest = chunks->list[0].address;
	chunks->highest =
		chunks->list[chunks->count - 1].address + chunks->list[chunks->count - 1].size;
	chunks->units = reallocarray(NULL, chunks->count, sizeof(*chunks->units));
	chunks->firsts = reallocarray(NULL, chunks->count, sizeof(*chunks->firsts));
	if (!chunks->units || !chunks->firsts)
		return error_create_errno(ERROR_FAILED, ENOMEM, "malloc's blocks");
	for (size_t i = 0; i < chunks->count; i++) {
		uint64_t unit = chunks->list[i].address >> UNIT_BITS;

		if (chunks->unit_count && chunks->units[chunks->unit_count - 1] == unit)
			continue;
		chunks->units[chunks->unit_count] = unit;
		chunks->firsts[chunks->unit_count++] = i;
	}
	return NULL;
}

/* How many of COUNT sorted units are not above UNIT. */
static size_t units_upto(const struct python_chunks *chunks, uint64_t unit)
{
	size_t low = 0, high = chunks->unit_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (chunks->units[middle] <= unit)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct python_chunk *python_chunks_find(const struct python_chunks *chunks, uint64_t address)
{
	size_t unit, low, high;
	struct python_chunk *chunk;

	if (address < chunks->lowest || address >= chunks->highest)
		return NULL;
	unit = units_upto(chunks, address >> UNIT_BITS);
	if (unit == 0)
		return NULL;
	/* The last one whose address is not above; the first of a unit may be above it. */
	low = chunks->firsts[unit - 1];
	high = unit < chunks->unit_count ? chunks->firsts[unit] : chunks->count;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (chunks->list[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return NULL;
	chunk = &chunks->list[low - 1];
	return address - chunk->address < chunk->size ? chunk : NULL;
}
