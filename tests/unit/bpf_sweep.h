/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sweep at work on the emulated shadow and memory, as user/trace/tracer/tracer_walk.c sets it
 * to work. The target runs on meanwhile, in steps as small as from a malloc's probe to what it does
 * then: whenever the sweep reads. To be included after bpf_model.h and bpf_tracer.h.
 */
#ifndef TMBPF_TESTS_BPF_SWEEP_H
#define TMBPF_TESTS_BPF_SWEEP_H

#include "trace/tracer/sweep.h"

static struct {
	struct sweep_counters counters;
	bool interrupted; /* the model goes on while the sweep reads */
	bool full;        /* what is held gets less */
	uint64_t pending; /* a malloc of so many bytes, plus 1, was hit and is not done; else 0 */
	unsigned ended;   /* code objects that it found dead */
} reaping;

static inline void reap_finish_pending(void)
{
	if (!reaping.pending)
		return;
	object_malloc_end(reaping.pending - 1);
	reaping.pending = 0;
}

/* The target runs a bit. A thread that waits for its block does nothing else. */
static inline void reap_interrupt(void)
{
	uint64_t size = 1 + chance(480);

	if (!reaping.interrupted || !chance(3))
		return;
	if (reaping.pending) {
		reap_finish_pending();
		return;
	}
	thread_switch(chance(THREADS));
	for (uint64_t steps = chance(20); steps; steps--)
		model_step(reaping.full);
	if (chance(2) && m.count < BLOCKS_MAX - 50 && pymalloc_takes(size)) {
		if (host_task == THREADS)
			thread_switch(0);
		object_malloc_begin(size);
		reaping.pending = size + 1;
	}
}

static inline struct error *reap_read(struct memory *memory, uint64_t address, void *ret,
				      size_t size)
{
	bool failed;

	(void)memory;
	reap_interrupt();
	failed = emulation_read(ret, size, address);
	reap_interrupt();
	return failed ? error_create_errno(ERROR_FAILED, EFAULT, "nothing there") : NULL;
}

static inline bool reap_asleep(void *context)
{
	bool asleep = !reaping.pending;

	(void)context;
	if (asleep)
		reap_interrupt(); /* and wakes */
	return asleep;
}

/* As user/trace/tracer/tracer_walk.c does it, where nothing else runs. */
static inline void reap_end_code(void *context, uint64_t address, const uint32_t *entry,
				 uint32_t expected)
{
	__u64 code = address + cfg.hook_delta;
	__u32 *known = bpf_map_lookup_elem(&codes, &code);

	(void)context;
	if (!known || *entry != expected)
		return;
	reaping.ended++;
	code_end(code);
}

static inline void reap_drop(void *context, uint32_t entry)
{
	(void)context;
	if (ENTRY_STACK(entry))
		stats_remove(ENTRY_STACK(entry), ENTRY_SIZE(entry));
}

/* Walks over all slabs. */
static inline void reap(bool interrupted)
{
	static struct memory memory = {.read = reap_read};
	const struct sweep_tracer tracer = {
		.memory = &memory,
		.handed = handed,
		.asleep = reap_asleep,
		.end_code = reap_end_code,
		.drop = reap_drop,
	};
	unsigned task = host_task;
	struct sweep *sweep;

	support_ok(sweep_create(&fake.heap, &tracer, &sweep));
	reaping.interrupted = interrupted;
	for (__u32 i = 0; i <= cfg.chunk_mask; i++) {
		const struct tmbpf_chunk *chunk = bpf_map_lookup_elem(&chunks, &i);
		__u32 slab = chunk->slab - 1, zero = 0;

		if (chunk->chunk)
			support_ok(sweep_slab(
				sweep,
				bpf_map_lookup_elem(bpf_map_lookup_elem(&slabs, &slab), &zero),
				(chunk->chunk - 1) * sweep_range(sweep), &reaping.counters));
	}
	reaping.interrupted = false;
	reap_finish_pending();
	sweep_destroy(sweep);
	thread_switch(task);
}

#endif
