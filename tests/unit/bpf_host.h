/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The BPF programs as C of this machine: bpf/tmbpf.bpf.c with all its headers becomes part of the
 * test that includes this, its static functions too. Helpers and maps are bpf_emulation.h's. To
 * be included after every header of the system and of user/.
 */
#ifndef TMBPF_TESTS_BPF_HOST_H
#define TMBPF_TESTS_BPF_HOST_H

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "bpf_emulation.h"
#include "support.h"

/* vmlinux.h has its own. */
#undef bool
#undef true
#undef false
#define preserve_access_index

/* bpf/bpf_helpers.h and bpf/bpf_core_read.h, which are for the BPF target, are not wanted. */
#define __BPF_HELPERS__
#define __BPF_CORE_READ_H__

/* NOLINTBEGIN(bugprone-*): libbpf's macros in its forms; a source included on purpose */
#undef __always_inline
#undef __noinline
#define __always_inline inline __attribute__((always_inline))
#define __noinline      __attribute__((noinline))
#define SEC(name)
#define __uint(name, val)  int(*name)[val]
#define __type(name, val)  __typeof__(val) *name
#define __array(name, val) __typeof__(val) *name[1]

#define BPF_CORE_READ(from, field) ((from)->field)

#define bpf_map_lookup_elem(map, key)              emulation_lookup(map, key)
#define bpf_map_update_elem(map, key, from, flags) emulation_update(map, key, from, flags)
#define bpf_map_delete_elem(map, key)              emulation_delete(map, key)
#define bpf_task_storage_get(map, task, initial, flags)                                            \
	emulation_storage(map, task, sizeof(*(map)->value), flags)
#define bpf_probe_read_user(to, size, from)        emulation_read(to, size, (uint64_t)(from))
#define bpf_ringbuf_output(map, data, size, flags) emulation_ring_output(data, size, flags)
#define bpf_ringbuf_query(map, what)               emulation_ring_query()
#define bpf_get_current_task_btf()                 (&host_tasks[host_task])
#define bpf_get_current_task()                     bpf_get_current_task_btf()
#define bpf_get_current_pid_tgid()                 (emulation.pid_tgid)
#define bpf_get_smp_processor_id()                 (host_task)
#define barrier()                                  __asm__ volatile("" ::: "memory")
#define bpf_ktime_get_ns()                         (++host_time)
#define bpf_get_prandom_u32()                      (emulation.random)
#define bpf_get_attach_cookie(context)             ((void)(context), emulation.cookie)
#define bpf_loop(times, step, context, flags)                                                      \
	({                                                                                         \
		__u32 index_ = 0;                                                                  \
		while (index_ < (times) && !step(index_++, context))                               \
			;                                                                          \
		index_;                                                                            \
	})

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
/* `const volatile` variables are written before a program is loaded, here before it is run. */
#define const
#include "vmlinux.h"

/* Threads of the target; the current one. */
#define HOST_TASKS 4
static struct task_struct host_tasks[HOST_TASKS];
static unsigned host_task;
static __u64 host_time; /* goes on by 1 whenever it is looked at */

#include "state.h"
#undef const
#include "tmbpf.bpf.c"
#pragma GCC diagnostic pop
/* NOLINTEND(bugprone-*) */

#define HOST_STACKS      1024
#define HOST_BUCKETS     256 /* powers of two, as user space makes them */
#define HOST_CHUNKS      64
#define HOST_SLABS       32
#define HOST_LARGE       1024
#define HOST_CODES       1024
#define HOST_SITES       32
#define HOST_RETURNS     8
#define HOST_ALLOCATIONS 8

/* Puts COUNT more slabs in their place, as tracer_grow() does. */
static inline void host_slabs_add(__u32 count)
{
	while (count--)
		emulation_inner(&slabs, state.ready_slabs++, TMBPF_SLAB_ENTRIES * sizeof(__u32));
}

