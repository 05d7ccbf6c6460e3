// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the BPF programs have counted: totals, the rows of stacks, and the block at an address. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "trace/attach/sites.h"
#include "trace/tracer/tracer_internal.h"

void tracer_reset_peak(struct tracer *tracer)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;

	__atomic_store_n(&state->peak, __atomic_load_n(&state->current, __ATOMIC_SEQ_CST),
			 __ATOMIC_SEQ_CST);
}

static void program_stats(const struct bpf_program *program, struct tracer_counters *ret)
{
	struct bpf_prog_info info = {0};
	uint32_t size = sizeof(info);
	int fd = bpf_program__fd(program);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
		return;
	ret->run_ns += info.run_time_ns;
	ret->run_count += info.run_cnt;
}

/* The bytes that the kernel charges for a map: "memlock" in its fdinfo. */
static uint64_t map_memory(int fd)
{
	cleanup_file FILE *file = NULL;
	unsigned long long bytes = 0;
	char path[64], line[128];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "memlock: %llu", &bytes) == 1)
			break;
	return bytes;
}

/* If frees are not probed, nobody keeps a sum. */
static uint64_t rows_current(const struct tracer *tracer)
{
	uint32_t count = tracer_stack_count(tracer);
	uint64_t current = 0;

	for (uint32_t id = TMBPF_STACK_UNKNOWN; id < count; id++) {
		struct tmbpf_stack_stats row;

		tracer_stack_stats(tracer, id, &row);
		if (row.allocated_size > row.freed_size)
			current += row.allocated_size - row.freed_size;
	}
	return current;
}

void tracer_counters(const struct tracer *tracer, struct tracer_counters *ret)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	struct bpf_map *map;

	memset(ret, 0, sizeof(*ret));
	ret->current = tracer_is_lazy(tracer) ? rows_current(tracer)
					      : __atomic_load_n(&state->current, __ATOMIC_SEQ_CST);
	/* An event first raises `current`, then `peak`. */
	ret->peak = __atomic_load_n(&state->peak, __ATOMIC_SEQ_CST);
	if (ret->peak < ret->current)
		ret->peak = ret->current;
	memcpy(ret->events, state->events, sizeof(ret->events));
	memcpy(ret->losses, state->losses, sizeof(ret->losses));
	ret->unknown_frees = state->unknown_frees;
	ret->missed_code_ends = state->missed_code_ends;
	ret->slabs = state->ready_slabs;
	ret->stacks_taken = tracer_stack_count(tracer);
	ret->codes_seen = state->next_code;
	ret->sites = sites_count(tracer->sites);
	program_stats(tracer->skeleton->progs.probe, ret);
	if (tracer->skeleton->rodata->cfg.return_probes)
		program_stats(tracer->skeleton->progs.probe_session, ret);
	bpf_object__for_each_map(map, tracer->skeleton->obj)
		ret->map_bytes += map_memory(bpf_map__fd(map));
	ret->map_bytes += (uint64_t)ret->slabs * TMBPF_SLAB_ENTRIES * sizeof(uint32_t);
}

void tracer_stack_stats(const struct tracer *tracer, uint32_t stack, struct tmbpf_stack_stats *ret)
{
	const struct tmbpf_stack_stats *row =
		(const struct tmbpf_stack_stats *)tracer->stats.data + stack;
	struct tmbpf_stack_stats before;

	/* Read twice: if both are the same, nothing happened in between. */
	for (int i = 0; i < 100; i++) {
		before = *(const volatile struct tmbpf_stack_stats *)row;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		*ret = *(const volatile struct tmbpf_stack_stats *)row;
		if (!memcmp(&before, ret, sizeof(before)))
			return;
	}
}

uint32_t tracer_stack_count(const struct tracer *tracer)
{
	uint32_t next = __atomic_load_n(&tracer->skeleton->bss->state.next_stack, __ATOMIC_SEQ_CST);

	return next < tracer->options.stack_limit ? next : tracer->options.stack_limit;
}

