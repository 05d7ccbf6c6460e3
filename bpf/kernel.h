/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What kernels differ in so much that the programs are compiled twice: plain.bpf.c, which defines
 * TMBPF_PLAIN, is for those before 5.17. They have neither bpf_loop (5.17) nor task storage in such
 * programs (5.11) nor pointers as arguments of global functions (5.13) nor atomic instructions
 * other than adding (5.12), and refuse a program that contains them wherever.
 *
 * There programs run with preemption off, and take turns among the processors (turn_begin()); what
 * replaces an atomic instruction need not be one then, among programs. User space may change only
 * what the comments there say.
 */
#ifndef TMBPF_KERNEL_H
#define TMBPF_KERNEL_H

#ifdef TMBPF_PLAIN

#define fetch_add(pointer, value)                                                                  \
	({                                                                                         \
		typeof(*(pointer)) before_ = *(volatile typeof(*(pointer)) *)(pointer);            \
		*(volatile typeof(*(pointer)) *)(pointer) = before_ + (value);                     \
		before_;                                                                           \
	})
#define exchange(pointer, value)                                                                   \
	({                                                                                         \
		typeof(*(pointer)) before_ = *(volatile typeof(*(pointer)) *)(pointer);            \
		*(volatile typeof(*(pointer)) *)(pointer) = (value);                               \
		before_;                                                                           \
	})
#define compare_exchange(pointer, old, value)                                                      \
	({                                                                                         \
		typeof(*(pointer)) before_ = *(volatile typeof(*(pointer)) *)(pointer);            \
		if (before_ == (old))                                                              \
			*(volatile typeof(*(pointer)) *)(pointer) = (value);                       \
		before_;                                                                           \
	})

/* Calls STEP(index, CONTEXT) up to COUNT times, a constant, until it says 1. */
#define loop(count, step, context)                                                                 \
	do {                                                                                       \
		for (__u32 index_ = 0; index_ < (count); index_++)                                 \
			if (step(index_, context))                                                 \
				break;                                                             \
	} while (0)
#define LOOP_STEP static __always_inline long

/*
 * A global function cannot be given the thread's record here, and looks it up itself. What it is
 * given instead counts as used, or clang would leave it out of calls, which the verifier refuses.
 */
#define THREAD_GIVEN        __u32 unused_
#define THREAD_GIVE(thread) ((void)(thread), 0)
#define THREAD_IGNORED      asm volatile("" : : "r"(unused_))
#define THREAD_OF_GIVEN                                                                            \
	THREAD_IGNORED;                                                                            \
	struct thread *thread = thread_find()

#else

#define fetch_add(pointer, value)             __sync_fetch_and_add(pointer, value)
#define exchange(pointer, value)              __sync_lock_test_and_set(pointer, value)
#define compare_exchange(pointer, old, value) __sync_val_compare_and_swap(pointer, old, value)
#define loop(count, step, context)            bpf_loop(count, step, context, 0)
#define LOOP_STEP                             static long
#define THREAD_GIVEN                          struct thread *thread
#define THREAD_GIVE(thread)                   thread
#define THREAD_OF_GIVEN

#endif

/* Without a result this is an atomic instruction everywhere. */
#define add(pointer, value) (void)__sync_fetch_and_add(pointer, value)

#endif
