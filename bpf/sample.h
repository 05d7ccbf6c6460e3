/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Samples that are taken all the time, whether a sampling window is open or not: page faults, and
 * large blocks of the raw domain (large.h). They are rare, and windows miss what is rare.
 *
 * A sample carries its whole stack, as stack ids begin anew with each window. Its code objects are
 * known by a fingerprint, not by their address alone: nothing tells when one dies while no window
 * is open, and the next one at its address has another name, first line or line table.
 */
#ifndef TMBPF_SAMPLE_H
#define TMBPF_SAMPLE_H

#include "capture.h"
#include "intern.h"
#include "kernel.h"
#include "read.h"
#include "shared/loss.h"
#include "shared/record.h"
#include "state.h"
#include "thread.h"
#include "walk.h"

/*
 * A tick has so many samples in full. Further ones are thinned, more and more, and weigh the more
 * for it.
 */
#define SAMPLE_TICK_NS   (1ULL << 27)
#define SAMPLE_TICK_FREE 64
#define SAMPLE_SHIFT_MAX 10
/* Bytes of a line table's beginning that are looked at. */
#define TABLE_LOOK 16

/* What tells the code object at CODE from another at the same address. */
static __always_inline __u64 code_fingerprint(__u64 code)
{
	__u64 filename = code_word(code, cfg.code_filename), name = code_word(code, cfg.code_name);
	__u64 table = code_word(code, cfg.code_linetable), line[2] = {0, 0}, hash;
	__u32 firstlineno = 0;

	hash = hash_mix(cfg.seed[0], code, filename);
	hash = hash_mix(hash, name, table);
	read_user(&firstlineno, sizeof(firstlineno), code + cfg.code_firstlineno);
	/* PyASCIIObject.hash follows the length; names are interned, so it is set. */
	hash = hash_mix(hash, code_word(name, cfg.unicode_length + 8), firstlineno);
	hash = hash_mix(hash, code_word(filename, cfg.unicode_length + 8),
			code_word(table, cfg.bytes_size));
	if (table)
		read_user(line, TABLE_LOOK, table + cfg.bytes_data);
	hash = hash_mix(hash, line[0], line[1]);
	return hash ? hash : 1;
}

/* The id of the code object at CODE, announced if it is new; 0 if that failed. */
static __always_inline __u32 sampled_code(__u64 code)
{
	__u64 key = code_fingerprint(code);
	__u32 *known = bpf_map_lookup_elem(&sampled_codes, &key), id;

	if (known)
		return *known;
	id = (fetch_add(&state.next_code, 1) + 1) | TMBPF_CODE_SAMPLED;
	if (code_capture(code, id))
		return 0;
	if (!bpf_map_update_elem(&sampled_codes, &key, &id, BPF_NOEXIST))
		return id;
	known = bpf_map_lookup_elem(&sampled_codes, &key); /* another thread was first */
	return known ? *known : 0;
}

LOOP_STEP sample_step(__u32 index, struct announce *a)
{
	struct tmbpf_record_sample *record = (struct tmbpf_record_sample *)a->thread->record;

	return frame_announce(index, a, record->frames, sampled_code);
}

/*
 * Walks this thread's stack into THREAD; no frames if it runs no Python code. False: it could not
 * be read.
 */
static __always_inline bool sample_walk(struct thread *thread)
{
	__u64 tstate, frame, hash;

	thread->nframe = thread->total_nframe = 0;
	/*
	 * Without storage of its own, as where it faults for that, it has run no Python code yet.
	 */
	if (!thread_state_own(&tstate) || !tstate)
		return true;
	if (!thread_frame(tstate, &frame))
		return false;
	return !frame || walk_frames(thread, frame, &hash);
}

/* Tells user space of a sample; negative if that failed. */
__noinline int sample_send(THREAD_GIVEN, __u32 kind, __u64 address, __u64 size, __u64 weight)
{
	THREAD_OF_GIVEN;
	struct tmbpf_record_sample *record;
	struct announce a = {0};
	__u32 length;

	if (!thread || !sample_walk(thread))
		return -1;
	a.thread = thread;
	record = (struct tmbpf_record_sample *)thread->record;
	loop(TMBPF_WALK_MAX, sample_step, &a);
	if (a.failed || thread->nframe > TMBPF_WALK_MAX)
		return -1;
	length = sizeof(*record) + thread->nframe * sizeof(struct tmbpf_frame);
	if (length > sizeof(thread->record))
		return -1;
	record->record.type = TMBPF_RECORD_SAMPLE;
	record->record.size = length;
	record->kind = kind;
	record->nframe = thread->nframe;
	record->total_nframe = thread->total_nframe;
	record->domain = thread->domain;
	record->time = bpf_ktime_get_ns();
	record->address = address;
	record->size = size;
	record->weight = weight;
	return bpf_ringbuf_output(&ring, record, length, ring_flags()) ? -1 : 0;
}

/* How many samples this tick has had. */
static __always_inline __u32 sample_tick(__u64 now)
{
	if (now - state.tick > SAMPLE_TICK_NS) {
		state.tick = now;
		state.tick_samples = 0;
	}
	return state.tick_samples;
}

/* One of every sample_period faults comes here. */
static __always_inline void fault_event(__u64 address, __u64 period)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 taken = sample_tick(now), shift = taken / SAMPLE_TICK_FREE;
	struct thread *thread;

	add(&state.fault_hits, 1);
	if (shift > SAMPLE_SHIFT_MAX)
		shift = SAMPLE_SHIFT_MAX;
	if (bpf_get_prandom_u32() & ((1u << shift) - 1))
		return;
	state.tick_samples = taken + 1;
	thread = thread_get();
	if (!thread ||
	    sample_send(THREAD_GIVE(thread), TMBPF_SAMPLE_FAULT, address, 0, period << shift))
		count_loss(TMBPF_LOSS_FAULT);
	add(&state.fault_ns, bpf_ktime_get_ns() - now);
}

#endif
