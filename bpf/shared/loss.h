/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs count: what was not seen, by cause, and what was. */
#ifndef TMBPF_SHARED_LOSS_H
#define TMBPF_SHARED_LOSS_H

#include "shared/types.h"

/* What is not seen, by cause. One list makes the enum and the words for it. */
#define TMBPF_LOSSES(X)                                                                            \
	X(STACK_TABLE_FULL, stack_table_full, "stacks not kept: the stack table was full")         \
	X(STACK_BUSY, stack_busy, "stacks not kept: another thread was just adding to the table")  \
	X(RING_FULL, ring_full, "stacks not kept: the ring buffer was full")                       \
	X(CODE_TABLE_FULL, code_table_full, "stacks not kept: the table of code objects was full") \
	X(FRAME_UNREADABLE, frame_unreadable, "stacks not kept: a frame could not be read")        \
	X(THREAD_STATE, thread_state_unreadable, "stacks not kept: no thread state could be read") \
	X(SHADOW_FULL, shadow_full, "blocks not kept: no shadow memory left for a new arena")      \
	X(RAW_BLOCKS_FULL, large_full, "blocks not kept: the table of large blocks was full")      \
	X(HEAP_UNREADABLE, heap_unreadable, "blocks not kept: pymalloc's state could not be read") \
	X(REFILL_PENDING, refill_pending, "blocks not kept: two new arenas at the same moment")    \
	X(DOMAINS_FULL, domains_full, "blocks not kept: of too many domains, or at no address")    \
	X(RESULT_MISSED, result_missed, "blocks not kept: malloc's result was not seen")           \
	X(RESULT_UNKNOWN, result_unknown, "blocks not kept: malloc returned to an unknown place")  \
	X(ARGUMENT_UNREADABLE, argument_unreadable,                                                \
	  "events not counted: an argument on the stack could not be read")                        \
	X(STALE_BLOCK, stale_block,                                                                \
	  "blocks whose free was not seen (their address was handed out again)")                   \
	X(REFILL_UNANNOUNCED, refill_unannounced,                                                  \
	  "refills of a pool that no probed allocation announced")                                 \
	X(HOOKS_CHANGED, hooks_changed,                                                            \
	  "allocator hooks put in meanwhile: until that was noticed, what they took for "          \
	  "themselves counted")                                                                    \
	X(HEAPS_SHARE, heaps_share,                                                                \
	  "blocks whose heap shares its record of the last one with another heap: one that was "   \
	  "just handed out may count as freed")                                                    \
	X(FAULT, fault, "page faults not sampled: their stack could not be read or kept")          \
	X(FAULT_THREADS, fault_threads,                                                            \
	  "threads whose page faults may not be sampled: each was started while another one had "  \
	  "no event yet")                                                                          \
	X(LARGE, large,                                                                            \
	  "large blocks not followed: too many at a time, or their stack was not kept")            \
	X(TURN, turn,                                                                              \
	  "events not counted: other threads were at it all the while (before Linux 5.17)")        \
	X(THREAD_STORAGE, thread_storage, "events not counted: no memory for a thread's record")   \
	X(NO_ROOM, no_room,                                                                        \
	  "windows not opened: the memory limit of the process's control group left no room for "  \
	  "probes")

#define TMBPF_LOSS_ENUM(upper, lower, text) TMBPF_LOSS_##upper,
enum tmbpf_loss { TMBPF_LOSSES(TMBPF_LOSS_ENUM) TMBPF_LOSS_COUNT };
#undef TMBPF_LOSS_ENUM

/* Probe hits that were acted upon, by kind. */
#define TMBPF_EVENTS(X)                                                                            \
	X(OBJ_MALLOC, obj_malloc)                                                                  \
	X(OBJ_CALLOC, obj_calloc)                                                                  \
	X(OBJ_REALLOC, obj_realloc)                                                                \
	X(OBJ_FREE, obj_free)                                                                      \
	X(RAW_MALLOC, raw_malloc)                                                                  \
	X(RAW_CALLOC, raw_calloc)                                                                  \
	X(RAW_REALLOC, raw_realloc)                                                                \
	X(RAW_FREE, raw_free)                                                                      \
	X(RESULT, result)                                                                          \
	X(RETURN, return )                                                                         \
	X(REFILL, refill)                                                                          \
	X(FREELIST_POP, reuse)                                                                     \
	X(TRACK, track)                                                                            \
	X(UNTRACK, untrack)                                                                        \
	X(HOOK, hook)                                                                              \
	X(INACTIVE, inactive)

#define TMBPF_EVENT_ENUM(upper, lower) TMBPF_EVENT_##upper,
enum tmbpf_event { TMBPF_EVENTS(TMBPF_EVENT_ENUM) TMBPF_EVENT_COUNT };
#undef TMBPF_EVENT_ENUM

/*
 * Of the counters EVENTS, by event: all allocations and frees, in which blocks come, go or change.
 */
static inline __u64 tmbpf_block_events(const __u64 *events)
{
	__u64 sum = events[TMBPF_EVENT_FREELIST_POP];
	int i;

	for (i = 0; i <= TMBPF_EVENT_RAW_FREE; i++)
		sum += events[i];
	return sum;
}

#endif
