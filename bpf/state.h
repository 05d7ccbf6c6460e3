/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All state of the BPF programs: configuration, counters, maps. Sizes of maps that user space
 * chooses are set before loading (max_entries 1 here).
 */
#ifndef TMBPF_STATE_H
#define TMBPF_STATE_H

#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "kernel.h"
#include "tmbpf.h"

#define WINDOW      1024 /* bytes of frame memory read at once */
#define GENERATIONS 65536

const volatile struct tmbpf_config cfg;

/* Totals and counters; user space reads them, and opens and closes the window. */
struct {
	__u32 window; /* events count; sampling windows: the window's number */
	__u32 epoch;  /* of code objects: raised when one that stacks refer to dies */
	__u32 next_stack, recycled_head, recycled_tail;
	__u32 next_code;
	__u32 next_slab, ready_slabs;
	__u64 current, peak;
	__u64 events[TMBPF_EVENT_COUNT];
	__u64 losses[TMBPF_LOSS_COUNT];
	__u64 forks;            /* children of the target that have its probes in their memory */
	__u64 hooked_later;     /* hooks were put in while we trace: as cfg.hooked_raw */
	__u64 unknown_frees;    /* of blocks from before tracing began */
	__u64 missed_code_ends; /* ends of code objects that user space was not told of */
	__u64 births;           /* of this window */
	__u64 closed_at; /* the window was closed at this time, as there was no room for more births; 0 */
	__u32 returned_stack; /* an id whose announcement failed, to be taken again */
	__u32 leaked_stacks;
	__u32 sampling;               /* page faults and large blocks are sampled; see sample.h */
	__u32 tick_samples;           /* page faults of this tick */
	__u64 tick, large_tick;       /* when it began */
	__u64 large_births;           /* of this tick */
	__u64 fault_hits, large_hits; /* runs of the programs */
	__u64 fault_ns, large_ns;     /* spent on samples, without the hits themselves */
	__u64 hits, hit_ns; /* of windows' probes: runs of the program, time spent in it */
	__u32 domains[TMBPF_DOMAINS_MAX +
		      1]; /* tracemalloc's, as they were seen, up to the first 0 */
} state;

/* By address of a code object: raised when it dies, so that what takes its address is told from it. */
__u32 generations[GENERATIONS];

/* A pool of a fresh arena is on its way: its address is known only at the next event of its interpreter. */
struct {
	__u32 active, index;
	__u64 usedpools, size;
	__u32 stack;
} refill;

/* Kept only where frees are not probed. A process with one heap uses the first place. */
struct tmbpf_handed handed[TMBPF_HANDED_MAX];

struct pending {             /* a raw allocation whose result is awaited */
	__u64 stack_pointer; /* rsp right after the return */
	__u64 returns;       /* the return address; 0: none is awaited */
	__u64 size;
	__u64 old; /* realloc: what was given up for it */
	struct tmbpf_large old_block;
};

struct walk {        /* of the frames; here rather than on the stack, of which there is little */
	__u64 frame; /* address of the next one, 0 at the end */
	__u64 base;  /* address of window[0] */
	__u64 limit; /* greatest offset at which a whole frame lies in the window */
	__u64 hash;
	__u32 count, total, keep;
	__u32 failed;
};

struct thread {
	struct pending pending;
	struct pending large;                   /* the same of a large block that is sampled */
	__u64 call_returns, call_stack_pointer; /* of the raw call at hand */
	__u64 object_request; /* an object allocation of this size, plus 1, is about to ask the raw domain; 0 none */
	__u64 object_freed; /* an unknown block that its object's free gave up: the raw domain may see it once more */
	__u64 object_moved;  /* a block that its realloc gave up: it is freed in there once more */
	__u64 hook_request;  /* an outer raw hook was entered for this size, plus 1; 0 none */
	__u64 stack_pointer; /* at the probe; kept only where frees are not probed */
	__u64 outer,
		outer_stack_pointer; /* calloc or realloc was about to take this block, and from where; 0 none */
	__u64 no_arena; /* its last object allocation found this list of arenas with room empty; 0 none */
	__u32 refill_class; /* a probed allocation announced a refill of this class, plus 1; 0 none */
	__u32 window_number; /* that all this is from */
	__u32 nframe, total_nframe;
	__u32 domain; /* of what the stack at hand allocates */
	struct walk walk;
	struct tmbpf_frame frames[TMBPF_WALK_MAX];
	__u8 window[WINDOW];
	__u8 record[sizeof(struct tmbpf_record_sample) +
		    sizeof(struct tmbpf_frame) * TMBPF_WALK_MAX];
};

