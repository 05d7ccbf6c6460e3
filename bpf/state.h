/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All state of the BPF programs: configuration, counters, maps. Sizes of maps that user space
 * chooses are set before loading (max_entries 1 here).
 */
#ifndef TMBPF_STATE_H
#define TMBPF_STATE_H

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "kernel.h"
#include "tmbpf.h"

const volatile struct tmbpf_config cfg;

/* Totals and counters. User space reads them, and sets what the comments say. */
struct {
	__u32 tracing; /* the probes act; set by user space */
	__u32 window;  /* the sampling window's number; set by user space before `tracing` */
	__u32 epoch;   /* of code objects: raised when one that stacks refer to dies */
	__u32 next_stack, recycled_head, recycled_tail;
	__u32 next_code;
	__u32 next_slab, ready_slabs;
	__u64 current, peak;
	__u64 events[TMBPF_EVENT_COUNT];
	__u64 losses[TMBPF_LOSS_COUNT];
	__u64 forks;              /* children of the target that have its probes in their memory */
	__u64 hooked_later;       /* hooks were put in while we trace: as cfg.hooked_raw */
	__u64 unknown_frees;      /* of blocks from before tracing began */
	__u64 missed_code_ends;   /* ends of code objects that user space was not told of */
	__u64 window_allocations; /* allocations of this sampling window */
	__u64 closed_at;          /* when the window closed itself, being full; else 0 */
	__u32 returned_stack;     /* an id whose announcement failed, to be used again */
	__u32 leaked_stacks;
	__u32 sampling;               /* page faults and large blocks are sampled; see sample.h */
	__u32 tick_samples;           /* page faults of this tick */
	__u64 tick, large_tick;       /* when it began */
	__u64 large_samples;          /* of this tick */
	__u64 fault_hits, large_hits; /* runs of the programs */
	__u64 fault_ns, large_ns;     /* spent on samples, without the hits themselves */
	__u64 hits, hit_ns; /* of sampling windows' probes: runs of the program, time in it */
	/* tracemalloc's domains in the order in which they were seen, up to the first 0. */
	__u32 domains[TMBPF_DOMAINS_MAX + 1];
} state;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tmbpf_site);
} sites SEC(".maps");

/* Indices of sites, by their address in the process. Used where the kernel gives no cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} returns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct tmbpf_chunk);
} chunks SEC(".maps");

struct slab {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, TMBPF_SLAB_ENTRIES * sizeof(__u32));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct slab);
} slabs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct tmbpf_allocation);
} window_allocations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct tmbpf_raw_block);
} raw_blocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct tmbpf_bucket);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct tmbpf_stack_stats);
} stats SEC(".maps");

/*
 * Stack ids that user space gives back: those from recycled_head to recycled_tail, modulo the map's
 * size.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} recycled SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} codes SEC(".maps");

/* Children that were forked while tracing was on, by their pid. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TMBPF_FORKS_MAX);
	__type(key, __u32);
	__type(value, struct tmbpf_fork);
} forked SEC(".maps");

/*
 * By what tells a code object from others; see sample.h. Its memory is allocated beforehand, as a
 * perf event's program runs with interrupts off, where little can be had at once.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} sampled_codes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

static __always_inline void count_loss(enum tmbpf_loss loss)
{
	add(&state.losses[loss], 1);
}

static __always_inline void count_event(enum tmbpf_event event)
{
	add(&state.events[event], 1);
}

/* Wakes user space only when a quarter of the ring waits: it comes by itself often enough. */
static __always_inline __u64 ring_flags(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > cfg.ring_bytes / 4
		       ? BPF_RB_FORCE_WAKEUP
		       : BPF_RB_NO_WAKEUP;
}

#endif
