// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads pools arena by arena, and again what was torn while the target changed it. */
#include "python/heap/pools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/heap/arenas.h"
#include "python/python.h"

#define READ_AGAIN 5 /* a pool that did not hold together: a torn read hardly survives two */

/* struct pool_header. */
struct pool_header {
	uint32_t count;
	uint32_t padding;
	uint64_t freeblock, nextpool, prevpool;
	uint32_t arenaindex, szidx, nextoffset, maxnextoffset;
};

_Static_assert(sizeof(struct pool_header) == PYTHON_POOL_OVERHEAD,
	       "struct pool_header of Objects/obmalloc.c");

struct python_pools {
	const struct python *python;
	uint8_t *memory; /* of one arena */
	uint64_t free[PYTHON_POOL_BLOCKS / 64];
	struct python_pools_unread unread;
};

struct error *python_pools_create(const struct python *python, struct python_pools **ret)
{
	struct python_pools *pools = calloc(1, sizeof(*pools));

	if (pools)
		pools->memory = malloc((size_t)1 << python->heap.arena_bits);
	if (!pools || !pools->memory) {
		free(pools);
		return error_create_errno(ERROR_FAILED, ENOMEM, "a walk over pymalloc's pools");
	}
	pools->python = python;
	*ret = pools;
	return NULL;
}

void python_pools_destroy(struct python_pools *pools)
{
	if (!pools)
		return;
	free(pools->memory);
	free(pools);
}

struct python_pools_unread python_pools_unread(const struct python_pools *pools)
{
	return pools->unread;
}

/* What a pool's header tells of it; SOUND: that it does not contradict itself. */
static enum python_pool_state header_parse(const struct python_heap *heap,
					   const struct pool_header *header,
					   struct python_pool *pool)
{
	uint32_t classes = 512 / heap->alignment;

	pool->live = header->count;
	if (header->count == 0)
		return PYTHON_POOL_EMPTY;
	if (header->szidx >= classes)
		return PYTHON_POOL_NONE;
	pool->block_size = (header->szidx + 1) * heap->alignment;
	if (header->maxnextoffset != heap->pool_size - pool->block_size ||
	    header->nextoffset < PYTHON_POOL_OVERHEAD || header->nextoffset > heap->pool_size ||
	    (header->nextoffset - PYTHON_POOL_OVERHEAD) % pool->block_size)
		return PYTHON_POOL_NONE;
	pool->carved = (header->nextoffset - PYTHON_POOL_OVERHEAD) / pool->block_size;
	return header->count <= pool->carved ? PYTHON_POOL_SOUND : PYTHON_POOL_TORN;
}

enum python_pool_state python_pool_parse(const struct python_heap *heap, const uint8_t *memory,
					 uint64_t free_blocks[PYTHON_POOL_BLOCKS / 64],
					 struct python_pool *pool)
{
	enum python_pool_state state;
	struct pool_header header;
	uint32_t free_count = 0;
	uint64_t block;

	memcpy(&header, memory, sizeof(header));
	state = header_parse(heap, &header, pool);
	if (state != PYTHON_POOL_SOUND)
		return state;
	memset(free_blocks, 0, PYTHON_POOL_BLOCKS / 8);
	for (block = header.freeblock; block; free_count++) {
		uint64_t offset = block - pool->address - PYTHON_POOL_OVERHEAD;
		uint64_t i = offset / pool->block_size;

		if (i >= pool->carved || offset % pool->block_size || free_count >= pool->carved)
			return PYTHON_POOL_TORN;
		free_blocks[i / 64] |= 1ULL << (i % 64);
		memcpy(&block, memory + PYTHON_POOL_OVERHEAD + offset, sizeof(block));
	}
	pool->live = pool->carved - free_count;
	pool->memory = memory;
	pool->free = free_blocks;
	return pool->live == header.count ? PYTHON_POOL_SOUND : PYTHON_POOL_TORN;
}

static bool state_holds(enum python_pool_state state)
{
	return state == PYTHON_POOL_SOUND || state == PYTHON_POOL_EMPTY;
}

/* The pool at MEMORY, which may be read again. RET_STABLE: it holds together. */
static struct error *pool_read(struct python_pools *pools, uint8_t *memory,
			       struct python_pool *pool, bool *ret_stable)
{
	for (unsigned i = 0; i <= READ_AGAIN; i++) {
		if (i > 0)
			try(memory_read(&pools->python->process->memory, pool->address, memory,
					pools->python->heap.pool_size));
		if (state_holds(
			    python_pool_parse(&pools->python->heap, memory, pools->free, pool))) {
			pools->unread.reread += i > 0;
			*ret_stable = true;
			return NULL;
		}
	}
	pools->unread.unstable++;
	*ret_stable = false;
	return NULL;
}

