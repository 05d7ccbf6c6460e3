/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The Python stack of the current thread, read out of interpreter memory: its thread state, then
 * the chain of its frames. What a frame's fields mean is left to user space, but for two things. A
 * topmost frame that has not yet reached its first traceable instruction is no frame to tracemalloc
 * (_PyFrame_IsIncomplete, Include/internal/pycore_frame.h). Nor are frames that belong to the C
 * stack.
 */
#ifndef TMBPF_WALK_H
#define TMBPF_WALK_H

#include "kernel.h"
#include "read.h"
#include "shared/config.h"
#include "shared/stack.h"
#include "state.h"
#include "thread.h"
#include "x86.h"

#define OWNED_BY_GENERATOR 1
/*
 * How far into its code a frame may stand and still be looked at for incompleteness. The topmost
 * one may be in a prologue, with an instruction for each of its cells; further down there are only
 * the shims that clean up after __init__ (_Py_InitCleanup, from 3.12 on, a few instructions long).
 */
#define PROLOGUE_BYTES 512
#define PAGE_BYTES     4096ULL
#define SHIM_BYTES     64

static __always_inline __u64 hash_mix(__u64 hash, __u64 a, __u64 b)
{
	hash = (hash ^ a) * 0x9e3779b97f4a7c15ULL;
	hash = (hash ^ (hash >> 29) ^ b) * 0xbf58476d1ce4e5b9ULL;
	return hash;
}

/* The state of the thread that holds the GIL, which this one does. */
static __always_inline bool thread_state_holder(__u64 *ret)
{
	__u64 pointer = thread_pointer(), dtv, block;

	if (cfg.thread_source == PYTHON_THREAD_GLOBAL)
		return read_word(cfg.thread_address, ret);
	if (cfg.thread_source == PYTHON_THREAD_STATIC_TLS)
		return read_word(pointer + cfg.tls_offset, ret);
	/* The dtv has an entry for each module; glibc's of -1 is not allocated yet (dl-dtv.h). */
	if (!read_word(pointer + 8, &dtv) ||
	    !read_word(dtv + cfg.dtv_entry * cfg.tls_module, &block))
		return false;
	if (block == (__u64)-1) {
		*ret = 0;
		return true;
	}
	return read_word(block + cfg.tls_offset, ret);
}

/* This thread's own state, whether it holds the GIL or not; 0 if it has none. */
static __always_inline bool thread_state_own(__u64 *ret)
{
	__u64 pointer = thread_pointer(), owner;

	if (cfg.own_block)
		return read_word(pointer + cfg.own_block, &pointer) &&
		       read_word(pointer + cfg.own_offset, ret);
	if (cfg.own_offset)
		return read_word(pointer + cfg.own_offset, ret);
	if (!thread_state_holder(ret))
		return false;
	if (cfg.thread_source != PYTHON_THREAD_GLOBAL || !*ret)
		return true;
	if (!read_word(*ret + cfg.tstate_thread_id, &owner))
		return false;
	if (owner != pointer)
		*ret = 0;
	return true;
}

static __always_inline bool thread_frame(__u64 tstate, __u64 *ret)
{
	if (!read_word(tstate + cfg.tstate_frame, ret))
		return false;
	if (cfg.frames == PYTHON_FRAMES_CFRAME && *ret)
		return read_word(*ret + cfg.cframe_current, ret);
	return true;
}

/* Makes the buffer hold the frame at w->frame. Returns its offset there, or -1. */
static __always_inline __s64 buffer_offset(struct thread *thread)
{
	struct walk *w = &thread->walk;
	__u64 offset = w->frame - w->base, length, page;

	if (offset <= w->limit)
		return offset;
	w->base = w->frame;
	/*
	 * From 3.11 on frames lie in one piece of memory, callers below callees (push_chunk,
	 * Python/pystate.c). So it is read downward, but not below the page's start: the piece may
	 * begin there, and a read that faults costs more than several that do not.
	 */
	if (cfg.frames != PYTHON_FRAMES_OBJECT) {
		page = w->frame & ~(PAGE_BYTES - 1);
		w->base = w->frame + cfg.frame_size - BUFFER_BYTES;
		if (w->base < page)
			w->base = page;
	}
	length = w->frame + cfg.frame_size - w->base;
	if (length > BUFFER_BYTES)
		return -1;
	w->limit = w->frame - w->base;
	if (read_user(thread->buffer, length, w->base))
		return w->limit;
	w->limit = 0;
	w->base = w->frame + 1; /* nothing is in the buffer */
	return -1;
}

