/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The raw domain's events. The arguments are seen at the call of libc's function. The pointer is
 * seen at the first instruction after the return that can be probed (RESULT); return address and
 * stack pointer link the two. A tail jump returns to a caller that need not be known: then a return
 * probe catches it (probe_session()), where user space allowed that.
 */
#ifndef TMBPF_RAW_H
#define TMBPF_RAW_H

#include "intern.h"
#include "kernel.h"
#include "read.h"
#include "shadow.h"
#include "shared/block.h"
#include "shared/loss.h"
#include "shared/site.h"
#include "size.h"
#include "state.h"
#include "thread.h"
#include "walk.h"
#include "x86.h"

/* The size that the caller asked for, where a request of SIZE bytes reached libc. */
static __always_inline __u64 raw_requested(struct thread *thread, __u64 size)
{
	__u64 object = thread->object_request;

	thread->object_request = 0;
	/* _PyMem_RawMalloc makes 1 of 0; then the object domain's request says 0. */
	if (object && (object - 1 + cfg.hook_extra == size || (object == 1 && size <= 1)))
		size = object - 1;
	return size > cfg.hook_extra ? size - cfg.hook_extra : 0;
}

static __always_inline bool raw_awaited(struct thread *thread)
{
	bool announced = thread->hook_request;
	__u64 installed;

	thread->hook_request = 0;
	if (announced || (!cfg.hooked_raw && !state.hooked_later))
		return true;
	/*
	 * The hooks may have been removed since (tracemalloc.stop): then every call is a caller's.
	 */
	return cfg.raw_table && read_word(cfg.raw_table, &installed) && installed == cfg.raw_malloc;
}

/*
 * A raw allocation of SIZE bytes, which gives up OLD (0: none), begins. thread->call_* say where it
 * will return.
 */
static __always_inline void raw_begin(struct thread *thread, __u64 size, __u64 old)
{
	struct pending *pending = &thread->pending;

	if (pending->returns)
		count_loss(TMBPF_LOSS_RESULT_MISSED);
	pending->size = raw_requested(thread, size);
	pending->returns = thread->call_returns;
	pending->stack_pointer = thread->call_stack_pointer;
	pending->old = old;
	/*
	 * Another thread may be given the old address before we see the result, so it goes first.
	 */
	if (old && cfg.mode != TMBPF_MODE_SAMPLED && !raw_block_remove(old, &pending->old_block))
		pending->old = 0;
}

static __always_inline void raw_end(struct thread *thread, __u64 address)
{
	struct pending *pending = &thread->pending;
	__u64 tstate;
	__u32 stack;

	pending->returns = 0;
	if (cfg.mode == TMBPF_MODE_SAMPLED && address == pending->old)
		return; /* nothing is allocated */
	if (!address) { /* it failed: a realloc has left the old block alone */
		if (pending->old && cfg.mode != TMBPF_MODE_SAMPLED)
			raw_block_add(pending->old, pending->old_block.size,
				      pending->old_block.stack);
		return;
	}
	if (thread_state_own(&tstate)) {
		stack = stack_of(thread, tstate);
	} else {
		count_loss(TMBPF_LOSS_THREAD_STATE);
		stack = TMBPF_STACK_LOST;
	}
	raw_block_add(address, pending->size, stack);
}

#define ARENA_OBJECT_SIZE     48
#define INITIAL_ARENA_OBJECTS 16
/*
 * 2^8 entries (arena_map_bot with 48-bit addresses, 3.10 on) and more, 8 bytes each
 * (Objects/obmalloc.c)
 */
#define ARENA_MAP_NODE_MIN 2048

/*
 * Whether this is memory that pymalloc allocates for its own tables while it adds an arena
 * (new_arena, arena_map_get, Objects/obmalloc.c): the array of arena objects, doubled, and nodes of
 * the arena map. These calls are nested in an allocation, so tracemalloc does not count them.
 */
static __always_inline bool raw_is_arena_table(const struct thread *thread, __u32 action, __u64 a,
					       __u64 b)
{
	__u64 size = b - cfg.hook_extra, objects = size / ARENA_OBJECT_SIZE, arena;

	/* Once the arena is there, what this thread asks for is its own. */
	if (!thread->no_arena || !read_word(thread->no_arena, &arena) || arena)
		return false;
	if (action == TMBPF_RAW_REALLOC)
		return size % ARENA_OBJECT_SIZE == 0 && objects >= INITIAL_ARENA_OBJECTS &&
		       !(objects & (objects - 1));
	return action == TMBPF_RAW_CALLOC && a == 1 && size >= ARENA_MAP_NODE_MIN &&
	       !(size & (size - 1));
}

static __always_inline bool raw_return_known(__u64 address)
{
	return bpf_map_lookup_elem(&returns, &address);
}

/* 1: the call's result is awaited. */
__noinline int raw_event(THREAD_GIVEN, __u32 action, __u64 a, __u64 b)
{
	THREAD_OF_GIVEN;
	struct tmbpf_raw_block block;

	if (!thread)
		return 0;
	if (raw_is_arena_table(thread, action, a, b))
		return 0;
	switch (action) {
	case TMBPF_RAW_FREE:
		raw_block_code_end(a);
		if (a && !raw_block_remove(a, &block) && a != thread->object_freed &&
		    a + cfg.hook_delta != thread->object_freed)
			unknown_free(a);
		thread->object_freed = 0;
		return 0;
	case TMBPF_RAW_MALLOC:
		if (!raw_awaited(thread))
			return 0;
		raw_begin(thread, a, 0);
		return 1;
	case TMBPF_RAW_CALLOC:
		if (!raw_awaited(thread))
			return 0;
		raw_begin(thread, saturated_product(a, b), 0);
		return 1;
	case TMBPF_RAW_REALLOC:
		if (!raw_awaited(thread))
			return 0;
		raw_begin(thread, b, a);
		return 1;
	}
	return 0;
}

static __always_inline void result_event(struct pt_regs *regs, const struct tmbpf_site *site,
					 struct thread *thread)
{
	__u64 address;

	if (!thread->pending.returns ||
	    stack_pointer(regs) - site->stack_delta != thread->pending.stack_pointer ||
	    (site->returns && site->returns != thread->pending.returns))
		return;
	count_event(TMBPF_EVENT_RESULT);
	if (!value_read(regs, &site->a[0], &address)) {
		count_loss(TMBPF_LOSS_ARGUMENT_UNREADABLE);
		thread->pending.returns = 0;
		return;
	}
	raw_end(thread, address);
}

/* Where a raw call or tail jump will return, and with what stack pointer. */
static __always_inline bool raw_return(struct pt_regs *regs, const struct tmbpf_site *site,
				       struct thread *thread)
{
	thread->call_returns = site->returns;
	thread->call_stack_pointer = stack_pointer(regs);
	if (!(site->flags & TMBPF_SITE_TAIL))
		return true;
	thread->call_stack_pointer += 8;
	return read_word(stack_pointer(regs), &thread->call_returns);
}

#endif
