// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Does what pymalloc does, in the emulated memory: pools, arenas, free lists. */
#include "bpf_pymalloc.h"
#include "bpf_emulation.h"
#include "support.h"

/* struct pool_header */
#define COUNT          0
#define FREEBLOCK      8
#define NEXTPOOL       16
#define PREVPOOL       24
#define ARENAINDEX     32
#define SZIDX          36
#define NEXTOFFSET     40
#define MAXNEXTOFFSET  44
#define POOL_OVERHEAD  48
#define DUMMY_SIZE_IDX 0xffff

#define ARENA_OBJECT_SIZE 48

/* The list head of class INDEX: a pool header of which only the two links exist. */
static uint64_t head_of(const struct pymalloc *heap, uint32_t index)
{
	return heap->usedpools + 16 * (uint64_t)index - NEXTPOOL;
}

static uint64_t arena_object(const struct pymalloc *heap, uint32_t index)
{
	return heap->objects + (uint64_t)index * ARENA_OBJECT_SIZE;
}

static void arena_write(const struct pymalloc *heap, uint32_t index)
{
	const struct pymalloc_arena *arena = &heap->arenas[index];
	uint64_t object = arena_object(heap, index);

	memory_put_u64(object, arena->address);
	memory_put_u64(object + 8, arena->pool_address);
	memory_put_u32(object + 16, arena->nfreepools);
	memory_put_u32(object + 20, arena->ntotalpools);
	memory_put_u64(object + 24, arena->freepools);
}

/* The fullest arena that has room comes first. */
static void usable_write(const struct pymalloc *heap)
{
	uint32_t least = UINT32_MAX;
	uint64_t first = 0;

	for (uint32_t i = 0; i < PYMALLOC_ARENAS; i++) {
		const struct pymalloc_arena *arena = &heap->arenas[i];

		if (!arena->address || !arena->nfreepools || arena->nfreepools >= least)
			continue;
		least = arena->nfreepools;
		first = arena_object(heap, i);
	}
	memory_put_u64(heap->usable_arenas, first);
}

void pymalloc_init(struct pymalloc *heap)
{
	for (uint32_t i = 0; i < 512u >> heap->shift; i++) {
		memory_put_u64(head_of(heap, i) + NEXTPOOL, head_of(heap, i));
		memory_put_u64(head_of(heap, i) + PREVPOOL, head_of(heap, i));
	}
	memory_map(heap->objects, PYMALLOC_ARENAS * ARENA_OBJECT_SIZE);
	usable_write(heap);
}

static uint64_t arena_bytes(const struct pymalloc *heap)
{
	return (uint64_t)heap->pool_size * heap->arena_pools;
}

/* Arenas are not aligned to pools, as mmap() gives them: every other one loses its first pool. */
static bool arena_add(struct pymalloc *heap)
{
	struct pymalloc_arena *arena = heap->arenas;
	uint32_t index = 0;
	uint64_t rest;

	while (index < PYMALLOC_ARENAS && arena->address)
		index++, arena++;
	assert_true(index < PYMALLOC_ARENAS);
	if (heap->exhausted)
		return false;
	arena->address = heap->memory + index * 2 * arena_bytes(heap);
	if (heap->pool_size > EMULATION_PAGE && index % 2)
		arena->address += EMULATION_PAGE;
	memory_map(arena->address, arena_bytes(heap));
	arena->pool_address = arena->address;
	arena->ntotalpools = heap->arena_pools;
	rest = arena->address % heap->pool_size;
	if (rest) {
		arena->pool_address += heap->pool_size - rest;
		arena->ntotalpools--;
	}
	arena->nfreepools = arena->ntotalpools;
	arena->freepools = 0;
	heap->arenas_made++;
	arena_write(heap, index);
	usable_write(heap);
	return true;
}

static void pool_link(uint64_t pool, uint64_t after)
{
	uint64_t next = memory_u64(after + NEXTPOOL);

	memory_put_u64(pool + NEXTPOOL, next);
	memory_put_u64(pool + PREVPOOL, after);
	memory_put_u64(next + PREVPOOL, pool);
	memory_put_u64(after + NEXTPOOL, pool);
}

static void pool_unlink(uint64_t pool)
{
	uint64_t next = memory_u64(pool + NEXTPOOL), previous = memory_u64(pool + PREVPOOL);

	memory_put_u64(next + PREVPOOL, previous);
	memory_put_u64(previous + NEXTPOOL, next);
}

