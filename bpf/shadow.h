/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The live blocks: which stack allocated what is held. pymalloc's blocks are in a dense shadow of its arenas, 32 bits a
 * granule; the raw domain's in a hash table by address.
 *
 * The shadow is made of slabs, each for 64 Ki granules of address space, handed out in the order in which chunks of
 * address space are first seen; a small directory (open addressing, CHUNK_PROBES places) leads from the chunk to its
 * slab. User space keeps spare slabs ready.
 *
 * Every update is idempotent: a block that is already there with the same stack and size is left as it is, and a free
 * of an unknown block does nothing. So nested calls within the allocator may be seen twice.
 */
#ifndef TMBPF_SHADOW_H
#define TMBPF_SHADOW_H

#include "intern.h"
#include "state.h"

#define CHUNK_PROBES    8
#define SPARE_SLABS_LOW 32

static __always_inline void stats_add(__u32 stack, __u64 size)
{
	struct tmbpf_stack_stats *row = bpf_map_lookup_elem(&stats, &stack);

	if (row) {
		__sync_fetch_and_add(&row->allocated_count, 1);
		__sync_fetch_and_add(&row->allocated_size, size);
	}
}

static __always_inline void stats_remove(__u32 stack, __u64 size)
{
	struct tmbpf_stack_stats *row = bpf_map_lookup_elem(&stats, &stack);

	if (row) {
		__sync_fetch_and_add(&row->freed_count, 1);
		__sync_fetch_and_add(&row->freed_size, size);
	}
}

static __always_inline void totals_add(__u32 stack, __u64 size)
{
	__u64 current, peak;

	stats_add(stack, size);
	current = __sync_fetch_and_add(&state.current, size) + size;
	peak = state.peak;
	if (current > peak && __sync_val_compare_and_swap(&state.peak, peak, current) != peak) {
		/* Another thread raised it at the same moment: once more is enough for two; a third would raise it itself. */
		peak = state.peak;
		if (current > peak)
			__sync_val_compare_and_swap(&state.peak, peak, current);
	}
}

static __always_inline void totals_remove(__u32 stack, __u64 size)
{
	stats_remove(stack, size);
	__sync_fetch_and_sub(&state.current, size);
}

#define ENTRY_STACK(entry)      ((entry) & (TMBPF_STACK_MAX - 1))
#define ENTRY_SIZE_CODED(entry) ((entry) >> TMBPF_STACK_BITS)
#define ENTRY_CODE(entry)       (ENTRY_SIZE_CODED(entry) > TMBPF_SIZE_MAX)

static __always_inline __u64 entry_size(__u32 entry)
{
	__u32 coded = ENTRY_SIZE_CODED(entry);

	return coded > TMBPF_SIZE_MAX ? coded - TMBPF_SIZE_MAX + TMBPF_CODE_BASE : coded;
}

/* Few slabs are left: user space is woken to make more. If the ring is full it is awake. */
static __always_inline void slab_wanted(void)
{
	struct tmbpf_record record = {TMBPF_RECORD_SLAB, sizeof(record)};

	bpf_ringbuf_output(&ring, &record, sizeof(record), BPF_RB_FORCE_WAKEUP);
}

/* The place of the block at ADDRESS in the shadow; with CREATE a slab is taken for a chunk that has none. */
static __always_inline __u32 *shadow_entry(__u64 address, bool create)
{
	__u64 chunk = (address >> (TMBPF_SLAB_BITS + cfg.granule_shift)) + 1;
	__u32 place = (chunk * 0x9e3779b97f4a7c15ULL) >> 40, slab, granule, zero = 0;
	struct tmbpf_chunk *entry;
	__u32 *values;
	void *map;
	int i;

	for (i = 0; i < CHUNK_PROBES; i++) {
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
		    __sync_val_compare_and_swap(&entry->chunk, 0, chunk))
			goto full;
		slab = __sync_fetch_and_add(&state.next_slab, 1);
		if (state.ready_slabs - slab < SPARE_SLABS_LOW)
			slab_wanted();
		entry->slab = slab + 1;
		break;
	}
	if (i == CHUNK_PROBES)
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

