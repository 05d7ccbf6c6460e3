// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether the blocks that are tracked are still there. */
#include "trace/sampling/tracked.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "python/heap/pools.h"
#include "python/python.h"
#include "target/process/process.h"
#include "trace/sampling/classes.h"
#include "trace/estimate/estimate.h"

/* Blocks to look at, by address: those of one pool are neighbours. */
struct look {
	const struct tracked_heap *heap;
	struct tracked **list; /* those of this pool */
	size_t count;
	bool first; /* right after their window: they get their type and marks */
	bool visited;
};

void tracked_heap_init(struct tracked_heap *heap, const struct python *python,
		       struct process *process, struct classes *classes, struct python_pools *pools)
{
	const struct image *image = python->image;

	*heap = (struct tracked_heap){.python = python,
				      .process = process,
				      .classes = classes,
				      .pools = pools,
				      .common = {.start = UINT64_MAX}};
	fingerprint_reader_init(&heap->reader, python);
	for (size_t i = 0; i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];
		uint64_t start = python->bias + segment->address;

		if (start < heap->common.start)
			heap->common.start = start;
		if (start + segment->memory_size > heap->common.end)
			heap->common.end = start + segment->memory_size;
	}
}

static void tracked_die(struct tracked *block)
{
	block->died = clock_now(CLOCK_MONOTONIC);
}

/* Notes what tells BLOCK from another one of its type that takes its place. */
static struct error *marks_note(const struct look *look, struct tracked *block,
				const uint8_t *memory, uint32_t size, uint32_t fields)
{
	fingerprint_words_make(memory, size, fields, &look->heap->common, &block->words);
	return fingerprint_make(&look->heap->reader, memory, size, fields, &block->fingerprint);
}

static struct error *block_look(struct look *look, struct tracked *block, const uint8_t *memory,
				uint32_t size)
{
	const struct fingerprint_reader *reader = &look->heap->reader;
	enum fingerprint_match match = FINGERPRINT_UNKNOWN;
	struct classes_block now;

	if (!look->first && size != block->block_size) {
		tracked_die(block);
		return NULL;
	}
	try(classes_block(look->heap->classes, memory, size, &now));
	/* An object that waits in a free list has no owner. */
	if (now.unreferenced) {
		tracked_die(block);
		return NULL;
	}
	if (look->first) {
		if (block->reused)
			block->size = now.object_size ? now.object_size : size;
		block->block_size = size;
		block->class = now.class;
		block->type = now.type;
		block->constant = now.constant;
		block->content = now.content;
		return now.constant ? NULL : marks_note(look, block, memory, size, now.fields);
	}
	if (now.type == block->type && !block->constant)
		try(fingerprint_match(reader, memory, size, &block->fingerprint, &match));
	if (now.type != block->type || (block->constant && now.content != block->content) ||
	    match == FINGERPRINT_OTHER ||
	    (match == FINGERPRINT_UNKNOWN &&
	     !fingerprint_words_kept(&block->words, memory, size))) {
		tracked_die(block);
		return NULL;
	}
	/* A live block may change little by little. */
	if (!now.constant)
		fingerprint_words_make(memory, size, now.fields, &look->heap->common,
				       &block->words);
	return NULL;
}

static struct error *pool_look(void *context, const struct python_pool *pool)
{
	struct look *look = context;

	look->visited = true;
	for (size_t i = 0; i < look->count; i++) {
		struct tracked *block = look->list[i];
		uint64_t offset = block->address - pool->address;
		uint64_t n = (offset - PYTHON_POOL_OVERHEAD) / pool->block_size;

		if (offset < PYTHON_POOL_OVERHEAD || n >= pool->carved ||
		    (offset - PYTHON_POOL_OVERHEAD) % pool->block_size ||
		    !python_block_live(pool, (uint32_t)n)) {
			tracked_die(block);
			continue;
		}
		try(block_look(look, block, pool->memory + offset, pool->block_size));
	}
	return NULL;
}

/*
 * malloc_chunk of glibc's malloc.c: the size, with three flags, lies before the block, and "in use"
 * in the next chunk.
 */
enum tracked_chunk tracked_chunk(struct process *process, uint64_t address, uint64_t *ret_size)
{
	struct memory *memory = &process->memory;
	uint64_t size = 0, next = 0;
	struct error *error = memory_read_u64(memory, address - 8, &size);
	bool mapped = size & 2, in_use = true;
	enum tracked_chunk state;

	size &= ~7ull;
	if (!error && !mapped && size >= 32 && size < 1ull << 40) {
		error = memory_read_u64(memory, address - 8 + size, &next);
		in_use = next & 1;
	}
	if (error)
		state = error_number(error) == EFAULT ? TRACKED_FREE : TRACKED_UNKNOWN;
	else
		state = in_use && size >= 32 ? TRACKED_USED : TRACKED_FREE;
	error_destroy(error);
	if (state == TRACKED_USED)
		*ret_size = size;
	return state;
}

static void raw_look(struct look *look, struct tracked *block)
{
	uint64_t size = 0;
	enum tracked_chunk state = tracked_chunk(look->heap->process, block->address, &size);

	block->class = CLASSES_NATIVE;
	if (state == TRACKED_FREE ||
	    (state == TRACKED_USED &&
	     (size < block->size || (!look->first && (uint32_t)(size >> 4) != block->block_size))))
		tracked_die(block);
	else if (state == TRACKED_USED)
		block->block_size = (uint32_t)(size >> 4);
}

static int address_compare(const void *left, const void *right)
{
	const struct tracked *a = *(struct tracked *const *)left;
	const struct tracked *b = *(struct tracked *const *)right;

	return a->address < b->address ? -1 : a->address > b->address;
}

struct error *tracked_look(const struct tracked_heap *heap, struct tracked **list, size_t count,
			   bool first)
{
	uint64_t mask = heap->python->heap.pool_size - 1;
	struct look look = {.heap = heap, .first = first};

	qsort(list, count, sizeof(*list), address_compare);
	for (size_t i = 0, end; i < count; i = end) {
		uint64_t pool = list[i]->address & ~mask, unstable;

		end = i + 1;
		if (list[i]->raw) {
			raw_look(&look, list[i]);
			continue;
		}
		while (end < count && !list[end]->raw && (list[end]->address & ~mask) == pool)
			end++;
		look.list = list + i;
		look.count = end - i;
		look.visited = false;
		unstable = python_pools_unread(heap->pools).unstable;
		try(python_pools_at(heap->pools, pool, pool_look, &look));
		/*
		 * A pool that changed whenever it was read tells nothing: next time. But blocks of
		 * which nothing is known yet are given up.
		 */
		if (look.visited ||
		    (!first && python_pools_unread(heap->pools).unstable != unstable))
			continue;
		for (size_t k = i; k < end; k++)
			tracked_die(list[k]);
	}
	return NULL;
}
