// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Walks over the pools, where frees of the object domain are not probed. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "trace/tracer/sweep.h"
#include "trace/tracer/tracer.h"
#include "trace/tracer/tracer_internal.h"

/* They are handed out in their turn: after the records that announced the code objects. */
static void ended_add(struct tracer *tracer, uint64_t code, uint32_t id)
{
	struct error *error = array_reserve(&tracer->ended, &tracer->ended_capacity,
					    tracer->ended_count, 1, sizeof(*tracer->ended));

	if (error) { /* as if the ring had been full */
		error_destroy(error);
		__atomic_fetch_add(&tracer->skeleton->bss->state.missed_code_ends, 1,
				   __ATOMIC_SEQ_CST);
		return;
	}
	tracer->ended[tracer->ended_count++] = (struct tmbpf_record_code_end){
		.record = {TMBPF_RECORD_CODE_END, sizeof(*tracer->ended)},
		.address = code,
		.id = id,
	};
}

/*
 * Like code_end() of bpf/intern.h, while the programs run. A program that hands out the address
 * ends the code object itself, as the entry is still marked. Then the table may already have the
 * next code object there, which is put back.
 */
static void reap_code(void *context, uint64_t address, const uint32_t *entry, uint32_t expected)
{
	struct tracer *tracer = context;
	struct tmbpf_bpf *skeleton = tracer->skeleton;
	uint64_t code = address + skeleton->rodata->cfg.hook_delta;
	int codes = bpf_map__fd(skeleton->maps.codes);
	uint32_t id, taken;

	if (bpf_map_lookup_elem(codes, &code, &id) ||
	    __atomic_load_n(entry, __ATOMIC_SEQ_CST) != expected)
		return;
	/*
	 * This comes before the address can be handed out unnoticed: stacks of the dead code match
	 * no more.
	 */
	__atomic_fetch_add(&skeleton->bss->generations[tmbpf_generation_place(code)], 1,
			   __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&skeleton->bss->state.epoch, 1, __ATOMIC_SEQ_CST);
	if (bpf_map_lookup_and_delete_elem(codes, &code, &taken))
		return;
	if (taken != id && !bpf_map_update_elem(codes, &code, &taken, BPF_NOEXIST))
		return;
	ended_add(tracer, code, taken);
}

static void reap_drop(void *context, uint32_t entry)
{
	struct tracer *tracer = context;
	struct tmbpf_stack_stats *row =
		(struct tmbpf_stack_stats *)tracer->stats.data + ENTRY_STACK(entry);

	if (!ENTRY_STACK(entry) || ENTRY_STACK(entry) >= tracer->options.stack_limit)
		return;
	__atomic_fetch_add(&row->freed_count, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&row->freed_size, (uint64_t)ENTRY_SIZE(entry), __ATOMIC_SEQ_CST);
}

static bool target_asleep(void *context)
{
	struct tracer *tracer = context;

	return process_asleep(tracer->process);
}

static struct error *sweep_make(struct tracer *tracer)
{
	const struct sweep_tracer hooks = {
		.memory = &tracer->process->memory,
		.handed = tracer->skeleton->bss->handed,
		.context = tracer,
		.asleep = target_asleep,
		.end_code = reap_code,
		.drop = reap_drop,
	};

	if (!tracer->slab_addresses)
		tracer->slab_addresses = calloc(tracer->options.slab_limit, sizeof(uint64_t));
	if (!tracer->slab_addresses)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a walk over the pools");
	return sweep_create(&tracer->python->heap, &hooks, &tracer->sweep);
}

/* The directory in the other direction. A chunk whose slab is just being added has no entry yet. */
static void slabs_locate(struct tracer *tracer)
{
	const struct tmbpf_chunk *chunks = tracer->chunks.data;
	uint32_t count = bpf_map__max_entries(tracer->skeleton->maps.chunks);

	for (uint32_t i = 0; i < count; i++) {
		uint64_t chunk = __atomic_load_n(&chunks[i].chunk, __ATOMIC_SEQ_CST);
		uint32_t slab = __atomic_load_n(&chunks[i].slab, __ATOMIC_SEQ_CST);

		if (chunk && slab && slab <= tracer->options.slab_limit)
			tracer->slab_addresses[slab - 1] = (chunk - 1) * sweep_range(tracer->sweep);
	}
}

struct error *tracer_walk_begin(struct tracer *tracer, uint32_t *ret_slabs)
{
	uint32_t next;

	*ret_slabs = 0;
	if (!tracer_is_lazy(tracer))
		return NULL;
	if (!tracer->sweep)
		try(sweep_make(tracer));
	slabs_locate(tracer);
	memset(&tracer->reaped, 0, sizeof(tracer->reaped));
	next = __atomic_load_n(&tracer->skeleton->bss->state.next_slab, __ATOMIC_SEQ_CST);
	*ret_slabs = next < tracer->options.slab_limit ? next : tracer->options.slab_limit;
	return NULL;
}

static void ended_tell(struct tracer *tracer, tracer_handler handle, void *context)
{
	if (!tracer->ended_count)
		return;
	tracer_ring_consume(tracer, handle, context);
	for (size_t i = 0; i < tracer->ended_count; i++)
		handle(context, &tracer->ended[i].record, sizeof(tracer->ended[i]));
	tracer->ended_count = 0;
}

struct error *tracer_walk(struct tracer *tracer, uint32_t slab, tracer_handler handle,
			  void *context)
{
	struct error *error;
	uint32_t *entries;

	if (!tracer->slab_addresses[slab])
		return NULL;
	try(tracer_slab_map(tracer, slab, &entries));
	error = sweep_slab(tracer->sweep, entries, tracer->slab_addresses[slab], &tracer->reaped);
	tracer_slab_unmap(entries);
	ended_tell(tracer, handle, context);
	return error;
}

uint64_t tracer_walk_unstable(const struct tracer *tracer)
{
	return tracer->reaped.unstable;
}

struct error *tracer_walk_block(struct tracer *tracer, uint64_t address, tracer_handler handle,
				void *context)
{
	uint32_t slabs;

	try(tracer_walk_begin(tracer, &slabs));
	for (uint32_t i = 0; i < slabs; i++)
		if (address - tracer->slab_addresses[i] < sweep_range(tracer->sweep))
			return tracer_walk(tracer, i, handle, context);
	return NULL;
}