/* How large the maps are; what is 0 is as above. */
struct host_sizes {
	__u32 stacks, buckets, chunks, slabs, large, codes;
};

/* A new world: no target memory, empty maps, tracing on. What cfg says of Python is all 0. */
static inline void host_start(const struct host_sizes *sizes)
{
	struct host_sizes none = {0}, s = sizes ? *sizes : none;

	emulation_reset();
	memset((void *)&cfg, 0, sizeof(cfg));
	memset(&state, 0, sizeof(state));
	memset(generations, 0, sizeof(generations));
	memset(&refill, 0, sizeof(refill));
	memset(handed, 0, sizeof(handed));
	memset(host_tasks, 0, sizeof(host_tasks));
	host_task = 0;
	host_time = 0;
	cfg.stack_limit = s.stacks ? s.stacks : HOST_STACKS;
	cfg.bucket_mask = (s.buckets ? s.buckets : HOST_BUCKETS) - 1;
	cfg.recycled_mask = HOST_STACKS - 1;
	while (cfg.recycled_mask < cfg.stack_limit)
		cfg.recycled_mask = 2 * cfg.recycled_mask + 1;
	cfg.chunk_mask = (s.chunks ? s.chunks : HOST_CHUNKS) - 1;
	cfg.slab_limit = s.slabs ? s.slabs : HOST_SLABS;
	cfg.ring_bytes = 8u << 20;
	cfg.nframe = 25;
	emulation_array(&sites, sizeof(*sites.value), HOST_SITES);
	emulation_hash(&returns, sizeof(*returns.value), HOST_RETURNS);
	emulation_array(&chunks, sizeof(*chunks.value), cfg.chunk_mask + 1);
	emulation_array_of_maps(&slabs, cfg.slab_limit);
	emulation_hash(&raw_blocks, sizeof(*raw_blocks.value), s.large ? s.large : HOST_LARGE);
	emulation_array(&captures, sizeof(*captures.value), CAPTURES);
	emulation_array(&window_allocations, sizeof(*window_allocations.value), HOST_ALLOCATIONS);
	emulation_array(&stacks, sizeof(*stacks.value), cfg.bucket_mask + 1);
	emulation_array(&stats, sizeof(*stats.value), cfg.stack_limit);
	emulation_array(&recycled, sizeof(*recycled.value), cfg.recycled_mask + 1);
	emulation_hash(&codes, sizeof(*codes.value), s.codes ? s.codes : HOST_CODES);
	emulation_hash(&sampled_codes, sizeof(*sampled_codes.value), HOST_CODES);
	state.next_stack = TMBPF_STACK_FIRST;
	state.tracing = 1;
	state.window = 1;
	host_slabs_add(cfg.slab_limit);
}

static inline struct thread *host_thread(void)
{
	struct thread *thread = thread_current();

	assert_non_null(thread);
	return thread;
}

static inline struct tmbpf_stack_stats host_stats(__u32 stack)
{
	struct tmbpf_stack_stats *row = bpf_map_lookup_elem(&stats, &stack);

	assert_non_null(row);
	return *row;
}

/* Blocks and bytes that STACK holds have to be these. */
static inline void host_holds(__u32 stack, __u64 count, __u64 size)
{
	struct tmbpf_stack_stats row = host_stats(stack);

	assert_int_equal(row.allocated_count - row.freed_count, count);
	assert_int_equal(row.allocated_size - row.freed_size, size);
}

/* The only losses have to be COUNT of LOSS; COUNT 0: none at all. */
static inline void host_lost(enum tmbpf_loss loss, __u64 count)
{
	for (int i = 0; i < TMBPF_LOSS_COUNT; i++) {
		__u64 expected = i == (int)loss ? count : 0;

		if (state.losses[i] != expected)
			fail_msg("loss %d: %llu, not %llu", i, state.losses[i], expected);
	}
}

static inline void host_lost_nothing(void)
{
	host_lost(0, 0);
}

#endif