/* Has the target given this memory back meanwhile? Else ERROR is the walk's. */
static struct error *arena_gone(struct python_pools *pools, struct error *error)
{
	if (error_number(error) != EFAULT)
		return error;
	pools->unread.arenas++;
	error_destroy(error);
	return NULL;
}

struct error *python_pools_each(struct python_pools *pools, const struct python_arena *arena,
				struct error *(*visit)(void *context,
						       const struct python_pool *pool),
				void *context)
{
	uint32_t pool_size = pools->python->heap.pool_size;
	uint64_t first = (arena->address + pool_size - 1) & ~((uint64_t)pool_size - 1);
	uint64_t end = arena->pool_address;
	struct error *error;

	if (end <= first)
		return NULL;
	error = memory_read(&pools->python->process->memory, first, pools->memory, end - first);
	if (error)
		return arena_gone(pools, error);
	for (uint64_t at = 0; at + pool_size <= end - first; at += pool_size) {
		struct python_pool pool = {.address = first + at};
		bool stable = false;

		error = pool_read(pools, pools->memory + at, &pool, &stable);
		if (error)
			return arena_gone(pools, error);
		if (stable && pool.live > 0)
			try(visit(context, &pool));
	}
	return NULL;
}

/* The header of the pool at ADDRESS, read again until it does not contradict itself. */
static struct error *header_read(struct python_pools *pools, struct pool_header *header,
				 struct python_pool *pool, bool *ret_stable)
{
	for (unsigned i = 0; i <= READ_AGAIN; i++) {
		if (i > 0)
			try(memory_read(&pools->python->process->memory, pool->address, header,
					sizeof(*header)));
		if (state_holds(header_parse(&pools->python->heap, header, pool))) {
			pools->unread.reread += i > 0;
			*ret_stable = true;
			return NULL;
		}
	}
	pools->unread.unstable++;
	*ret_stable = false;
	return NULL;
}

/*
 * python_pools_each() by the pools' headers alone, a thirtieth of the memory or less: address,
 * block_size and live of POOL are set, nothing else.
 */
static struct error *
pools_headers(struct python_pools *pools, const struct python_arena *arena,
	      struct error *(*visit)(void *context, const struct python_pool *pool), void *context)
{
	uint32_t pool_size = pools->python->heap.pool_size;
	uint64_t first = (arena->address + pool_size - 1) & ~((uint64_t)pool_size - 1);
	/* They fit: a pool is larger than its header. */
	struct pool_header *headers = (struct pool_header *)pools->memory;
	struct error *error;
	size_t count;

	if (arena->pool_address <= first)
		return NULL;
	count = (arena->pool_address - first) / pool_size;
	error = process_read_pieces(pools->python->process, first, pool_size, sizeof(*headers),
				    count, headers);
	if (error)
		return arena_gone(pools, error);
	for (size_t i = 0; i < count; i++) {
		struct python_pool pool = {.address = first + i * pool_size};
		bool stable = false;

		error = header_read(pools, &headers[i], &pool, &stable);
		if (error)
			return arena_gone(pools, error);
		if (stable && pool.live > 0)
			try(visit(context, &pool));
	}
	return NULL;
}

struct pools_visit {
	struct python_pools *pools;
	bool headers;
	struct error *(*visit)(void *context, const struct python_pool *pool);
	void *context;
};

static struct error *arena_visit(void *context, const struct python_arena *arena)
{
	const struct pools_visit *all = context;

	return all->headers ? pools_headers(all->pools, arena, all->visit, all->context)
			    : python_pools_each(all->pools, arena, all->visit, all->context);
}

struct error *
python_pools_all(struct python_pools *pools, const struct python_heaps *heaps, bool headers,
		 struct error *(*visit)(void *context, const struct python_pool *pool),
		 void *context)
{
	struct pools_visit all = {pools, headers, visit, context};

	return python_heaps_each(heaps, arena_visit, &all);
}

struct error *python_pools_at(struct python_pools *pools, uint64_t address,
			      struct error *(*visit)(void *context, const struct python_pool *pool),
			      void *context)
{
	struct python_pool pool = {.address = address};
	struct error *error = memory_read(&pools->python->process->memory, address, pools->memory,
					  pools->python->heap.pool_size);
	bool stable = false;

	if (!error)
		error = pool_read(pools, pools->memory, &pool, &stable);
	if (error)
		return arena_gone(pools, error);
	return stable && pool.live > 0 ? visit(context, &pool) : NULL;
}
