// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Live blocks as a whole: hands them to others, and takes in those of a parent process. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "trace/tracer/tracer.h"
#include "trace/tracer/tracer_internal.h"

#define BATCH 4096

static uint32_t granule_shift(const struct tracer *tracer)
{
	return tracer->skeleton->rodata->cfg.granule_shift;
}

static struct error *
slab_blocks(const struct tracer *tracer, const struct tmbpf_chunk *chunk,
	    struct error *(*visit)(void *context, const struct tracer_block *block), void *context)
{
	uint64_t granule = (chunk->chunk - 1) << TMBPF_SLAB_BITS;
	struct tracer_block block = {0};
	struct error *error = NULL;
	uint32_t *entries;

	try(tracer_slab_map(tracer, chunk->slab - 1, &entries));
	for (uint32_t i = 0; i < TMBPF_SLAB_ENTRIES && !error; i++) {
		uint32_t entry = __atomic_load_n(&entries[i], __ATOMIC_RELAXED);

		block.address = (granule + i) << granule_shift(tracer);
		block.size = ENTRY_SIZE(entry);
		block.stack = ENTRY_STACK(entry);
		/* A code object from before has no stack. */
		if (block.stack && block.stack < tracer->options.stack_limit)
			error = visit(context, &block);
	}
	tracer_slab_unmap(entries);
	return error;
}

struct batch {
	uint64_t keys[BATCH];
	struct tmbpf_raw_block values[BATCH];
};

static struct error *
raw_blocks(const struct tracer *tracer,
	   struct error *(*visit)(void *context, const struct tracer_block *block), void *context)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	cleanup_free struct batch *batch = calloc(1, sizeof(*batch));
	int map = bpf_map__fd(tracer->skeleton->maps.raw_blocks);
	uint32_t position, *last = NULL, count;
	bool more = true;

	if (!batch)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot read the live blocks");
	while (more) {
		count = BATCH;
		more = !bpf_map_lookup_batch(map, last, &position, batch->keys, batch->values,
					     &count, &options);
		if (!more && errno != ENOENT)
			return error_create_errno(ERROR_FAILED, errno,
						  "cannot read the live blocks");
		last = &position;
		for (uint32_t i = 0; i < count; i++) {
			const struct tracer_block block = {.address = batch->keys[i],
							   .size = batch->values[i].size,
							   .stack = batch->values[i].stack,
							   .raw = true};

			try(visit(context, &block));
		}
	}
	return NULL;
}

struct error *tracer_blocks(const struct tracer *tracer,
			    struct error *(*visit)(void *context, const struct tracer_block *block),
			    void *context)
{
	const struct tmbpf_chunk *chunks = tracer->chunks.data;
	uint32_t count = bpf_map__max_entries(tracer->skeleton->maps.chunks);

	for (uint32_t i = 0; i < count; i++) {
		const struct tmbpf_chunk chunk = {
			.chunk = __atomic_load_n(&chunks[i].chunk, __ATOMIC_SEQ_CST),
			.slab = __atomic_load_n(&chunks[i].slab, __ATOMIC_SEQ_CST)};

		if (chunk.chunk && chunk.slab && chunk.slab <= tracer->options.slab_limit)
			try(slab_blocks(tracer, &chunk, visit, context));
	}
	return raw_blocks(tracer, visit, context);
}

uint32_t tracer_stacks_reserve(struct tracer *tracer, uint32_t count, uint32_t *ret_first)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	uint32_t room = tracer->options.stack_limit - state->next_stack;

	*ret_first = state->next_stack;
	if (count > room)
		count = room;
	state->next_stack += count;
	return count;
}

static void loss_add(struct tracer *tracer, enum tmbpf_loss loss, uint64_t count)
{
	__atomic_fetch_add(&tracer->skeleton->bss->state.losses[loss], count, __ATOMIC_SEQ_CST);
}

static void block_count(struct tracer *tracer, const struct tracer_block *block)
{
	struct tmbpf_stack_stats *row =
		(struct tmbpf_stack_stats *)tracer->stats.data + block->stack;

	row->allocated_count++;
	row->allocated_size += block->size;
	if (!tracer_is_lazy(tracer))
		tracer->skeleton->bss->state.current += block->size;
}

/*
 * Finds the slab of CHUNK, or adds one. Like shadow_entry() of bpf/shadow.h, while no program does
 * that.
 */
static struct error *slab_obtain(struct tracer *tracer, uint64_t chunk, uint32_t *ret,
				 bool *ret_full)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	struct tmbpf_chunk *chunks = tracer->chunks.data;
	uint32_t mask = tracer->skeleton->rodata->cfg.chunk_mask;
	uint32_t place = tmbpf_chunk_place(chunk);

	*ret_full = false;
	if (tracer_chunk_slab(tracer, chunk, ret))
		return NULL;
	try(tracer_grow(tracer));
	for (uint32_t i = 0; i < TMBPF_CHUNK_PROBES; i++) {
		struct tmbpf_chunk *entry = &chunks[(place + i) & mask];

		if (entry->chunk || state->next_slab >= state->ready_slabs)
			continue;
		*ret = state->next_slab++;
		entry->chunk = chunk;
		entry->slab = *ret + 1;
		return NULL;
	}
	*ret_full = true;
	return NULL;
}

