/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pymalloc at work in the emulated memory: used pools, cached pools, pools carved off arenas,
 * arenas that come and go, each where and as Objects/obmalloc.c keeps them. It is told by that
 * file's comments and by what allocators of 3.8 to 3.15 were seen to do, and knows nothing of
 * bpf/heap.h, which foretells it.
 */
#ifndef TMBPF_TESTS_BPF_PYMALLOC_H
#define TMBPF_TESTS_BPF_PYMALLOC_H

#include <stdbool.h>
#include <stdint.h>

#define PYMALLOC_ARENAS 512

struct pymalloc {
	uint64_t usedpools;     /* the array */
	uint64_t usable_arenas; /* the pointer */
	uint64_t objects;       /* where arena objects are */
	uint64_t memory;        /* where arenas are mapped */
	uint32_t shift;         /* log2 of the alignment */
	uint32_t pool_size, arena_pools;
	bool exhausted; /* no more arenas can be had */
	struct pymalloc_arena {
		uint64_t address; /* 0: not mapped */
		uint64_t pool_address, freepools;
		uint32_t nfreepools, ntotalpools;
	} arenas[PYMALLOC_ARENAS];
	uint64_t arenas_made, pools_carved, pools_reused;
};

/* Writes the empty heap. The fields up to arena_pools are given. */
void pymalloc_init(struct pymalloc *heap);

/* SIZE from 1 to 512. 0: no memory. */
uint64_t pymalloc_malloc(struct pymalloc *heap, uint32_t size);
void pymalloc_free(struct pymalloc *heap, uint64_t address);
bool pymalloc_owns(const struct pymalloc *heap, uint64_t address);
/* Bytes of the block at ADDRESS, which is one. */
uint32_t pymalloc_bytes(const struct pymalloc *heap, uint64_t address);

#endif
