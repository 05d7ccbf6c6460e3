/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live blocks: which stack allocated what is held. pymalloc's blocks are in a dense shadow of
 * its arenas, 32 bits a granule. The raw domain's are in a hash table by address.
 *
 * The shadow is made of slabs, each for 64 Ki granules of address space. They are handed out in the
 * order in which chunks of address space are first seen. A small directory (open addressing,
 * TMBPF_CHUNK_PROBES places) leads from the chunk to its slab. User space keeps spare slabs ready.
 *
 * Every update is idempotent: a block that is already there with the same stack and size is left as
 * it is, and a free of an unknown block does nothing. So nested calls within the allocator may be
 * seen twice.
 *
 * Where the object domain's frees are not probed (TMBPF_MODE_LAZY), an entry outlives its block. It
 * is dead when its address is handed out again, or when user space finds that by its pool the block
 * is free (user/trace/tracer/sweep.h).
 */
#ifndef TMBPF_SHADOW_H
#define TMBPF_SHADOW_H

#include "code.h"
#include "kernel.h"
#include "shared/block.h"
#include "shared/loss.h"
#include "shared/record.h"
#include "state.h"

static __always_inline void stats_add(__u32 stack, __u64 size)
{
	struct tmbpf_stack_stats *row = bpf_map_lookup_elem(&stats, &stack);

	if (row) {
		add(&row->allocated_count, 1);
		add(&row->allocated_size, size);
	}
}

static __always_inline void stats_remove(__u32 stack, __u64 size)
{
	struct tmbpf_stack_stats *row = bpf_map_lookup_elem(&stats, &stack);

	if (row) {
		add(&row->freed_count, 1);
		add(&row->freed_size, size);
	}
}

static __always_inline void totals_add(__u32 stack, __u64 size)
{
	__u64 current, peak;

	stats_add(stack, size);
	if (cfg.mode == TMBPF_MODE_LAZY)
		return; /* user space adds up the rows */
	current = fetch_add(&state.current, size) + size;
	peak = state.peak;
	if (current > peak && compare_exchange(&state.peak, peak, current) != peak) {
		/*
		 * Another thread raised it just now. Once more is enough: a third raises it itself.
		 */
		peak = state.peak;
		if (current > peak)
			compare_exchange(&state.peak, peak, current);
	}
}

static __always_inline void totals_remove(__u32 stack, __u64 size)
{
	stats_remove(stack, size);
	if (cfg.mode != TMBPF_MODE_LAZY)
		add(&state.current, -size);
}

#define entry_size(entry) ((__u64)ENTRY_SIZE(entry))

/* Few slabs are left: user space is woken to make more. If the ring is full it is awake. */
static __always_inline void slab_wanted(void)
{
	struct tmbpf_record record = {TMBPF_RECORD_SLAB, sizeof(record)};

	bpf_ringbuf_output(&ring, &record, sizeof(record), BPF_RB_FORCE_WAKEUP);
}

/* The entry of the block at ADDRESS. With CREATE a chunk that has no slab gets one. */
static __always_inline __u32 *shadow_entry(__u64 address, bool create)
{
	__u64 chunk = tmbpf_chunk_number(address, cfg.granule_shift);
	__u32 place = tmbpf_chunk_place(chunk), slab, granule, zero = 0;
	struct tmbpf_chunk *entry;
	__u32 *values;
	void *map;
	int i;

	for (i = 0; i < TMBPF_CHUNK_PROBES; i++) {
		__u32 index = (place + i) & cfg.chunk_mask;

		entry = bpf_map_lookup_elem(&chunks, &index);
		if (!entry)
			return NULL;
		if (entry->chunk == chunk)
			break;
		if (entry->chunk)
			continue;
		if (!create)
			return NULL;
		if (state.next_slab >= state.ready_slabs ||
		    compare_exchange(&entry->chunk, 0, chunk))
			goto full;
		slab = fetch_add(&state.next_slab, 1);
		if (state.ready_slabs - slab < TMBPF_SLABS_SPARE / 2)
			slab_wanted();
		entry->slab = slab + 1;
		break;
	}
	if (i == TMBPF_CHUNK_PROBES)
		goto full;
	slab = entry->slab - 1;
	map = bpf_map_lookup_elem(&slabs, &slab);
	if (!map)
		goto full;
	values = bpf_map_lookup_elem(map, &zero);
	if (!values)
		return NULL;
	granule = address >> cfg.granule_shift & (TMBPF_SLAB_ENTRIES - 1);
	return values + granule;
full:
	if (create)
		count_loss(TMBPF_LOSS_SHADOW_FULL);
	return NULL;
}

/* Lists a block that was allocated in a sampling window. What was at its address before is gone. */
static __always_inline void window_allocation_add(__u64 address, __u64 size, __u32 stack,
						  __u32 kind)
{
	__u32 index = fetch_add(&state.window_allocations, 1);
	struct tmbpf_allocation *listed;

	code_end(address + cfg.hook_delta);
	if (index + 1 >= cfg.window_allocations && state.tracing) {
		state.closed_at = bpf_ktime_get_ns();
		state.tracing = 0;
	}
	listed = bpf_map_lookup_elem(&window_allocations, &index);
	if (!listed)
		return; /* of the same moment, in another thread */
	listed->size = size;
	listed->stack = stack;
	listed->kind = kind;
	/*
	 * User space may be reading: only what has an address is complete. Stores are in order on
	 * x86.
	 */
	barrier();
	*(volatile __u64 *)&listed->address = address;
}

