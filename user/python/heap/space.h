/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From an address to the pymalloc block it lies in, for words that may or may not be pointers. A
 * heap of a gigabyte is asked a hundred million times, so the answer takes two look-ups and no
 * search.
 *
 * Its table of arenas is one of its own, not base/lookup: the key lies in the slot and the search
 * in the caller's loop, where a call and a comparison by a function would cost more than the
 * search. It is seeded as well, because the target chooses where its arenas lie.
 */
#ifndef TMBPF_PYTHON_HEAP_SPACE_H
#define TMBPF_PYTHON_HEAP_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lookup.h"
#include "python/heap/pools.h"
#include "target/malloc/glibc.h"

struct error;
struct python;
struct python_heaps;

#define PYTHON_NO_ARENA UINT32_MAX

/* The places of the arenas that touch one arena-sized piece of the address space. */
struct python_space_unit {
	uint64_t number; /* address >> arena_bits, plus 1; 0: free */
	uint32_t arenas[2];
};

struct python_space {
	uint32_t arena_bits, pool_bits;
	uint64_t *arenas; /* their addresses, sorted; a place in it is an arena's number */
	uint32_t arena_count;
	uint32_t pools_per_arena;
	struct python_space_unit *units;
	uint32_t unit_mask;
	uint64_t seed;         /* of the units' hash, an odd number */
	uint64_t lowest, span; /* no address below lowest, or from lowest + span on, is in one */
	/* Block size in granules of each pool; 0: it holds nothing, or was not looked at. */
	uint8_t *classes;
	uint32_t granule_bits;
};

/* A block as an address leads to it. */
struct python_space_block {
	uint32_t arena;
	uint32_t granule; /* where it starts, in granules from the arena's start */
	uint32_t size;    /* bytes */
};

struct error *python_space_create(const struct python *python, const struct python_heaps *heaps,
				  struct python_space **ret);
/* NULL is accepted. */
void python_space_destroy(struct python_space *space);

/* Where the search for the unit of NUMBER begins. */
static inline uint32_t python_space_start(const struct python_space *space, uint64_t number)
{
	return (uint32_t)lookup_mix(number, space->seed);
}

/* The arena that ADDRESS lies in, or PYTHON_NO_ARENA. */
static inline uint32_t python_space_arena(const struct python_space *space, uint64_t address)
{
	uint64_t number = (address >> space->arena_bits) + 1;

	if (address - space->lowest >= space->span)
		return PYTHON_NO_ARENA;
	for (uint32_t i = python_space_start(space, number);; i++) {
		const struct python_space_unit *unit = &space->units[i & space->unit_mask];

		if (!unit->number)
			return PYTHON_NO_ARENA;
		if (unit->number != number)
			continue;
		for (unsigned j = 0; j < 2; j++) {
			uint32_t arena = unit->arenas[j];

			if (arena != PYTHON_NO_ARENA &&
			    address - space->arenas[arena] < 1ULL << space->arena_bits)
				return arena;
		}
		return PYTHON_NO_ARENA;
	}
}

/* The arenas as addresses, to be freed: what is not to be taken for malloc's. */
struct error *python_space_ranges(const struct python_space *space, struct glibc_range **ret);

/* Blocks of the pool at ADDRESS have SIZE bytes. Nothing for what is in no arena. */
void python_space_pool_set(struct python_space *space, uint64_t address, uint32_t size);

/* Of the pool that ADDRESS of ARENA lies in. */
static inline uint8_t *python_space_class(const struct python_space *space, uint32_t arena,
					  uint64_t address)
{
	uint64_t pool = (address >> space->pool_bits) - (space->arenas[arena] >> space->pool_bits);

	return &space->classes[(size_t)arena * space->pools_per_arena + pool];
}

/* The block that ADDRESS lies in, wherever in it. False: in none of a pool that was set. */
static inline bool python_space_block(const struct python_space *space, uint64_t address,
				      struct python_space_block *ret)
{
	uint32_t arena = python_space_arena(space, address), offset, size;
	uint64_t pool;

	if (arena == PYTHON_NO_ARENA)
		return false;
	size = (uint32_t)*python_space_class(space, arena, address) << space->granule_bits;
	pool = address >> space->pool_bits << space->pool_bits;
	offset = (uint32_t)(address - pool);
	if (!size || offset < PYTHON_POOL_OVERHEAD)
		return false;
	offset -= (offset - PYTHON_POOL_OVERHEAD) % size;
	if (offset + size > 1u << space->pool_bits)
		return false;
	ret->arena = arena;
	ret->granule = (uint32_t)((pool + offset - space->arenas[arena]) >> space->granule_bits);
	ret->size = size;
	return true;
}

#endif
