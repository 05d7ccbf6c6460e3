/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stacks and code objects get ids, and are announced to user space once, when they are new.
 *
 * A stack is known by a 64-bit hash of (code object, instruction) for each frame. Code objects die,
 * and their addresses are handed out again. So each address has a generation (kept by a hash of
 * it), which is raised when a code object that stacks refer to is freed there. Each stack remembers
 * the hash of its generations. That is compared only if any code object died since the stack was
 * last seen (state.epoch), so programs that drop no code pay nothing for it.
 *
 * A code object is copied out whole (names and line table) the moment the first stack with it is
 * seen, as it may be gone before user space runs.
 */
#ifndef TMBPF_INTERN_H
#define TMBPF_INTERN_H

#include "capture.h"
#include "code.h"
#include "kernel.h"
#include "mark.h"
#include "shared/loss.h"
#include "shared/record.h"
#include "shared/stack.h"
#include "state.h"
#include "thread.h"
#include "walk.h"

/* The id of the code object at CODE, 0 if it could not be announced. */
static __always_inline __u32 code_id(__u64 code)
{
	__u32 *known = bpf_map_lookup_elem(&codes, &code);
	__u32 id;

	if (known)
		return *known;
	/*
	 * Announced before it is entered: user space knows what is in the table. Of two threads
	 * that announce one object the second finds the first one's id in the table and uses that.
	 * An id that finds no place in the table ends at once, or user space would keep it for
	 * ever.
	 */
	id = fetch_add(&state.next_code, 1) + 1;
	if (code_capture(code, id))
		return 0;
	if (bpf_map_update_elem(&codes, &code, &id, BPF_NOEXIST)) {
		code_end_announce(code, id);
		known = bpf_map_lookup_elem(&codes, &code);
		if (known)
			return *known;
		count_loss(TMBPF_LOSS_CODE_TABLE_FULL);
		return 0;
	}
	code_mark(code);
	return id;
}

struct generation_walk {
	struct thread *thread;
	__u32 hash;
};

LOOP_STEP generation_step(__u32 index, struct generation_walk *w)
{
	if (index >= TMBPF_WALK_MAX || index >= w->thread->nframe)
		return 1;
	w->hash = w->hash * 31 + *generation_of(w->thread->frames[index].code);
	return 0;
}

static __always_inline __u32 generations_hash(struct thread *thread)
{
	struct generation_walk w = {.thread = thread};

	loop(TMBPF_WALK_MAX, generation_step, &w);
	return w.hash;
}

struct announce {
	struct thread *thread;
	__u32 failed;
};

/*
 * A step of loop(): copies the thread's frame INDEX to FRAMES of a record, with the id that
 * IDENTIFY gives for its code object.
 */
static __always_inline long frame_announce(__u32 index, struct announce *a,
					   struct tmbpf_frame *frames,
					   __u32 (*identify)(__u64 code))
{
	__u64 id;

	if (index >= TMBPF_WALK_MAX || index >= a->thread->nframe)
		return 1;
	id = identify(a->thread->frames[index].code);
	if (!id) {
		a->failed = 1;
		return 1;
	}
	frames[index].code = id;
	frames[index].instruction = a->thread->frames[index].instruction;
	return 0;
}

LOOP_STEP announce_step(__u32 index, struct announce *a)
{
	struct tmbpf_record_stack *record = (struct tmbpf_record_stack *)a->thread->record;

	return frame_announce(index, a, record->frames, code_id);
}

/* An id for a new stack: a fresh one, or one that user space gave back. 0: the table is full. */
static __always_inline __u32 stack_id_get(void)
{
	__u32 head = state.recycled_head, index = state.returned_stack;
	__u64 *entry;

	if (index && compare_exchange(&state.returned_stack, index, 0) == index)
		return index;
	if (head != state.recycled_tail &&
	    compare_exchange(&state.recycled_head, head, head + 1) == head) {
		index = head & cfg.recycled_mask;
		entry = bpf_map_lookup_elem(&recycled, &index);
		if (entry && *entry < cfg.stack_limit)
			return *entry;
	}
	if (state.next_stack >= cfg.stack_limit)
		return 0;
	index = fetch_add(&state.next_stack, 1);
	return index < cfg.stack_limit ? index : 0;
}

/*
 * ID could not be used. One such id is kept; a second one at the same moment is lost and counted.
 */
static __always_inline void stack_id_put(__u32 id)
{
	if (compare_exchange(&state.returned_stack, 0, id))
		add(&state.leaked_stacks, 1);
}

/*
 * Announces the stack in thread->frames as the new stack ID; 0 or a negative number if that failed.
 */
__noinline int stack_announce(THREAD_GIVEN, __u32 id, __u32 place)
{
	THREAD_OF_GIVEN;
	struct tmbpf_record_stack *record;
	struct announce a = {.thread = thread};
	__u32 size;

	if (!thread)
		return -1;
	record = (struct tmbpf_record_stack *)thread->record;
	loop(TMBPF_WALK_MAX, announce_step, &a);
	if (a.failed)
		return -1;
	if (thread->nframe > TMBPF_WALK_MAX)
		return -1;
	size = sizeof(*record) + thread->nframe * sizeof(struct tmbpf_frame);
	if (size > sizeof(thread->record))
		return -1;
	record->record.type = TMBPF_RECORD_STACK;
	record->record.size = size;
	record->id = id;
	record->nframe = thread->nframe;
	record->total_nframe = thread->total_nframe;
	record->bucket_slot = place;
	record->domain = thread->domain;
	record->unused = 0;
	if (bpf_ringbuf_output(&ring, record, size, ring_flags())) {
		count_loss(TMBPF_LOSS_RING_FULL);
		return -1;
	}
	return 0;
}