/* OLD, which was the entry of the block at ADDRESS, counts no more. */
static __always_inline void entry_drop(__u64 address, __u32 old)
{
	if (ENTRY_CODE(old))
		code_end(address + cfg.hook_delta);
	if (ENTRY_STACK(old))
		totals_remove(ENTRY_STACK(old), entry_size(old));
}

/*
 * A pymalloc block of SIZE bytes (at most 512) was or will be handed out at ADDRESS. If it is there
 * already, this is the same call, seen once more. Where frees are not probed only AGAIN can say so.
 * Entries are exchanged as a whole, as user space removes those of dead blocks at any time where
 * frees are not probed.
 */
static __always_inline void shadow_note(__u64 address, __u32 size, __u32 stack, bool again)
{
	__u32 *entry, old;
	__u32 new = ENTRY_MAKE(size, stack);

	if (cfg.mode == TMBPF_MODE_SAMPLED) {
		window_allocation_add(address, size, stack, TMBPF_ALLOCATION_POOL);
		return;
	}
	entry = shadow_entry(address, true);
	if (!entry)
		return;
	old = exchange(entry, new);
	if (old == new && (again || cfg.mode != TMBPF_MODE_LAZY))
		return;
	totals_add(stack, size);
	if (!old)
		return;
	entry_drop(address, old);
	if (cfg.mode != TMBPF_MODE_LAZY)
		count_loss(TMBPF_LOSS_STALE_BLOCK);
}

static __always_inline void shadow_add(__u64 address, __u32 size, __u32 stack)
{
	shadow_note(address, size, stack, false);
}

/* True if there was a traced block at ADDRESS, which is none any more. */
static __always_inline bool shadow_remove(__u64 address)
{
	__u32 *entry, old;

	if (cfg.mode == TMBPF_MODE_SAMPLED)
		return false;
	entry = shadow_entry(address, false);
	if (!entry || !*entry)
		return false;
	old = exchange(entry, 0);
	if (!old)
		return false;
	entry_drop(address, old);
	return true;
}

/*
 * The traced block at ADDRESS gets a new stack, as if it had been freed and handed out again.
 * False: there is none.
 */
static __always_inline bool shadow_assign(__u64 address, __u32 stack)
{
	__u32 *entry = shadow_entry(address, false), old, new;

	if (!entry)
		return false;
	old = *entry;
	if (!ENTRY_STACK(old))
		return false;
	if (ENTRY_STACK(old) == stack)
		return true;
	new = (old & ~(TMBPF_STACK_MAX - 1) & ~TMBPF_SUSPECT) | stack;
	if (compare_exchange(entry, old, new) != old) {
		/* User space has just begun or ended to suspect it. */
		old ^= TMBPF_SUSPECT;
		if (compare_exchange(entry, old, new) != old)
			return false;
	}
	stats_remove(ENTRY_STACK(old), entry_size(old));
	stats_add(stack, entry_size(old));
	return true;
}

/*
 * libc has handed out ADDRESS. Where frees of arenas' blocks are not seen, that is how one at the
 * same address is known to be dead.
 */
static __always_inline void shadow_yield(__u64 address)
{
	if (cfg.mode != TMBPF_MODE_LAZY)
		return;
	shadow_remove(address);
	if (cfg.hook_delta)
		shadow_remove(address + cfg.hook_delta);
}

static __always_inline void raw_block_add(__u64 address, __u64 size, __u32 stack)
{
	struct tmbpf_raw_block block = {.size = size, .stack = stack}, *old;

	if (cfg.mode == TMBPF_MODE_SAMPLED) {
		window_allocation_add(address, size, stack, TMBPF_ALLOCATION_RAW);
		return;
	}
	shadow_yield(address);
	old = bpf_map_lookup_elem(&raw_blocks, &address);
	if (old) {
		totals_remove(old->stack, old->size);
		count_loss(TMBPF_LOSS_STALE_BLOCK);
		if (old->code)
			code_end(address + cfg.hook_delta);
	}
	if (bpf_map_update_elem(&raw_blocks, &address, &block, BPF_ANY)) {
		count_loss(TMBPF_LOSS_RAW_BLOCKS_FULL);
		return;
	}
	totals_add(stack, size);
}

/* True if there was a traced block, given in RET; totals are told. */
static __always_inline bool raw_block_remove(__u64 address, struct tmbpf_raw_block *ret)
{
	struct tmbpf_raw_block *old;

	if (cfg.mode == TMBPF_MODE_SAMPLED)
		return false;
	old = bpf_map_lookup_elem(&raw_blocks, &address);
	if (!old)
		return false;
	*ret = *old;
	/* Two threads cannot free one block: whoever deletes it is the one that found it. */
	if (bpf_map_delete_elem(&raw_blocks, &address))
		return false;
	if (ret->code)
		code_end(address + cfg.hook_delta);
	totals_remove(ret->stack, ret->size);
	return true;
}

/*
 * Where the object domain's frees are not probed: the raw block at ADDRESS is freed. With debug
 * hooks on both domains its code object began after two headers, which code_mark() does not look
 * for.
 */
static __always_inline void raw_block_code_end(__u64 address)
{
	if (cfg.mode == TMBPF_MODE_LAZY && cfg.hook_delta)
		code_end(address + 2 * cfg.hook_delta);
}

/*
 * The block at ADDRESS, which nobody traced, is freed: it may have held a code object from before.
 */
static __always_inline void unknown_free(__u64 address)
{
	add(&state.unknown_frees, 1);
	code_end(address + cfg.hook_delta);
}

#endif