#define CAPTURE_MAX (sizeof(struct tmbpf_record_code) + 3 * TMBPF_STRING_MAX + TMBPF_TABLE_MAX)

/* A code object being copied out. Too large for a task's storage, which from Linux 7.0 on ends at 8 KiB. */
struct capture {
	__u32 busy; /* a program uses it, and perhaps waits for its processor */
	__u32 unused;
	__u8 bytes[CAPTURE_MAX + 8];
};

/* So many programs may be doing that at a time; a power of two. */
#define CAPTURES 16

#ifdef TMBPF_PLAIN

/* By thread id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thread);
} threads SEC(".maps");

/* A record to begin with: nothing is ever written into it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thread);
} thread_zero SEC(".maps");

/* Has an element while a program has its turn. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} turn SEC(".maps");

#else

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} threads SEC(".maps");

#endif

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CAPTURES);
	__type(key, __u32);
	__type(value, struct capture);
} captures SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tmbpf_site);
} sites SEC(".maps");

/* Of sites, by their address in the process; used where the kernel gives no cookie. */
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
	__type(value, struct tmbpf_birth);
} births SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct tmbpf_large);
} large SEC(".maps");

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

/* Stack ids that user space gives back, taken from recycled_head up to recycled_tail (modulo its size). */
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

/* Children that were forked in the window, by their pid: what came later is not theirs. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TMBPF_FORKS_MAX);
	__type(key, __u32);
	__type(value, struct tmbpf_fork);
} forked SEC(".maps");

/*
 * By what tells a code object from others: see sample.h. Its memory is there beforehand, as a perf event's program
 * runs with interrupts off, where little can be had at once.
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

#ifdef TMBPF_PLAIN

/*
 * For how long a turn is waited for: 2^22 tries, some hundred milliseconds at least. What has it
 * needs some microseconds, but its processor may be one that a hypervisor holds up. The verifier
 * follows each step of a loop, but a global function once.
 */
#define TURN_TRIES  512
#define TURN_ROUNDS 128
#define TURN_WAITS  64

/* This thread's record; NULL: it has none. */
static __always_inline struct thread *thread_find(void)
{
	__u32 id = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&threads, &id);
}

/* The same, made if need be; NULL: there was no memory. */
static __always_inline struct thread *thread_get(void)
{
	__u32 id = bpf_get_current_pid_tgid(), zero = 0;
	struct thread *thread = bpf_map_lookup_elem(&threads, &id), *empty;

	if (thread)
		return thread;
	empty = bpf_map_lookup_elem(&thread_zero, &zero);
	if (!empty || bpf_map_update_elem(&threads, &id, empty, BPF_NOEXIST))
		return NULL;
	return bpf_map_lookup_elem(&threads, &id);
}

__noinline int turn_try(THREAD_GIVEN)
{
	__u32 zero = 0, i;

	THREAD_IGNORED;
	for (i = 0; i < TURN_TRIES; i++)
		if (!bpf_map_lookup_elem(&turn, &zero) &&
		    !bpf_map_update_elem(&turn, &zero, &zero, BPF_NOEXIST))
			return 1;
	return 0;
}

__noinline int turn_wait(THREAD_GIVEN)
{
	__u32 i;

	THREAD_IGNORED;
	for (i = 0; i < TURN_ROUNDS; i++)
		if (turn_try(THREAD_GIVE(NULL)))
			return 1;
	return 0;
}

/* False: other processors had it all the while. To be ended. */
static __always_inline bool turn_take(void)
{
	__u32 i;

	for (i = 0; i < TURN_WAITS; i++)
		if (turn_wait(THREAD_GIVE(NULL)))
			return true;
	count_loss(TMBPF_LOSS_TURN);
	return false;
}

static __always_inline void turn_end(void)
{
	__u32 zero = 0;

	bpf_map_delete_elem(&turn, &zero);
}

#else

static __always_inline struct thread *thread_find(void)
{
	return bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0, 0);
}

static __always_inline struct thread *thread_get(void)
{
	return bpf_task_storage_get(&threads, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static __always_inline bool turn_take(void)
{
	return true;
}

static __always_inline void turn_end(void)
{
}

#endif

static __always_inline bool read_user(void *ret, __u32 size, __u64 address)
{
	return bpf_probe_read_user(ret, size, (const void *)address) == 0;
}

static __always_inline bool read_word(__u64 address, __u64 *ret)
{
	return read_user(ret, sizeof(*ret), address);
}

/* Wakes user space only when a quarter of the ring waits: it comes by itself often enough. */
static __always_inline __u64 ring_flags(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > cfg.ring_bytes / 4
		       ? BPF_RB_FORCE_WAKEUP
		       : BPF_RB_NO_WAKEUP;
}

#endif
