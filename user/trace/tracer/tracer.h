/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tracing of one process: BPF programs and maps loaded for its interpreter, probes attached, the window open or
 * closed, and the counters and tables that the programs fill. One thread uses a tracer.
 */
#ifndef TMBPF_TRACE_TRACER_TRACER_H
#define TMBPF_TRACE_TRACER_TRACER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/plan.h"
#include "python/python.h"
#include "tmbpf.h"

struct error;

struct tracer_options {
	enum tmbpf_mode mode;
	uint32_t window_allocations; /* SAMPLED: so many are listed of a window at most */
	uint32_t nframe;             /* 1 to TMBPF_NFRAME_MAX */
	uint32_t stack_limit;        /* distinct stacks at a time; below TMBPF_STACK_MAX */
	uint32_t large_limit;        /* live blocks of the raw domain; not of sampling windows */
	uint32_t code_limit;         /* code objects at a time that stacks refer to */
	const struct python
		*reference; /* of a process whose interpreter is only about to start; else NULL */
	double overhead;    /* sampling windows: what they may cost, a share of the target's time */
	uint32_t
		slab_limit; /* shadow slabs, not of sampling windows: each covers 64 Ki granules (1 MiB) of address space and takes 256 KiB */
};

#define TRACER_OPTIONS_DEFAULT                                                                     \
	{                                                                                          \
		.nframe = 25, .stack_limit = 1 << 18, .large_limit = 1 << 20,                      \
		.code_limit = 1 << 18, .slab_limit = 1 << 16,                                      \
	}

struct tracer;

/*
 * Understands PROCESS, loads, attaches everything, and leaves the window closed. The process must outlive the tracer.
 * Takes about as long as the kernel needs for the probes (and, for an interpreter never seen, for making its plan).
 */
struct error *tracer_create(struct process *process, const struct tracer_options *options,
			    struct tracer **ret);
/* Closes the window and removes the probes. Accepts NULL. */
void tracer_destroy(struct tracer *tracer);

/* Events count from now on, until they do no more. */
void tracer_open(struct tracer *tracer);
void tracer_close(struct tracer *tracer);
bool tracer_is_open(const struct tracer *tracer);

/* Removes the probes from the process; maps and totals stay. */
void tracer_detach(struct tracer *tracer);

/* Forgets every block, stack and total; counters of losses and events start anew. The window must be closed. */
struct error *tracer_clear(struct tracer *tracer);
void tracer_reset_peak(struct tracer *tracer);

/* Keeps spare slabs ready; to be called often, and when a SLAB record arrives. */
struct error *tracer_grow(struct tracer *tracer);

/*
 * Probes the results behind raw allocations of modules that the process has loaded since; without that they are seen
 * by return probes, or counted as losses. Cheap if nothing has returned to an unknown place.
 */
struct error *tracer_modules(struct tracer *tracer);

/*
 * Whether frees of the object domain go unseen: TMBPF_MODE_LAZY was asked for, and there is a pymalloc whose pools tell. Then
 * rows and `current` count what was held at the last walk, and all that was allocated since and not seen to be dead;
 * there is no peak.
 */
bool tracer_is_lazy(const struct tracer *tracer);

typedef void (*tracer_handler)(void *context, const struct tmbpf_record *record, size_t size);

/*
 * Takes what is dead by its pool out of the rows, slab by slab: tracer_walk_begin() says how many
 * there are, tracer_walk() does one. Ends of code objects are handed to HANDLE, behind the records that are there.
 */
struct error *tracer_walk_begin(struct tracer *tracer, uint32_t *ret_slabs);
struct error *tracer_walk(struct tracer *tracer, uint32_t slab, tracer_handler handle,
			  void *context);
/* Pools that could not be made out by the walk that was begun last. */
uint64_t tracer_walk_unstable(const struct tracer *tracer);
/* The same for the one slab that has the block at ADDRESS, if there is one. */
struct error *tracer_walk_block(struct tracer *tracer, uint64_t address, tracer_handler handle,
				void *context);

struct tracer_block { /* a live one */
	uint64_t address, size;
	uint32_t stack;
	bool large; /* of the raw domain: not in pymalloc's arenas */
};

/*
 * Hands each live block to VISIT, until it fails; where the target changes them meanwhile, as they were at some time
 * of that. Not of sampling windows.
 */
struct error *tracer_blocks(const struct tracer *tracer,
			    struct error *(*visit)(void *context, const struct tracer_block *block),
			    void *context);

/*
 * Blocks that nobody saw being allocated, before the window is opened: tracer_stacks_take() makes COUNT stack ids, or as
 * many as there are, the first of which is RET_FIRST; tracer_blocks_add() takes the COUNT blocks of LIST (in
 * ascending order, all LARGE or none of them) for live. What there is no room for is a loss. With the window open,
 * tracer_block_drop() takes one out again, if it is still there with its stack, which only such blocks may have.
 */
uint32_t tracer_stacks_take(struct tracer *tracer, uint32_t count, uint32_t *ret_first);
struct error *tracer_blocks_add(struct tracer *tracer, const struct tracer_block *list,
				size_t count);
struct error *tracer_block_drop(struct tracer *tracer, const struct tracer_block *block, bool *ret);
/* The peak was BYTES already. */
void tracer_peak_raise(struct tracer *tracer, uint64_t bytes);
/* Whether PID was forked while the window was open, and how many allocations and frees there were since. */
bool tracer_forked(const struct tracer *tracer, pid_t pid, uint64_t *ret_events);

/* The shadow's entries of COUNT granules from ADDRESS on (tmbpf.h); 0 where it has none. */
struct error *tracer_shadow(const struct tracer *tracer, uint64_t address, uint32_t count,
			    uint32_t *ret);
