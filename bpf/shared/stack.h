/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Python stacks: their ids, the table that leads to them, what each has allocated. */
#ifndef TMBPF_SHARED_STACK_H
#define TMBPF_SHARED_STACK_H

#include "shared/types.h"

/*
 * Frames kept of a traceback at most, and frames walked beyond because the topmost may be
 * incomplete ones.
 */
#define TMBPF_NFRAME_MAX   128
#define TMBPF_NFRAME_SPARE 2
#define TMBPF_WALK_MAX     (TMBPF_NFRAME_MAX + TMBPF_NFRAME_SPARE)
/* tracemalloc keeps total_nframe in 16 bits (Modules/_tracemalloc.c: UINT16_MAX). */
#define TMBPF_TOTAL_NFRAME_MAX 65535

/* Ids are below this, so that a block's entry has room for its stack; see block.h. */
#define TMBPF_STACK_BITS 21
#define TMBPF_STACK_MAX  (1u << TMBPF_STACK_BITS)

/* Ids with a meaning of their own; the first that is handed out is TMBPF_STACK_FIRST. */
enum tmbpf_stack {
	TMBPF_STACK_NONE = 0,    /* no block */
	TMBPF_STACK_UNKNOWN = 1, /* the thread ran no Python code: tracemalloc's <unknown> */
	TMBPF_STACK_LOST = 2, /* there was one, but it could not be kept or read; a loss says why */
	TMBPF_STACK_FIRST = 8,
};

struct tmbpf_stack_stats { /* cumulative; live is the difference */
	__u64 allocated_count, allocated_size;
	__u64 freed_count, freed_size;
};

#define TMBPF_BUCKET_SLOTS 8

struct tmbpf_bucket { /* of the stack table; a slot with id 0 is free */
	__u64 hash[TMBPF_BUCKET_SLOTS];
	/* The id in the low half, the epoch of the last check in the high one. */
	__u64 id_epoch[TMBPF_BUCKET_SLOTS];
	__u32 generations[TMBPF_BUCKET_SLOTS];
};

/* Addresses of code objects have generations, which are kept by a hash of the address. */
#define TMBPF_GENERATIONS 65536

static inline __u32 tmbpf_generation_place(__u64 code)
{
	return (code >> 4 ^ code >> 20) & (TMBPF_GENERATIONS - 1);
}

_Static_assert(sizeof(struct tmbpf_stack_stats) == 32, "stats");
_Static_assert(sizeof(struct tmbpf_bucket) == 160, "bucket");
_Static_assert(!(TMBPF_GENERATIONS & (TMBPF_GENERATIONS - 1)), "a power of two");
_Static_assert(TMBPF_STACK_LOST < TMBPF_STACK_FIRST, "stack ids");

#endif
