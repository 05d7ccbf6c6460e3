/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The object domain's events. The GIL is held, so pymalloc's answer is predicted at the call, and
 * nothing need be probed on the way out. Requests of 0 and of more than 512 bytes go on to the raw
 * domain, whose probes see them.
 */
#ifndef TMBPF_OBJECT_H
#define TMBPF_OBJECT_H

#include "heap.h"
#include "intern.h"
#include "kernel.h"
#include "pool.h"
#include "shadow.h"
#include "shared/block.h"
#include "shared/config.h"
#include "shared/loss.h"
#include "shared/site.h"
#include "size.h"
#include "state.h"
#include "thread.h"
#include "walk.h"

/*
 * A calloc or a realloc may call malloc, or have it inlined with a guard of its own, which is
 * probed as well. Then the thread's event before this one was theirs, in a caller or in the same
 * function. True once.
 */
static __always_inline bool seen_by_outer(struct thread *thread, __u64 address)
{
	bool again = thread->outer == address &&
		     thread->stack_pointer <= thread->outer_stack_pointer;

	thread->outer = 0;
	return cfg.mode == TMBPF_MODE_LAZY && again;
}

/* Object domain: SIZE bytes are about to be allocated. Where, if that could be told; else 0. */
static __always_inline __u64 object_malloc(struct thread *thread, __u64 tstate,
					   const struct heap *heap, __u64 size)
{
	enum prediction prediction;
	__u64 address;
	__u32 stack;

	if (!size || size > TMBPF_SIZE_MAX) {
		thread->object_request = size + 1;
		return 0;
	}
	prediction = predict(thread, heap, size, &address);
	if (prediction == PREDICTION_FAILED) {
		count_loss(TMBPF_LOSS_HEAP_UNREADABLE);
		return 0;
	}
	stack = stack_of(thread, tstate);
	size = size > cfg.hook_extra ? size - cfg.hook_extra : 0;
	if (prediction == PREDICTED) {
		block_hand(heap, address);
		shadow_note(address, size, stack, seen_by_outer(thread, address));
		return address;
	}
	thread->no_arena = heap->usable_arenas;
	if (refill.active) {
		count_loss(TMBPF_LOSS_REFILL_PENDING);
		return 0;
	}
	refill.usedpools = heap->usedpools;
	refill.index = thread->refill_class - 1;
	refill.size = size;
	refill.stack = stack;
	refill.active = 1;
	return 0;
}

static __always_inline void object_free(struct thread *thread, __u64 address)
{
	__u64 outer;

	if (!address || shadow_remove(address))
		return;
	if (address == thread->object_moved) {
		thread->object_moved = 0;
		return;
	}
	/* A block of the raw domain is removed where libc frees it. */
	if (bpf_map_lookup_elem(&raw_blocks, &address))
		return;
	/* With debug hooks around that domain as well it begins before this. */
	outer = address - cfg.hook_delta;
	if (cfg.hook_delta && bpf_map_lookup_elem(&raw_blocks, &outer)) {
		code_end(address + cfg.hook_delta);
		return;
	}
	thread->object_freed = address;
	unknown_free(address);
}

/* The same by calloc or realloc. */
static __always_inline void object_outer(struct thread *thread, __u64 tstate,
					 const struct heap *heap, __u64 size)
{
	thread->outer = object_malloc(thread, tstate, heap, size);
	thread->outer_stack_pointer = thread->stack_pointer;
}

/*
 * A block stays where it is if it fits and wastes less than a quarter (pymalloc_realloc,
 * Objects/obmalloc.c).
 */