/* Bytes that debug hooks add to a request. */
uint32_t tracer_hook_extra(const struct tracer *tracer);

/*
 * A forked child inherits its parent's breakpoints, which the kernel then asks nobody about: each costs it a trap. Takes
 * them out of children that were forked since the last time. Cheap if there were none; at most a hundredth of a processor.
 */
struct error *tracer_children_release(struct tracer *tracer);

/* Notices allocator hooks that were put in since; fails if they are not understood. Cheap. */
struct error *tracer_hooks(struct tracer *tracer);

/*
 * Sampling windows (TMBPF_MODE_SAMPLED): probes are on for the time between these two alone. What the window before has left is
 * forgotten at the opening, stack ids included; at the closing all its records are in the ring. Times are monotonic nanoseconds:
 * the window is what lies between RET_START and RET_END, shorter than asked for if there was no room for more births.
 */
struct error *tracer_window_open(struct tracer *tracer, uint64_t *ret_start);
/* Whether the process's memory limits leave room for it; a window that they do not is counted as lost. */
struct error *tracer_room(struct tracer *tracer, bool *ret);
/* Whether there is no more room for births: then the window has ended by itself. */
bool tracer_window_full(const struct tracer *tracer);
void tracer_window_end(struct tracer *tracer, uint64_t *ret_end);
/* Removes the probes; ends the window if it has not ended. */
void tracer_window_close(struct tracer *tracer);
/* Seconds that a process loses when the probes of a sampling window are put in and taken out; see disturbance.h. */
struct error *tracer_disturbance(struct tracer *tracer, double *ret);
/* Runs of the programs and their time, as the kernel counts them while its statistics are on. */
void tracer_runs(const struct tracer *tracer, uint64_t *ret_runs, uint64_t *ret_ns);
/* What the last window listed; good until the next one opens. While probes are on, the last ones may not be complete. */
const struct tmbpf_allocation *tracer_births(const struct tracer *tracer, size_t *ret_count);

/*
 * Samples that are taken all the time (TMBPF_MODE_SAMPLED), while tracer_sampling() is on: records of type SAMPLE.
 *
 * Page faults: one in PERIOD of every thread, by perf events that the threads to come inherit. Opened again with
 * another period they are exchanged. A process that starts threads faster than they can be listed has some left out.
 *
 * Large blocks: all of the raw domain of TRACER_LARGE_LEAST bytes or more. All its allocations hit the probes,
 * so it depends on the process what that costs.
 */
#define TRACER_LARGE_LEAST 32768
/* Code objects that samples may refer to; before there are that many they are to be forgotten. */
#define TRACER_SAMPLED_CODES 16384

struct error *tracer_faults_open(struct tracer *tracer, uint64_t period);
void tracer_faults_close(struct tracer *tracer);
struct error *tracer_large_attach(struct tracer *tracer);
void tracer_large_detach(struct tracer *tracer);
void tracer_sampling(struct tracer *tracer, bool on);

struct tracer_samples_cost {             /* so far */
	uint64_t fault_hits, large_hits; /* runs of the programs */
	uint64_t fault_ns, large_ns;     /* what they took for samples, beyond being hit */
};

void tracer_samples_cost(const struct tracer *tracer, struct tracer_samples_cost *ret);
/* Announces code objects anew to which samples refer; with sampling off, and the ring drained. */
void tracer_samples_forget(struct tracer *tracer);

const struct python *tracer_python(const struct tracer *tracer);
/* Of an interpreter that was learned from a reference process: FOUND, the same since it runs, knows where its heap is. */
void tracer_heap_found(struct tracer *tracer, const struct python *found);
const struct plan *tracer_plan(const struct tracer *tracer);

struct tracer_counters {
	uint64_t current, peak; /* bytes */
	uint64_t events[TMBPF_EVENT_COUNT];
	uint64_t losses[TMBPF_LOSS_COUNT];
	uint64_t unknown_frees;
	uint64_t missed_code_ends;
	uint64_t run_ns, run_count; /* of the programs, while kernel.bpf_stats_enabled is set */
	uint64_t map_bytes;         /* memory of the maps */
	uint32_t slabs, stacks_taken, codes_seen;
	uint32_t sites;
};

void tracer_counters(const struct tracer *tracer, struct tracer_counters *ret);

/* A consistent copy of a stack's row. */
void tracer_stack_stats(const struct tracer *tracer, uint32_t stack, struct tmbpf_stack_stats *ret);
/* Ids below this may have been handed out. */
uint32_t tracer_stack_count(const struct tracer *tracer);
uint32_t tracer_stack_limit(const struct tracer *tracer);
/* Places in the stack table: more than that no record's bucket_slot is. */
uint32_t tracer_place_count(const struct tracer *tracer);

/* Takes stack ID out of the stack table (it stands at PLACE, from its record) so that no new block gets it. */
void tracer_stack_retire(struct tracer *tracer, uint32_t id, uint32_t place);
/* Zeroes the row of a retired stack without live blocks and gives its id back. */
void tracer_stack_recycle(struct tracer *tracer, uint32_t id);

/* The stack that allocated the block at ADDRESS, and its size; ERROR_NOTHING if none is traced there. */
struct error *tracer_block(const struct tracer *tracer, uint64_t address, uint32_t *ret_stack,
			   uint64_t *ret_size);

/* Ring buffer: a descriptor to wait for, and the records that are there, handed to HANDLE in order. */
int tracer_ring_fd(const struct tracer *tracer);
void tracer_ring_consume(struct tracer *tracer, tracer_handler handle, void *context);

#endif
