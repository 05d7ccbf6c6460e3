/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Blocks: those that are held, and those that a sampling window lists. */
#ifndef TMBPF_SHARED_BLOCK_H
#define TMBPF_SHARED_BLOCK_H

#include "shared/stack.h"
#include "shared/types.h"

/*
 * A block's entry in the shadow of the arenas has its stack id and its requested size, in 32 bits
 * for each granule (pymalloc's alignment) at which a block starts. 0: no traced block starts here.
 * Where frees are not probed, user space marks an entry as SUSPECT while it finds out whether the
 * block is still there.
 */
#define TMBPF_SIZE_BITS 10
#define TMBPF_SUSPECT   (1u << (TMBPF_STACK_BITS + TMBPF_SIZE_BITS))
#define TMBPF_SIZE_MAX  512 /* SMALL_REQUEST_THRESHOLD, Objects/obmalloc.c */
/*
 * A size above 512 marks a block that holds a code object that stacks refer to. Code objects are
 * larger than TMBPF_CODE_BASE, so both fit into 10 bits: marked = size - TMBPF_CODE_BASE + 512.
 */
#define TMBPF_CODE_BASE 64

/* The entry of a block without a code object. */
#define ENTRY_MAKE(size, stack) ((__u32)(size) << TMBPF_STACK_BITS | (stack))

/* What an entry says. A stack of TMBPF_STACK_NONE: only that a code object lies there. */
#define ENTRY_STACK(entry)      ((entry) & (TMBPF_STACK_MAX - 1))
#define ENTRY_SIZE_CODED(entry) ((entry) >> TMBPF_STACK_BITS & ((1u << TMBPF_SIZE_BITS) - 1))
#define ENTRY_CODE(entry)       (ENTRY_SIZE_CODED(entry) > TMBPF_SIZE_MAX)
#define ENTRY_SIZE(entry)                                                                          \
	(ENTRY_CODE(entry) ? ENTRY_SIZE_CODED(entry) - TMBPF_SIZE_MAX + TMBPF_CODE_BASE            \
			   : ENTRY_SIZE_CODED(entry))

/* The shadow is made of slabs, each for a chunk of address space of 64 Ki granules. */
#define TMBPF_SLAB_BITS    16
#define TMBPF_SLAB_ENTRIES (1u << TMBPF_SLAB_BITS)
/*
 * Slabs that are kept ready: more than a target can ask for while user space waits to be
 * scheduled. With half of them gone it is woken to make more.
 */
#define TMBPF_SLABS_SPARE 64

struct tmbpf_chunk { /* of the directory that leads from chunks to slabs */
	__u64 chunk; /* its number: tmbpf_chunk_number(); 0: free */
	__u32 slab;
	__u32 unused;
};

/* A chunk may stand in so many places, one after another, modulo the directory's size. */
#define TMBPF_CHUNK_PROBES 8

static inline __u64 tmbpf_chunk_number(__u64 address, __u32 granule_shift)
{
	return (address >> (TMBPF_SLAB_BITS + granule_shift)) + 1;
}

/* The first of these places. */
static inline __u32 tmbpf_chunk_place(__u64 chunk)
{
	return (chunk * 0x9e3779b97f4a7c15ULL) >> 40;
}

/*
 * The block that a heap handed out last, as its probe said: until the next one, it may still be on
 * its pool's free list. Heaps are told apart by the address of usedpools; 0: the place is free.
 */
struct tmbpf_handed {
	__u64 heap, address;
};

#define TMBPF_HANDED_MAX 256 /* places */

struct tmbpf_raw_block { /* a live block of the raw domain, by its address */
	__u64 size;
	__u32 stack;
	__u32 code; /* holds a code object that stacks refer to */
};

/*
 * Blocks of tracemalloc's other domains than Python's own (0) are told apart by the domain's place
 * in a list of those that were seen, above the 56 bits of an address.
 */
#define TMBPF_DOMAINS_MAX                15
#define TMBPF_DOMAIN_SHIFT               56
#define TMBPF_DOMAIN_KEY(address, place) ((__u64)((place) + 1) << TMBPF_DOMAIN_SHIFT | (address))

enum tmbpf_allocation_kind {
	TMBPF_ALLOCATION_POOL, /* from a pool */
	TMBPF_ALLOCATION_RAW,  /* from the raw domain */
	/* An object from a free list: its block's size is not known here, and 0. */
	TMBPF_ALLOCATION_FREELIST,
};

struct tmbpf_allocation { /* a block that was allocated in a sampling window */
	__u64 address;    /* written last: as long as it is 0, the rest is not there yet */
	__u64 size;
	__u32 stack;
	__u32 kind; /* enum tmbpf_allocation_kind */
};

struct tmbpf_fork {   /* what had happened when a child was forked */
	__u64 events; /* allocations and frees, of all kinds */
};

#define TMBPF_FORKS_MAX 1024 /* children that are remembered */

_Static_assert(sizeof(struct tmbpf_chunk) == 16, "chunk");
_Static_assert(sizeof(struct tmbpf_handed) == 16, "handed");
_Static_assert(sizeof(struct tmbpf_raw_block) == 16, "raw block");
_Static_assert(sizeof(struct tmbpf_allocation) == 24, "allocation");
_Static_assert(sizeof(struct tmbpf_fork) == 8, "fork");
_Static_assert(!(TMBPF_HANDED_MAX & (TMBPF_HANDED_MAX - 1)), "a power of two");
_Static_assert(ENTRY_SIZE_CODED(ENTRY_MAKE(TMBPF_SIZE_MAX, TMBPF_STACK_MAX - 1)) == TMBPF_SIZE_MAX,
	       "entry");

#endif