/* A pool that was of another class before has its blocks laid out anew. */
static void pool_format(struct pymalloc *heap, uint64_t pool, uint32_t index)
{
	uint32_t size = (index + 1) << heap->shift;

	memory_put_u32(pool + SZIDX, index);
	memory_put_u32(pool + NEXTOFFSET, POOL_OVERHEAD + size);
	memory_put_u32(pool + MAXNEXTOFFSET, heap->pool_size - size);
	memory_put_u64(pool + FREEBLOCK, pool + POOL_OVERHEAD);
	memory_put_u64(pool + POOL_OVERHEAD, 0);
	memory_put_u32(pool + COUNT, 0);
}

/* Puts an empty pool at the head of class INDEX; false: there is no memory. */
static bool pool_get(struct pymalloc *heap, uint32_t index)
{
	uint64_t object = memory_u64(heap->usable_arenas), pool;
	struct pymalloc_arena *arena;
	uint32_t number;

	if (!object) {
		if (!arena_add(heap))
			return false;
		object = memory_u64(heap->usable_arenas);
	}
	number = (object - heap->objects) / ARENA_OBJECT_SIZE;
	arena = &heap->arenas[number];
	pool = arena->freepools;
	arena->nfreepools--;
	if (pool) {
		arena->freepools = memory_u64(pool + NEXTPOOL);
		heap->pools_reused++;
	} else {
		pool = arena->pool_address;
		arena->pool_address += heap->pool_size;
		memory_put_u32(pool + ARENAINDEX, number);
		memory_put_u32(pool + SZIDX, DUMMY_SIZE_IDX);
		heap->pools_carved++;
	}
	arena_write(heap, number);
	usable_write(heap);
	pool_link(pool, head_of(heap, index));
	if (memory_u32(pool + SZIDX) != index)
		pool_format(heap, pool, index);
	return true;
}

/* No block of the pool is free: one more of those that were never handed out, or none. */
static void pool_extend(const struct pymalloc *heap, uint64_t pool)
{
	uint32_t offset = memory_u32(pool + NEXTOFFSET);

	if (offset > memory_u32(pool + MAXNEXTOFFSET)) {
		pool_unlink(pool); /* full */
		return;
	}
	memory_put_u64(pool + FREEBLOCK, pool + offset);
	memory_put_u64(pool + offset, 0);
	memory_put_u32(pool + NEXTOFFSET, offset + ((memory_u32(pool + SZIDX) + 1) << heap->shift));
}

uint64_t pymalloc_malloc(struct pymalloc *heap, uint32_t size)
{
	uint32_t index = (size - 1) >> heap->shift;
	uint64_t head = head_of(heap, index), pool = memory_u64(head + NEXTPOOL), block, next;

	assert_in_range(size, 1, 512);
	if (pool == head) {
		if (!pool_get(heap, index))
			return 0;
		pool = memory_u64(head + NEXTPOOL);
	}
	block = memory_u64(pool + FREEBLOCK);
	next = memory_u64(block);
	memory_put_u32(pool + COUNT, memory_u32(pool + COUNT) + 1);
	memory_put_u64(pool + FREEBLOCK, next);
	if (!next)
		pool_extend(heap, pool);
	return block;
}

static void pool_put_back(struct pymalloc *heap, uint64_t pool)
{
	uint32_t number = memory_u32(pool + ARENAINDEX);
	struct pymalloc_arena *arena = &heap->arenas[number];

	pool_unlink(pool);
	memory_put_u64(pool + NEXTPOOL, arena->freepools);
	arena->freepools = pool;
	arena->nfreepools++;
	if (arena->nfreepools == arena->ntotalpools) {
		memory_unmap(arena->address, arena_bytes(heap));
		arena->address = 0;
	}
	arena_write(heap, number);
	usable_write(heap);
}

static uint64_t pool_of(const struct pymalloc *heap, uint64_t address)
{
	return address & -(uint64_t)heap->pool_size;
}

void pymalloc_free(struct pymalloc *heap, uint64_t address)
{
	uint64_t pool = pool_of(heap, address), last = memory_u64(pool + FREEBLOCK);
	uint32_t count = memory_u32(pool + COUNT) - 1;

	memory_put_u64(address, last);
	memory_put_u64(pool + FREEBLOCK, address);
	memory_put_u32(pool + COUNT, count);
	if (!last) /* it was full, and in no list */
		pool_link(pool, head_of(heap, memory_u32(pool + SZIDX)));
	else if (!count)
		pool_put_back(heap, pool);
}

bool pymalloc_owns(const struct pymalloc *heap, uint64_t address)
{
	for (uint32_t i = 0; i < PYMALLOC_ARENAS; i++) {
		const struct pymalloc_arena *arena = &heap->arenas[i];

		if (arena->address && address - arena->address < arena_bytes(heap))
			return true;
	}
	return false;
}

uint32_t pymalloc_bytes(const struct pymalloc *heap, uint64_t address)
{
	return (memory_u32(pool_of(heap, address) + SZIDX) + 1) << heap->shift;
}