uint32_t tracer_stack_limit(const struct tracer *tracer)
{
	return tracer->options.stack_limit;
}

uint32_t tracer_place_count(const struct tracer *tracer)
{
	return bpf_map__max_entries(tracer->skeleton->maps.stacks) * TMBPF_BUCKET_SLOTS;
}

void tracer_stack_retire(struct tracer *tracer, uint32_t id, uint32_t place)
{
	struct tmbpf_bucket *buckets = tracer->stacks.data;
	__u64 *entry, before;

	if (place / TMBPF_BUCKET_SLOTS >= bpf_map__max_entries(tracer->skeleton->maps.stacks))
		return;
	entry = &buckets[place / TMBPF_BUCKET_SLOTS].id_epoch[place % TMBPF_BUCKET_SLOTS];
	before = __atomic_load_n(entry, __ATOMIC_SEQ_CST);
	while ((uint32_t)before == id &&
	       !__atomic_compare_exchange_n(entry, &before, 0, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST))
		;
}

void tracer_stack_recycle(struct tracer *tracer, uint32_t id)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	__u64 *ids = tracer->recycled.data;
	uint32_t tail = state->recycled_tail;

	memset((struct tmbpf_stack_stats *)tracer->stats.data + id, 0,
	       sizeof(struct tmbpf_stack_stats));
	ids[tail & tracer->skeleton->rodata->cfg.recycled_mask] = id;
	__atomic_store_n(&state->recycled_tail, tail + 1, __ATOMIC_SEQ_CST);
}

static bool shadow_block(const struct tracer *tracer, uint64_t address, uint32_t *ret_stack,
			 uint64_t *ret_size)
{
	uint32_t granule = 1u << tracer->skeleton->rodata->cfg.granule_shift, entry;
	struct error *error;

	if (address % granule)
		return false;
	error = tracer_shadow(tracer, address, 1, &entry);
	if (error) {
		error_destroy(error);
		return false;
	}
	if (!ENTRY_STACK(entry)) /* nothing, or a code object from before */
		return false;
	*ret_stack = ENTRY_STACK(entry);
	*ret_size = ENTRY_SIZE(entry);
	return true;
}

/* Finds the block at ADDRESS of one of tracemalloc's other domains. */
static bool tracked_block(const struct tracer *tracer, uint64_t address,
			  struct tmbpf_raw_block *ret)
{
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;

	for (uint32_t place = 0; place < TMBPF_DOMAINS_MAX && state->domains[place]; place++) {
		uint64_t key = TMBPF_DOMAIN_KEY(address, place);

		if (!bpf_map_lookup_elem(bpf_map__fd(tracer->skeleton->maps.raw_blocks), &key, ret))
			return true;
	}
	return false;
}

struct error *tracer_block(const struct tracer *tracer, uint64_t address, uint32_t *ret_stack,
			   uint64_t *ret_size)
{
	uint64_t delta = tracer->skeleton->rodata->cfg.hook_delta;
	struct tmbpf_raw_block tracked;

	/*
	 * Debug hooks put one header before the caller's block, or two before a block of malloc's.
	 */
	for (int i = 0; i < 3; i++) {
		uint64_t block = address - i * delta;
		struct tmbpf_raw_block found;

		if (shadow_block(tracer, block, ret_stack, ret_size))
			return NULL;
		if (!bpf_map_lookup_elem(bpf_map__fd(tracer->skeleton->maps.raw_blocks), &block,
					 &found)) {
			*ret_stack = found.stack;
			*ret_size = found.size;
			return NULL;
		}
	}
	if (tracked_block(tracer, address, &tracked)) {
		*ret_stack = tracked.stack;
		*ret_size = tracked.size;
		return NULL;
	}
	return error_create(ERROR_NOTHING, "no traced block starts at 0x%llx",
			    (unsigned long long)address);
}
