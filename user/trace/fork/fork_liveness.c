// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Looks in a child's heap for the blocks that its parent had. */
#include "trace/fork/fork_liveness.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/heap/arenas.h"
#include "python/malloc.h"
#include "python/heap/pools.h"
#include "python/python.h"
#include "python/heap/space.h"
#include "python/heap/types.h"
#include "target/malloc/glibc.h"
#include "target/process/process.h"
#include "trace/fork/fork_packet.h"

/* Bytes of a chunk that are compared at most. */
#define COMPARED_MAX 64

/* The child's heap while it is looked at. */
struct look {
	const struct fork_liveness *liveness;
	const struct fork_packet_block *blocks;
	size_t count;
	uint8_t *states;
	struct python_heaps heaps;
	struct python_space *space;
	struct python_types *types;
	struct python_pools *pools;
	/* The blocks of the list that lie in the pool at hand, and the parent's memory there. */
	size_t first, end;
	uint8_t *memory;
	bool memory_known, visited;
};

static void look_deinit(struct look *look)
{
	python_pools_destroy(look->pools);
	python_types_destroy(look->types);
	python_space_destroy(look->space);
	python_heaps_deinit(&look->heaps);
	free(look->memory);
}

static struct error *look_init(struct look *look)
{
	const struct python *python = look->liveness->python;

	try(python_heaps_read(python, &look->heaps));
	try(python_space_create(python, &look->heaps, &look->space));
	try(python_types_create(python, look->space, &look->types));
	python_types_unqualified(look->types);
	try(python_pools_create(python, &look->pools));
	look->memory = malloc(python->heap.pool_size);
	return look->memory ? NULL
			    : error_create_errno(ERROR_FAILED, ENOMEM, "cannot look at the heap");
}

/*
 * Whether a block of BLOCK_SIZE bytes may be one that SIZE bytes were asked for. pymalloc_realloc()
 * (Objects/obmalloc.c) leaves a block where it is as long as three quarters of it are used.
 */
static bool size_fits(const struct look *look, uint64_t size, uint32_t block_size)
{
	uint32_t alignment = look->liveness->python->heap.alignment;
	uint64_t asked = size + look->liveness->hook_extra;

	return asked <= block_size &&
	       (asked + alignment > block_size || 4 * asked > 3ull * block_size);
}

/* Compares the block MEMORY of the child with BEFORE, what the parent has there. */
static struct error *contents_compare(const struct look *look, const uint8_t *memory,
				      const uint8_t *before, uint32_t size, uint8_t *ret)
{
	struct python_object object;
	uint32_t from = 0;

	try(python_types_object(look->types, memory, size, &object));
	if (object.type != PYTHON_NO_TYPE) {
		/*
		 * The reference count and the collector's links change all the time: they are left
		 * out.
		 */
		from = object.offset + 16;
		if (memcmp(memory + from - 8, before + from - 8, 8) != 0) {
			*ret = FORK_LIVENESS_GONE;
			return NULL;
		}
	}
	*ret = memcmp(memory + from, before + from, size - from) ? FORK_LIVENESS_CHANGED
								 : FORK_LIVENESS_LIVE;
	return NULL;
}

static struct error *block_look(const struct look *look, const struct python_pool *pool, size_t i)
{
	const struct fork_packet_block *block = &look->blocks[i];
	uint64_t offset = block->address - pool->address;
	uint64_t n = (offset - PYTHON_POOL_OVERHEAD) / pool->block_size;

	look->states[i] = FORK_LIVENESS_GONE;
	if (offset < PYTHON_POOL_OVERHEAD || n >= pool->carved ||
	    (offset - PYTHON_POOL_OVERHEAD) % pool->block_size ||
	    !python_block_live(pool, (uint32_t)n) ||
	    !size_fits(look, block->size, pool->block_size))
		return NULL;
	look->states[i] = look->liveness->parent ? FORK_LIVENESS_CHANGED : FORK_LIVENESS_LIVE;
	if (!look->memory_known)
		return NULL;
	return contents_compare(look, pool->memory + offset, look->memory + offset,
				pool->block_size, &look->states[i]);
}

static struct error *pool_look(void *context, const struct python_pool *pool)
{
	struct look *look = context;
	struct error *error = NULL;

	look->visited = true;
	if (look->liveness->parent) {
		error = memory_read(&look->liveness->parent->memory, pool->address, look->memory,
				    look->liveness->python->heap.pool_size);
		look->memory_known = !error;
		error_destroy(error);
	}
	for (size_t i = look->first; i < look->end; i++)
		try(block_look(look, pool, i));
	return NULL;
}