#define SLOT_BUSY  0xffffffffu /* as an id: a thread is filling this slot */
#define SLOT_TRIES 4           /* user space changes a slot once */

/*
 * Claims the slot for a stack that is about to be announced. User space removes stacks from the
 * table meanwhile, so a slot may have changed since it was looked at. Only another thread's is
 * busy.
 */
static __always_inline bool slot_claim(struct tmbpf_bucket *bucket, __u32 slot)
{
	int i;

	for (i = 0; i < SLOT_TRIES; i++) {
		__u64 before = *(volatile __u64 *)&bucket->id_epoch[slot];

		if ((__u32)before == SLOT_BUSY)
			return false;
		if (compare_exchange(&bucket->id_epoch[slot], before, SLOT_BUSY) == before)
			return true;
	}
	return false;
}

static __always_inline __u32 stack_insert(struct thread *thread, struct tmbpf_bucket *bucket,
					  __u32 place, __u32 slot, __u64 hash)
{
	__u32 epoch = state.epoch, id;

	slot &= TMBPF_BUCKET_SLOTS - 1;
	if (!slot_claim(bucket, slot)) {
		count_loss(TMBPF_LOSS_STACK_BUSY);
		return TMBPF_STACK_LOST;
	}
	id = stack_id_get();
	if (!id) {
		count_loss(TMBPF_LOSS_STACK_TABLE_FULL);
	} else if (stack_announce(THREAD_GIVE(thread), id, place * TMBPF_BUCKET_SLOTS + slot)) {
		stack_id_put(id);
		id = 0;
	}
	if (!id) {
		*(volatile __u64 *)&bucket->id_epoch[slot] = 0;
		return TMBPF_STACK_LOST;
	}
	*(volatile __u32 *)&bucket->generations[slot] = generations_hash(thread);
	*(volatile __u64 *)&bucket->hash[slot] = hash;
	*(volatile __u64 *)&bucket->id_epoch[slot] = (__u64)epoch << 32 | id;
	return id;
}

/* The id of the stack in thread->frames, whose hash is HASH. */
__noinline int stack_intern(THREAD_GIVEN, __u64 hash)
{
	THREAD_OF_GIVEN;
	__u32 place = hash >> 20 & cfg.bucket_mask, free = TMBPF_BUCKET_SLOTS, slot;
	struct tmbpf_bucket *bucket = bpf_map_lookup_elem(&stacks, &place);
	__u32 epoch = state.epoch;

	if (!bucket || !thread)
		return TMBPF_STACK_LOST;
	for (slot = 0; slot < TMBPF_BUCKET_SLOTS; slot++) {
		__u64 id_epoch = *(volatile __u64 *)&bucket->id_epoch[slot];
		__u32 id = id_epoch;

		if (!id && free == TMBPF_BUCKET_SLOTS)
			free = slot;
		if (!id || *(volatile __u64 *)&bucket->hash[slot] != hash || id == SLOT_BUSY)
			continue;
		if (id_epoch >> 32 == epoch)
			return id;
		if (generations_hash(thread) == bucket->generations[slot]) {
#ifndef TMBPF_PLAIN /* user space may be removing the stack, which must not be undone */
			/*
			 * Fails only if user space just removes the stack: its id stays good a
			 * while.
			 */
			compare_exchange(&bucket->id_epoch[slot], id_epoch,
					 (__u64)epoch << 32 | id);
#endif
			return id;
		}
		free = slot; /* a stack of dead code: its place is taken over */
		break;
	}
	if (free == TMBPF_BUCKET_SLOTS) {
		count_loss(TMBPF_LOSS_STACK_TABLE_FULL);
		return TMBPF_STACK_LOST;
	}
	return stack_insert(thread, bucket, place, free, hash);
}

/* The stack id of the current thread, whose thread state is TSTATE (0: none). */
static __always_inline __u32 stack_of(struct thread *thread, __u64 tstate)
{
	__u64 frame, hash;

	if (!tstate)
		return TMBPF_STACK_UNKNOWN;
	if (!thread_frame(tstate, &frame)) {
		count_loss(TMBPF_LOSS_THREAD_STATE);
		return TMBPF_STACK_LOST;
	}
	if (!frame)
		return TMBPF_STACK_UNKNOWN;
	if (!walk_frames(thread, frame, &hash)) {
		count_loss(TMBPF_LOSS_FRAME_UNREADABLE);
		return TMBPF_STACK_LOST;
	}
	if (!thread->nframe)
		return TMBPF_STACK_UNKNOWN;
	return stack_intern(THREAD_GIVE(thread), hash);
}

/*
 * The same of what is of tracemalloc's DOMAIN. A stack's blocks are all of one domain, so each
 * domain has stacks of its own, one without frames among them.
 */
__noinline int stack_of_domain(THREAD_GIVEN, __u32 domain)
{
	THREAD_OF_GIVEN;
	__u64 tstate, frame = 0, hash;
	int id;

	if (!thread)
		return TMBPF_STACK_LOST;
	if (!domain && thread_state_own(&tstate))
		return stack_of(thread, tstate);
	if (!thread_state_own(&tstate) || (tstate && !thread_frame(tstate, &frame))) {
		count_loss(TMBPF_LOSS_THREAD_STATE);
		return TMBPF_STACK_LOST;
	}
	if (!walk_frames(thread, frame, &hash)) {
		count_loss(TMBPF_LOSS_FRAME_UNREADABLE);
		return TMBPF_STACK_LOST;
	}
	thread->domain = domain;
	id = stack_intern(THREAD_GIVE(thread), hash_mix(hash, domain, cfg.seed[0]));
	thread->domain = 0;
	return id;
}

#endif
