/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The record of each thread of the target: what is kept of it between probes and while one runs.
 * And the turns that programs take where the kernel has no atomic instructions.
 */
#ifndef TMBPF_THREAD_H
#define TMBPF_THREAD_H

#include "kernel.h"
#include "shared/block.h"
#include "shared/loss.h"
#include "shared/record.h"
#include "shared/stack.h"
#include "state.h"

#define BUFFER_BYTES 1024 /* of frame memory, read at once */

struct pending {             /* a raw allocation whose result is awaited */
	__u64 stack_pointer; /* rsp right after the return */
	__u64 returns;       /* the return address; 0: none is awaited */
	__u64 size;
	__u64 old; /* realloc: what was given up for it */
	struct tmbpf_raw_block old_block;
};

struct walk {        /* of the frames; here rather than on the stack, of which there is little */
	__u64 frame; /* address of the next one, 0 at the end */
	__u64 base;  /* address of buffer[0] */
	__u64 limit; /* greatest offset at which a whole frame lies in the buffer */
	__u64 hash;
	__u32 count, total, keep;
	__u32 failed;
};

struct thread {
	struct pending pending;
	struct pending large;                   /* the same of a large block that is sampled */
	__u64 call_returns, call_stack_pointer; /* of the raw call at hand */
	/* An object allocation of this size, plus 1, is about to ask the raw domain; 0: none. */
	__u64 object_request;
	/* An unknown block that an object's free gave up: the raw domain may see it once more. */
	__u64 object_freed;
	/* A block that an object's realloc gave up: it is freed in there once more. */
	__u64 object_moved;
	__u64 hook_request;  /* an outer raw hook was entered for this size, plus 1; 0: none */
	__u64 stack_pointer; /* at the probe; kept only where frees are not probed */
	/* A calloc or realloc was about to get this block, and from where; 0: none. */
	__u64 outer, outer_stack_pointer;
	/* Its last object allocation found this list of arenas with room empty; 0: it did not. */
	__u64 no_arena;
	/* A probed allocation announced a refill of this class, plus 1; 0: none. */
	__u32 refill_class;
	__u32 window; /* the number of the sampling window that all this is from */
	__u32 nframe, total_nframe;
	__u32 domain; /* of what the stack at hand allocates */
	struct walk walk;
	struct tmbpf_frame frames[TMBPF_WALK_MAX];
	__u8 buffer[BUFFER_BYTES];
	__u8 record[sizeof(struct tmbpf_record_sample) +
		    sizeof(struct tmbpf_frame) * TMBPF_WALK_MAX];
};

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
static __always_inline bool turn_begin(void)
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

static __always_inline bool turn_begin(void)
{
	return true;
}

static __always_inline void turn_end(void)
{
}

#endif

#endif