static struct error *pools_look(struct look *look)
{
	uint64_t mask = look->liveness->python->heap.pool_size - 1;

	try(look_init(look));
	for (look->first = 0; look->first < look->count; look->first = look->end) {
		uint64_t pool = look->blocks[look->first].address & ~mask;
		uint64_t unstable = python_pools_unread(look->pools).unstable;

		for (look->end = look->first + 1; look->end < look->count; look->end++)
			if ((look->blocks[look->end].address & ~mask) != pool)
				break;
		look->visited = false;
		try(python_pools_at(look->pools, pool, pool_look, look));
		if (look->visited)
			continue;
		/*
		 * The pool holds nothing, or is none any more; or it changed whenever it was read.
		 */
		memset(look->states + look->first,
		       python_pools_unread(look->pools).unstable == unstable
			       ? FORK_LIVENESS_GONE
			       : FORK_LIVENESS_UNKNOWN,
		       look->end - look->first);
	}
	return NULL;
}

struct error *fork_liveness_pools(const struct fork_liveness *liveness,
				  const struct fork_packet_block *blocks, size_t count,
				  uint8_t *ret)
{
	struct look look = {.liveness = liveness, .blocks = blocks, .count = count, .states = ret};
	struct error *error = count ? pools_look(&look) : NULL;

	look_deinit(&look);
	return error;
}

static int address_compare(const void *key, const void *element)
{
	uint64_t address = *(const uint64_t *)key;
	const struct fork_packet_block *block = element;

	return address < block->address ? -1 : address > block->address;
}

static uint8_t chunk_compare(const struct look *look, const struct glibc_chunk *chunk)
{
	uint8_t before[COMPARED_MAX];
	size_t size = chunk->size < sizeof(before) ? chunk->size : sizeof(before);
	struct error *error;
	bool differs;

	if (!look->liveness->parent)
		return FORK_LIVENESS_LIVE;
	if (size > chunk->start_size)
		size = chunk->start_size;
	error = memory_read(&look->liveness->parent->memory, chunk->address, before, size);
	differs = error || memcmp(before, chunk->start, size);
	error_destroy(error);
	return differs ? FORK_LIVENESS_CHANGED : FORK_LIVENESS_LIVE;
}

static struct error *chunk_look(void *context, const struct glibc_chunk *chunk)
{
	const struct look *look = context;
	const struct fork_packet_block *block = bsearch(&chunk->address, look->blocks, look->count,
							sizeof(*block), address_compare);

	if (block && !glibc_state_free(chunk->state) && block->size <= chunk->size)
		look->states[block - look->blocks] = chunk_compare(look, chunk);
	return NULL;
}

static struct error *chunks_look(struct look *look)
{
	cleanup_free struct glibc_range *arenas = NULL;
	const struct glibc_totals *totals;
	struct glibc *glibc = NULL;
	struct error *error;

	try(python_heaps_read(look->liveness->python, &look->heaps));
	try(python_space_create(look->liveness->python, &look->heaps, &look->space));
	try(python_space_ranges(look->space, &arenas));
	try(python_glibc_create(look->liveness->python, arenas, look->space->arena_count, &glibc));
	memset(look->states, FORK_LIVENESS_UNKNOWN, look->count);
	if (!glibc_absent(glibc)) {
		memset(look->states, FORK_LIVENESS_GONE, look->count);
		error = glibc_each(glibc, chunk_look, look);
		totals = glibc_totals(glibc);
		/* A broken chunk may have hidden others. */
		for (size_t i = 0; (totals->broken || totals->mapped_unknown) && i < look->count;
		     i++)
			if (look->states[i] == FORK_LIVENESS_GONE)
				look->states[i] = FORK_LIVENESS_UNKNOWN;
		/* Nothing tells where a block of another domain is from. */
		for (size_t i = 0; i < look->count; i++)
			if (look->blocks[i].address >> TMBPF_DOMAIN_SHIFT)
				look->states[i] = FORK_LIVENESS_UNKNOWN;
	} else {
		error = NULL;
	}
	glibc_destroy(glibc);
	return error;
}

struct error *fork_liveness_chunks(const struct fork_liveness *liveness,
				   const struct fork_packet_block *blocks, size_t count,
				   uint8_t *ret)
{
	struct look look = {.liveness = liveness, .blocks = blocks, .count = count, .states = ret};
	struct error *error = count ? chunks_look(&look) : NULL;

	look_deinit(&look);
	return error;
}
