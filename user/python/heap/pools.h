/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The pools of an arena and the blocks that live in them (struct pool_header, pymalloc_alloc(),
 * pymalloc_free() of Objects/obmalloc.c, the same from 3.6 to 3.15 but for the pools' size).
 */
#ifndef TMBPF_PYTHON_HEAP_POOLS_H
#define TMBPF_PYTHON_HEAP_POOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct python;
struct python_arena;
struct python_heap;
struct python_heaps;

#define PYTHON_POOL_OVERHEAD 48    /* bytes before the first block */
#define PYTHON_POOL_MAX      16384 /* bytes */
#define PYTHON_POOL_BLOCKS   (PYTHON_POOL_MAX / 8)

/* A pool that holds something, as it was read. */
struct python_pool {
	uint64_t address;
	uint32_t block_size;   /* bytes */
	uint32_t carved;       /* blocks that were ever handed out, from the first on */
	uint32_t live;         /* of them, those that are allocated */
	const uint8_t *memory; /* the pool; block I lies at PYTHON_POOL_OVERHEAD + I * block_size */
	const uint64_t *free;  /* a bit for each carved block */
};

static inline bool python_block_live(const struct python_pool *pool, uint32_t i)
{
	return !(pool->free[i / 64] >> (i % 64) & 1);
}

enum python_pool_state {
	PYTHON_POOL_SOUND, /* it holds something: its header, its free list and its count agree */
	PYTHON_POOL_EMPTY, /* it holds nothing: carved for no class, or given back */
	PYTHON_POOL_TORN,  /* its header is one, and the rest does not agree with it */
	PYTHON_POOL_NONE,  /* that is no header of a pool */
};

/*
 * What the pool at RET->address holds, of which a copy is in MEMORY (pool_size bytes). Fills RET if
 * the pool is SOUND, with the bits of its free blocks in FREE_BLOCKS. The work is bounded, whatever
 * was read.
 */
enum python_pool_state python_pool_parse(const struct python_heap *heap, const uint8_t *memory,
					 uint64_t free_blocks[PYTHON_POOL_BLOCKS / 64],
					 struct python_pool *ret);

/* What a walk could not make out. */
struct python_pools_unread {
	uint64_t arenas;   /* that have gone, or could not be read */
	uint64_t unstable; /* pools that never held together while they were read */
	uint64_t reread;   /* pools that did only when they were read again */
};

struct python_pools;

struct error *python_pools_create(const struct python *python, struct python_pools **ret);
/* NULL is accepted. */
void python_pools_destroy(struct python_pools *pools);

/*
 * Calls VISIT for each pool of ARENA that holds something; POOL is good during the call. One
 * arena's memory is kept at a time.
 */
struct error *python_pools_each(struct python_pools *pools, const struct python_arena *arena,
				struct error *(*visit)(void *context,
						       const struct python_pool *pool),
				void *context);

/*
 * The same for all arenas of HEAPS. HEADERS: by the pools' headers alone, a thirtieth of the memory
 * or less; address, block_size and live of POOL are set then, nothing else.
 */
struct error *
python_pools_all(struct python_pools *pools, const struct python_heaps *heaps, bool headers,
		 struct error *(*visit)(void *context, const struct python_pool *pool),
		 void *context);

/* Calls VISIT for the pool at ADDRESS alone, if it is there, is a pool and holds something. */
struct error *python_pools_at(struct python_pools *pools, uint64_t address,
			      struct error *(*visit)(void *context, const struct python_pool *pool),
			      void *context);

struct python_pools_unread python_pools_unread(const struct python_pools *pools);

#endif
