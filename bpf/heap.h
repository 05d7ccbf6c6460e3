/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pymalloc as it will decide: what block _PyObject_Malloc is about to hand out. The GIL is held, so nothing else can
 * come between. Objects/obmalloc.c, pymalloc_alloc and allocate_from_new_pool (3.6 to 3.15 alike).
 */
#ifndef TMBPF_HEAP_H
#define TMBPF_HEAP_H

#include "shadow.h"
#include "state.h"

struct pool_header {
	__u32 count, padding;
	__u64 freeblock, nextpool, prevpool;
	__u32 arenaindex, szidx, nextoffset, maxnextoffset;
};

struct arena_object {
	__u64 address, pool_address;
	__u32 nfreepools, ntotalpools;
	__u64 freepools;
};

_Static_assert(sizeof(struct pool_header) == 48, "pool header");

struct heap { /* addresses of the current interpreter's */
	__u64 usedpools, usable_arenas;
};

static __always_inline bool heap_of(__u64 tstate, struct heap *ret)
{
	__u64 interp, heap;

	if (cfg.heap_kind == TMBPF_HEAP_STATIC) {
		ret->usedpools = cfg.usedpools;
		ret->usable_arenas = cfg.usable_arenas;
		return true;
	}
	if (!read_word(tstate + cfg.tstate_interp, &interp))
		return false;
	heap = interp + cfg.interp_obmalloc;
	if (cfg.heap_kind == TMBPF_HEAP_POINTER && !read_word(heap, &heap))
		return false;
	ret->usedpools = heap + cfg.obmalloc_usedpools;
	ret->usable_arenas = heap + cfg.obmalloc_usable_arenas;
	return true;
}

enum prediction { PREDICTED, PREDICTED_LATER, PREDICTION_FAILED };

/* What allocate_from_new_pool will hand out for class INDEX. */
static __always_inline enum prediction predict_refill(const struct heap *heap, __u32 index,
						      __u64 *ret)
{
	struct arena_object arena;
	struct pool_header pool;
	__u64 address;

	if (!heap->usable_arenas || !read_word(heap->usable_arenas, &address))
		return PREDICTION_FAILED;
	if (!address)
		return PREDICTED_LATER; /* a new arena: mmap will say where */
	if (!read_user(&arena, sizeof(arena), address))
		return PREDICTION_FAILED;
	if (!arena.freepools) {
		*ret = arena.pool_address + sizeof(pool);
		return PREDICTED;
	}
	if (!read_user(&pool, sizeof(pool), arena.freepools))
		return PREDICTION_FAILED;
	*ret = pool.szidx == index ? pool.freeblock : arena.freepools + sizeof(pool);
	return PREDICTED;
}

/* What _PyObject_Malloc(SIZE) will return, SIZE from 1 to 512. */
static __always_inline enum prediction predict(struct thread *thread, const struct heap *heap,
					       __u64 size, __u64 *ret)
{
	__u32 index = (size - 1) >> cfg.granule_shift;
	/* usedpools[2 * index] is a pool, or points 16 bytes before itself where the class has none (PTA, obmalloc.c). */
	__u64 slot = heap->usedpools + 16 * index, pool;

	if (!read_word(slot, &pool))
		return PREDICTION_FAILED;
	if (pool != slot - 16)
		return read_word(pool + 8, ret) ? PREDICTED : PREDICTION_FAILED;
	thread->refill_class = index + 1;
	return predict_refill(heap, index, ret);
}

/* If a pool from a fresh arena was on its way in this heap, it is there by now: its first block was handed out. */
static __always_inline void refill_settle(const struct heap *heap)
{
	__u64 slot, pool;

	if (!refill.active || refill.usedpools != heap->usedpools)
		return;
	slot = refill.usedpools + 16 * refill.index;
	if (!read_word(slot, &pool))
		count_loss(TMBPF_LOSS_HEAP_UNREADABLE);
	else if (pool != slot - 16)
		shadow_add(pool + sizeof(struct pool_header), refill.size, refill.stack);
	refill.active = 0;
}

/*
 * Whether ADDRESS, of which nothing is known, is one of pymalloc's blocks, and of what class: by its pool's header,
 * whose words must all agree with one another and with the address.
 */
static __always_inline bool pool_class(__u64 address, __u32 *ret_bytes)
{
	struct pool_header pool;
	__u64 start = address & ~(__u64)(cfg.pool_size - 1);
	__u32 bytes, distance = address - start;

	if (cfg.heap_kind == TMBPF_HEAP_NONE || !read_user(&pool, sizeof(pool), start))
		return false;
	bytes = (pool.szidx + 1) << cfg.granule_shift;
	if (pool.szidx >= TMBPF_SIZE_MAX >> cfg.granule_shift ||
	    pool.maxnextoffset != cfg.pool_size - bytes || distance < sizeof(pool) ||
	    (distance - sizeof(pool)) % bytes || distance > pool.maxnextoffset || !pool.count ||
	    pool.count > cfg.pool_size / bytes)
		return false;
	*ret_bytes = bytes;
	return true;
}

#endif
