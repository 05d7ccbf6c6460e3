/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What block _PyObject_Malloc is about to hand out, told from pymalloc's state. The GIL is held, so
 * nothing else can come between. Objects/obmalloc.c, pymalloc_alloc and allocate_from_new_pool (3.6
 * to 3.15 alike).
 */
#ifndef TMBPF_HEAP_H
#define TMBPF_HEAP_H

#include "kernel.h"
#include "pool.h"
#include "read.h"
#include "shadow.h"
#include "shared/block.h"
#include "shared/config.h"
#include "shared/loss.h"
#include "state.h"
#include "thread.h"

/*
 * A pool of a fresh arena is on its way. Its address is known only at the next event of its
 * interpreter.
 */
struct {
	__u32 active, index;
	__u64 usedpools, size;
	__u32 stack;
} refill;

/* Kept only where frees are not probed. A process with one heap uses the first place. */
struct tmbpf_handed handed[TMBPF_HANDED_MAX];

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
static __always_inline enum prediction
predict_refill(struct thread *thread, const struct heap *heap, __u32 index, __u64 *ret)
{
	struct pool_header *pool = pool_room(thread);
	struct arena_object *arena = (struct arena_object *)(pool + 1);
	__u64 address;

	if (!heap->usable_arenas || !read_word(heap->usable_arenas, &address))
		return PREDICTION_FAILED;
	if (!address)
		return PREDICTED_LATER; /* a new arena: mmap will say where */
	if (!read_user(arena, sizeof(*arena), address))
		return PREDICTION_FAILED;
	if (!arena->freepools) {
		*ret = arena->pool_address + sizeof(*pool);
		return PREDICTED;
	}
	if (!read_user(pool, sizeof(*pool), arena->freepools))
		return PREDICTION_FAILED;
	*ret = pool->szidx == index ? pool->freeblock : arena->freepools + sizeof(*pool);
	return PREDICTED;
}

/* What _PyObject_Malloc(SIZE) will return, SIZE from 1 to 512. */
static __always_inline enum prediction predict(struct thread *thread, const struct heap *heap,
					       __u64 size, __u64 *ret)
{
	__u32 index = (size - 1) >> cfg.granule_shift;
	/* usedpools[2 * index] is a pool, or where the class has none 16 bytes before it (PTA). */
	__u64 slot = heap->usedpools + 16 * index, pool;

	if (!read_word(slot, &pool))
		return PREDICTION_FAILED;
	if (pool != slot - 16)
		return read_word(pool + 8, ret) ? PREDICTED : PREDICTION_FAILED;
	thread->refill_class = index + 1;
	return predict_refill(thread, heap, index, ret);
}

#define FRESH_LOOKS 16

/*
 * Where frees are not probed, other pools may have come before the fresh one in its class's list,
 * from HEAD on: those in which something was freed. Nothing was allocated in the class since, so
 * the fresh one has two blocks carved.
 */
static __always_inline bool fresh_pool(struct thread *thread, __u64 head, __u64 *pool)
{
	struct pool_header *header = pool_room(thread);
	__u32 bytes = (refill.index + 1) << cfg.granule_shift, i;

	for (i = 0; i < FRESH_LOOKS; i++) {
		if (*pool == head)
			return false; /* freed at once, and the pool given back */
		if (!read_user(header, sizeof(*header), *pool)) {
			count_loss(TMBPF_LOSS_HEAP_UNREADABLE);
			return false;
		}
		if (header->nextoffset == sizeof(*header) + 2 * bytes)
			return true;
		*pool = header->nextpool;
	}
	count_loss(TMBPF_LOSS_REFILL_PENDING);
	return false;
}

/*
 * If a pool from a fresh arena was on its way in this heap, it is there by now: its first block was
 * handed out.
 */
static __always_inline void refill_settle(struct thread *thread, const struct heap *heap)
{
	__u64 slot, pool;

	if (!refill.active || refill.usedpools != heap->usedpools)
		return;
	slot = refill.usedpools + 16 * refill.index;
	if (!read_word(slot, &pool))
		count_loss(TMBPF_LOSS_HEAP_UNREADABLE);
	else if (pool != slot - 16 &&
		 (cfg.mode != TMBPF_MODE_LAZY || fresh_pool(thread, slot - 16, &pool)))
		shadow_add(pool + sizeof(struct pool_header), refill.size, refill.stack);
	refill.active = 0;
}

/*
 * The block at ADDRESS is the next that HEAP hands out. Noted before its entry is written: an entry
 * whose block is found free is dead, unless this says that the block is only on its way.
 */
static __always_inline void block_hand(const struct heap *heap, __u64 address)
{
	__u32 place = 0, i;

	if (cfg.mode != TMBPF_MODE_LAZY)
		return;
	if (cfg.heap_kind != TMBPF_HEAP_STATIC) {
		__u32 first = (heap->usedpools * 0x9e3779b97f4a7c15ULL) >> 56;

		place = first; /* if all are taken, two heaps share it */
		for (i = 0; i < 4; i++) {
			__u32 index = (first + i) & (TMBPF_HANDED_MAX - 1);
			__u64 known = handed[index].heap;

			if (!known)
				known = compare_exchange(&handed[index].heap, 0, heap->usedpools)
						?: heap->usedpools;
			if (known == heap->usedpools) {
				place = index;
				break;
			}
		}
		if (i == 4)
			count_loss(TMBPF_LOSS_HEAPS_SHARE);
	}
	*(volatile __u64 *)&handed[place & (TMBPF_HANDED_MAX - 1)].address = address;
}

#endif