/* A pymalloc block of SIZE bytes (at most 512) was or will be handed out at ADDRESS. */
static __always_inline void shadow_add(__u64 address, __u32 size, __u32 stack)
{
	__u32 *entry = shadow_entry(address, true), old;
	__u32 new = size << TMBPF_STACK_BITS | stack;

	if (!entry)
		return;
	old = *entry;
	if (old == new)
		return;
	if (old) {
		if (ENTRY_CODE(old))
			code_end(address + cfg.hook_delta);
		totals_remove(ENTRY_STACK(old), entry_size(old));
		count_loss(TMBPF_LOSS_STALE_BLOCK);
	}
	*entry = new;
	totals_add(stack, size);
}

/* True if there was a traced block at ADDRESS, which is none any more. */
static __always_inline bool shadow_remove(__u64 address)
{
	__u32 *entry = shadow_entry(address, false), old;

	if (!entry || !*entry)
		return false;
	old = *entry;
	*entry = 0;
	if (ENTRY_CODE(old))
		code_end(address + cfg.hook_delta);
	totals_remove(ENTRY_STACK(old), entry_size(old));
	return true;
}

/* The traced block at ADDRESS gets a new stack, as if it had been freed and handed out again. False: there is none. */
static __always_inline bool shadow_assign(__u64 address, __u32 stack)
{
	__u32 *entry = shadow_entry(address, false), old;

	if (!entry || !*entry)
		return false;
	old = *entry;
	if (ENTRY_STACK(old) == stack)
		return true;
	*entry = (old & ~(TMBPF_STACK_MAX - 1)) | stack;
	stats_remove(ENTRY_STACK(old), entry_size(old));
	stats_add(stack, entry_size(old));
	return true;
}

static __always_inline void large_add(__u64 address, __u64 size, __u32 stack)
{
	struct tmbpf_large block = {.size = size, .stack = stack}, *old;

	old = bpf_map_lookup_elem(&large, &address);
	if (old) {
		totals_remove(old->stack, old->size);
		count_loss(TMBPF_LOSS_STALE_BLOCK);
		if (old->code)
			code_end(address + cfg.hook_delta);
	}
	if (bpf_map_update_elem(&large, &address, &block, BPF_ANY)) {
		count_loss(TMBPF_LOSS_LARGE_FULL);
		return;
	}
	totals_add(stack, size);
}

/* True if there was a traced block, given in RET; totals are told. */
static __always_inline bool large_remove(__u64 address, struct tmbpf_large *ret)
{
	struct tmbpf_large *old = bpf_map_lookup_elem(&large, &address);

	if (!old)
		return false;
	*ret = *old;
	/* Two threads cannot free one block: whoever deletes it is the one that found it. */
	if (bpf_map_delete_elem(&large, &address))
		return false;
	if (ret->code)
		code_end(address + cfg.hook_delta);
	totals_remove(ret->stack, ret->size);
	return true;
}

/* The block at ADDRESS, which nobody traced, is freed: it may have held a code object from before. */
static __always_inline void unknown_free(__u64 address)
{
	__sync_fetch_and_add(&state.unknown_frees, 1);
	code_end(address + cfg.hook_delta);
}

static __always_inline void code_mark(__u64 code)
{
	__u64 address = code - cfg.hook_delta;
	__u32 *entry = shadow_entry(address, false), old, coded;
	struct tmbpf_large *block;

	if (entry && *entry) {
		old = *entry;
		coded = ENTRY_SIZE_CODED(old);
		if (coded > TMBPF_CODE_BASE && coded <= TMBPF_SIZE_MAX)
			*entry = (coded - TMBPF_CODE_BASE + TMBPF_SIZE_MAX) << TMBPF_STACK_BITS |
				 ENTRY_STACK(old);
		return;
	}
	block = bpf_map_lookup_elem(&large, &address);
	if (block)
		block->code = 1;
}

#endif