/* _PyFrame_IsIncomplete: the frame stands before the instruction that makes it one. */
static __always_inline bool frame_incomplete(__u64 code, __u64 instruction, __u8 owner, bool top)
{
	__s64 distance = instruction - code - cfg.code_adaptive;
	__u32 first;

	if (owner == OWNED_BY_GENERATOR || distance >= (top ? PROLOGUE_BYTES : SHIM_BYTES))
		return false;
	if (!read_user(&first, sizeof(first), code + cfg.code_firsttraceable))
		return false;
	return distance < 2 * (__s64)first;
}

LOOP_STEP walk_step(__u32 index, struct thread **of)
{
	struct thread *thread = *of;
	struct walk *w = &thread->walk;
	__u64 code, instruction, back;
	__u8 owner = 0;
	__s64 offset;
	__u8 *frame;

	if (!w->frame)
		return 1;
	offset = buffer_offset(thread);
	if (offset < 0 ||
	    offset > BUFFER_BYTES - TMBPF_FRAME_BYTES + (TMBPF_FRAME_BYTES - cfg.frame_size)) {
		w->failed = 1;
		return 1;
	}
	frame = thread->buffer + offset;
	code = *(__u64 *)(frame + cfg.frame_code);
	back = *(__u64 *)(frame + cfg.frame_back);
	if (cfg.frames == PYTHON_FRAMES_OBJECT) {
		instruction = *(__u32 *)(frame + cfg.frame_lasti);
	} else {
		instruction = *(__u64 *)(frame + cfg.frame_lasti);
		owner = *(frame + cfg.frame_owner);
	}
	(void)index;
	w->frame = back;
	code &= ~(__u64)cfg.code_tag_mask;
	if (cfg.frames != PYTHON_FRAMES_OBJECT) {
		if (owner > cfg.frame_owner_max || !code)
			return 0;
		if (frame_incomplete(code, instruction, owner, !w->total))
			return 0;
	}
	if (w->count < w->keep && w->count < TMBPF_WALK_MAX) {
		struct tmbpf_frame *kept = &thread->frames[w->count];

		kept->code = code;
		kept->instruction = instruction;
		w->hash = hash_mix(w->hash, code, instruction);
		w->count++;
	}
	w->total++;
	return 0;
}

#ifdef TMBPF_PLAIN

/* The verifier follows each step of a loop, but a global function once. */
#define WALK_STEPS 128

__noinline int walk_some(THREAD_GIVEN)
{
	THREAD_OF_GIVEN;
	__u32 i;

	if (!thread)
		return 1;
	for (i = 0; i < WALK_STEPS; i++)
		if (walk_step(i, &thread))
			return 1;
	return 0;
}

static __always_inline void walk_all(struct thread *thread)
{
	__u32 i;

	for (i = 0; i < (TMBPF_TOTAL_NFRAME_MAX + 1) / WALK_STEPS; i++)
		if (walk_some(THREAD_GIVE(thread)))
			break;
}

#else

static __always_inline void walk_all(struct thread *thread)
{
	loop(TMBPF_TOTAL_NFRAME_MAX, walk_step, &thread);
}

#endif

/*
 * Walks the frames that start at FRAME into thread->frames. False if one could not be read. The
 * hash says which stack it is; in it code objects are their addresses.
 */
static __always_inline bool walk_frames(struct thread *thread, __u64 frame, __u64 *ret_hash)
{
	struct walk *w = &thread->walk;

	w->frame = frame;
	w->base = frame + 1; /* nothing is in the buffer */
	w->limit = 0;
	w->hash = cfg.seed[0];
	w->count = w->total = w->failed = 0;
	w->keep = cfg.nframe;
	walk_all(thread);
	if (w->failed)
		return false;
	thread->nframe = w->count;
	thread->total_nframe = w->total;
	*ret_hash = hash_mix(w->hash, w->total, cfg.seed[1]);
	return true;
}

#endif