/* Adds the first blocks of LIST, those of one slab. RET: how many they are. */
static struct error *slab_add(struct tracer *tracer, const struct tracer_block *list, size_t count,
			      size_t *ret)
{
	uint32_t shift = granule_shift(tracer), slab, *entries = NULL;
	uint64_t number = list[0].address >> (TMBPF_SLAB_BITS + shift);
	bool full;
	size_t i;

	try(slab_obtain(tracer, number + 1, &slab, &full));
	if (!full)
		try(tracer_slab_map(tracer, slab, &entries));
	for (i = 0; i < count && list[i].address >> (TMBPF_SLAB_BITS + shift) == number; i++) {
		uint32_t granule = list[i].address >> shift & (TMBPF_SLAB_ENTRIES - 1);

		if (full) {
			loss_add(tracer, TMBPF_LOSS_SHADOW_FULL, 1);
		} else if (!entries[granule]) {
			entries[granule] = ENTRY_MAKE(list[i].size, list[i].stack);
			block_count(tracer, &list[i]);
		}
	}
	tracer_slab_unmap(entries);
	*ret = i;
	return NULL;
}

static struct error *raw_add(struct tracer *tracer, const struct tracer_block *list, size_t count)
{
	int map = bpf_map__fd(tracer->skeleton->maps.raw_blocks);

	for (size_t i = 0; i < count; i++) {
		const struct tmbpf_raw_block value = {.size = list[i].size, .stack = list[i].stack};

		if (!bpf_map_update_elem(map, &list[i].address, &value, BPF_NOEXIST))
			block_count(tracer, &list[i]);
		else if (errno == E2BIG)
			loss_add(tracer, TMBPF_LOSS_RAW_BLOCKS_FULL, 1);
		else if (errno != EEXIST)
			return error_create_errno(ERROR_FAILED, errno,
						  "cannot add to the live blocks");
	}
	return NULL;
}

struct error *tracer_blocks_add(struct tracer *tracer, const struct tracer_block *list,
				size_t count)
{
	if (count && list[0].raw)
		return raw_add(tracer, list, count);
	for (size_t i = 0, added; i < count; i += added)
		try(slab_add(tracer, list + i, count - i, &added));
	return NULL;
}

static struct error *pool_drop(struct tracer *tracer, const struct tracer_block *block, bool *ret)
{
	uint32_t shift = granule_shift(tracer), slab, *entries, *entry, expected;

	if (!tracer_chunk_slab(tracer, tmbpf_chunk_number(block->address, shift), &slab))
		return NULL;
	try(tracer_slab_map(tracer, slab, &entries));
	entry = &entries[block->address >> shift & (TMBPF_SLAB_ENTRIES - 1)];
	expected = __atomic_load_n(entry, __ATOMIC_SEQ_CST);
	/*
	 * By now the entry may be marked as that of a code object, which ended before tracing was
	 * on. Programs before Linux 5.17 have no atomic instructions. If one changes the entry
	 * within these nanoseconds, the block counts as freed twice.
	 */
	*ret = ENTRY_STACK(expected) == block->stack &&
	       __atomic_compare_exchange_n(entry, &expected, 0, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
	tracer_slab_unmap(entries);
	return NULL;
}

/* Takes what is at KEY out of MAP. False: nothing is there. */
static bool raw_take(int map, uint64_t key, struct tmbpf_raw_block *ret)
{
	if (!bpf_map_lookup_and_delete_elem(map, &key, ret))
		return true;
	/* Before Linux 5.14 this takes two steps. */
	return errno != ENOENT && !bpf_map_lookup_elem(map, &key, ret) &&
	       !bpf_map_delete_elem(map, &key);
}

/*
 * Between look and deletion the address may have been handed out again. Then what was taken is put
 * back.
 */
static struct error *raw_drop(struct tracer *tracer, const struct tracer_block *block, bool *ret)
{
	int map = bpf_map__fd(tracer->skeleton->maps.raw_blocks);
	struct tmbpf_raw_block value;

	if (bpf_map_lookup_elem(map, &block->address, &value) || value.stack != block->stack ||
	    !raw_take(map, block->address, &value))
		return NULL;
	if (value.stack == block->stack)
		*ret = true;
	else if (bpf_map_update_elem(map, &block->address, &value, BPF_NOEXIST) && errno != EEXIST)
		loss_add(tracer, TMBPF_LOSS_RAW_BLOCKS_FULL, 1);
	return NULL;
}

struct error *tracer_block_drop(struct tracer *tracer, const struct tracer_block *block, bool *ret)
{
	struct tmbpf_stack_stats *row =
		(struct tmbpf_stack_stats *)tracer->stats.data + block->stack;
	bool dropped = false;

	try(block->raw ? raw_drop(tracer, block, &dropped) : pool_drop(tracer, block, &dropped));
	*ret = dropped;
	if (!dropped)
		return NULL;
	__atomic_fetch_add(&row->freed_count, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&row->freed_size, block->size, __ATOMIC_SEQ_CST);
	if (!tracer_is_lazy(tracer))
		__atomic_fetch_sub(&tracer->skeleton->bss->state.current, block->size,
				   __ATOMIC_SEQ_CST);
	return NULL;
}

void tracer_peak_raise(struct tracer *tracer, uint64_t bytes)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;

	if (state->peak < state->current)
		state->peak = state->current;
	if (state->peak < bytes)
		state->peak = bytes;
}

bool tracer_forked(const struct tracer *tracer, pid_t pid, uint64_t *ret_events)
{
	uint32_t key = pid;
	struct tmbpf_fork note;

	if (bpf_map_lookup_elem(bpf_map__fd(tracer->skeleton->maps.forked), &key, &note))
		return false;
	*ret_events = tmbpf_block_events(tracer->skeleton->bss->state.events) - note.events;
	return true;
}
