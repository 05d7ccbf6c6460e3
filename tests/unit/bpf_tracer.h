/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tracer and its process, as far as user/trace/symbols/symbols.c needs them, over the maps and
 * the memory of the emulation. To be included after tracer_fake.h and bpf_python.h.
 */
#ifndef TMBPF_TESTS_BPF_TRACER_H
#define TMBPF_TESTS_BPF_TRACER_H

static const struct python *tracer_python(const struct tracer *unused)
{
	(void)unused;
	return &fake;
}

static uint32_t tracer_stack_limit(const struct tracer *unused)
{
	(void)unused;
	return cfg.stack_limit;
}

static uint32_t tracer_place_count(const struct tracer *unused)
{
	(void)unused;
	return (cfg.bucket_mask + 1) * TMBPF_BUCKET_SLOTS;
}

static uint32_t tracer_stack_count(const struct tracer *unused)
{
	(void)unused;
	return state.next_stack;
}

static void tracer_stack_stats(const struct tracer *unused, uint32_t stack,
			       struct tmbpf_stack_stats *ret)
{
	(void)unused;
	*ret = host_stats(stack);
}

static void tracer_stack_retire(struct tracer *unused, uint32_t id, uint32_t place)
{
	__u32 index = place / TMBPF_BUCKET_SLOTS;
	struct tmbpf_bucket *bucket = bpf_map_lookup_elem(&stacks, &index);

	(void)unused;
	if ((uint32_t)bucket->id_epoch[place % TMBPF_BUCKET_SLOTS] == id)
		bucket->id_epoch[place % TMBPF_BUCKET_SLOTS] = 0;
}

static void tracer_stack_recycle(struct tracer *unused, uint32_t id)
{
	__u32 index = state.recycled_tail & cfg.recycled_mask;
	struct tmbpf_stack_stats *row = bpf_map_lookup_elem(&stats, &id);

	(void)unused;
	memset(row, 0, sizeof(*row));
	*(__u64 *)bpf_map_lookup_elem(&recycled, &index) = id;
	state.recycled_tail++;
}

static inline struct error *process_read(struct memory *memory, uint64_t address, void *ret,
					 size_t size)
{
	(void)memory;
	if (emulation_read(ret, size, address))
		return error_create(ERROR_FAILED, "nothing there");
	return NULL;
}

#endif