static __always_inline void object_realloc(struct thread *thread, __u64 tstate,
					   const struct heap *heap, __u64 old, __u64 size)
{
	__u32 bytes, stack;

	if (!old) {
		object_outer(thread, tstate, heap, size);
		return;
	}
	if (!pool_class(pool_room(thread), old, &bytes)) {
		thread->object_request = size + 1;
		return; /* the raw domain's */
	}
	if (size <= bytes && 4 * size > 3 * (__u64)bytes) {
		if (cfg.mode == TMBPF_MODE_SAMPLED)
			return; /* nothing is allocated */
		stack = stack_of(thread, tstate);
		shadow_remove(old);
		shadow_add(old, size > cfg.hook_extra ? size - cfg.hook_extra : 0, stack);
		return;
	}
	if (shadow_remove(old))
		thread->object_moved = old;
	object_outer(thread, tstate, heap, size);
}

/* The traced block that holds the object at ADDRESS; 0: none. */
static __always_inline __u64 shadow_holder(__u64 address)
{
	__u64 block = address - cfg.hook_delta;
	__u32 *entry;
	int i;

	for (i = 0; i < 3; i++, block -= 16) {
		entry = shadow_entry(block, false);
		/*
		 * If its own block is from before tracing began, what is found may be its
		 * neighbour.
		 */
		if (entry && *entry && (!i || entry_size(*entry) > 16 * (__u64)i))
			return block;
	}
	return 0;
}

/*
 * The same where entries may be left of blocks of another class: the pool tells where a block
 * begins.
 */
static __always_inline __u64 pool_holder(struct thread *thread, __u64 address)
{
	__u32 bytes, inside;

	if (!pool_block(pool_room(thread), address, &bytes, &inside) || inside < cfg.hook_delta ||
	    (inside -= cfg.hook_delta) > 32 || inside % 16)
		return 0;
	return address - cfg.hook_delta - inside;
}

/*
 * The object at ADDRESS was taken from a free list: its block has a new owner. Since 3.8
 * tracemalloc gives it the new traceback (_PyTraceMalloc_NewReference, _PyTraceMalloc_TraceRef,
 * Python/tracemalloc.c). The block starts before the object by what the garbage collector and
 * managed dicts need: 0, 16 or 32 bytes.
 */
__noinline int object_popped(THREAD_GIVEN, __u64 address)
{
	THREAD_OF_GIVEN;
	__u64 tstate, block;
	__u32 stack;

	if (!thread || !(block = cfg.mode != TMBPF_MODE_EXACT ? pool_holder(thread, address)
							      : shadow_holder(address)))
		return 0; /* from before tracing began */
	if (!thread_state_holder(&tstate)) {
		count_loss(TMBPF_LOSS_THREAD_STATE);
		return 0;
	}
	stack = stack_of(thread, tstate);
	if (cfg.mode == TMBPF_MODE_SAMPLED)
		window_allocation_add(block, 0, stack, TMBPF_ALLOCATION_FREELIST);
	else
		shadow_assign(block, stack);
	return 0;
}

__noinline int object_event(THREAD_GIVEN, __u32 action, __u64 a, __u64 b)
{
	THREAD_OF_GIVEN;
	struct heap heap;
	__u64 tstate;

	if (!thread)
		return 0;
	thread->no_arena = 0;
	if (action == TMBPF_OBJ_FREE && cfg.heap_kind == TMBPF_HEAP_STATIC && !refill.active) {
		object_free(thread, a);
		return 0;
	}
	if (!thread_state_holder(&tstate) || (cfg.heap_kind != TMBPF_HEAP_STATIC && !tstate) ||
	    !heap_of(tstate, &heap)) {
		count_loss(TMBPF_LOSS_THREAD_STATE);
		if (action == TMBPF_OBJ_FREE)
			object_free(thread, a);
		return 0;
	}
	refill_settle(thread, &heap);
	switch (action) {
	case TMBPF_OBJ_MALLOC:
		object_malloc(thread, tstate, &heap, a);
		break;
	case TMBPF_OBJ_CALLOC:
		object_outer(thread, tstate, &heap, saturated_product(a, b));
		break;
	case TMBPF_OBJ_REALLOC:
		object_realloc(thread, tstate, &heap, a, b);
		break;
	case TMBPF_OBJ_FREE:
		object_free(thread, a);
		break;
	}
	return 0;
}

#endif
