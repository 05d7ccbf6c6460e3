/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The project's one hash table. It finds an element of an array by its content: an open-addressing
 * table of the elements' 32-bit positions. The elements stay the caller's, in an array that may
 * grow and move; a slot costs 8 bytes.
 *
 * Hashes are seeded at random in each process, so that names which a hostile target chose cannot
 * be made to collide. The order of the elements never depends on the seed.
 *
 * An array without gaps is kept so: to remove an element, the caller removes its position, moves
 * the last element into its place, and tells the table of that by lookup_move().
 */
#ifndef TMBPF_BASE_LOOKUP_H
#define TMBPF_BASE_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

#define LOOKUP_NONE UINT32_MAX

struct lookup_slot {
	uint32_t hash;
	uint32_t position; /* LOOKUP_NONE: free */
};

/* All zero is an empty one. */
struct lookup {
	struct lookup_slot *slots;
	size_t size; /* a power of two, or 0 */
	size_t used;
};

/* Whether the element at POSITION of what CONTEXT names equals KEY. */
typedef bool (*lookup_equal)(const void *context, uint32_t position, const void *key);

/* The position that was added with HASH and for which EQUAL holds, or LOOKUP_NONE. */
uint32_t lookup_find(const struct lookup *lookup, uint64_t hash, lookup_equal equal,
		     const void *context, const void *key);

/* Adds POSITION (not LOOKUP_NONE), which lookup_find() did not find. Fails without memory. */
struct error *lookup_add(struct lookup *lookup, uint64_t hash, uint32_t position);

/*
 * Removes POSITION, which was added with HASH. Searches stay as short as if it had never been
 * there; the table keeps its size.
 */
void lookup_remove(struct lookup *lookup, uint64_t hash, uint32_t position);

/* The element that was added with HASH as FROM is at TO (not LOOKUP_NONE) from now on. */
void lookup_move(struct lookup *lookup, uint64_t hash, uint32_t from, uint32_t to);

/* Frees the table; it is an empty one afterwards. */
void lookup_deinit(struct lookup *lookup);

/*
 * Both halves of the 128-bit product of two numbers: each bit of them reaches each of the result.
 * For a table of its own where lookup_find() would cost too much: LEFT is the key, RIGHT a seed
 * from lookup_hash_number(), never a number that anybody knows.
 */
static inline uint64_t lookup_mix(uint64_t left, uint64_t right)
{
	unsigned __int128 product = (unsigned __int128)left * right;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* A seeded hash of SIZE bytes, to be continued with another piece by passing it as SEED. */
uint64_t lookup_hash(uint64_t seed, const void *data, size_t size);
/* The same for one number. */
uint64_t lookup_hash_number(uint64_t seed, uint64_t number);

#endif
