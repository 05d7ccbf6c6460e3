/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tracing of one process: the BPF programs and maps that are loaded for its interpreter, the
 * attached probes, whether tracing is on, and the counters and tables that the programs fill. One
 * thread uses a tracer.
 *
 * There are two modes. Exact tracing probes everything from the start to the end. The sampling mode
 * (TMBPF_MODE_SAMPLED) attaches probes for sampling windows only.
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
	/* sampling mode: allocations that a window lists at most */
	uint32_t window_allocations;
	uint32_t nframe;      /* 1 to TMBPF_NFRAME_MAX */
	uint32_t stack_limit; /* distinct stacks at a time; below TMBPF_STACK_MAX */
	uint32_t raw_limit;   /* live blocks of the raw domain; exact only */
	uint32_t code_limit;  /* code objects at a time that stacks refer to */
	/* a process like one whose interpreter has not begun; otherwise NULL */
	const struct python *reference;
	double overhead; /* sampling mode: what it may cost, a share of the target's time */
	/* slabs of the shadow, exact only; each covers 64 Ki granules (1 MiB) and takes 256 KiB */
	uint32_t slab_limit;
};

#define TRACER_OPTIONS_DEFAULT                                                                     \
	{                                                                                          \
		.nframe = 25, .stack_limit = 1 << 18, .raw_limit = 1 << 20, .code_limit = 1 << 18, \
		.slab_limit = 1 << 16,                                                             \
	}

struct tracer;

/*
 * Understands PROCESS, loads the programs and attaches the probes. Tracing is off. The process must
 * outlive the tracer. This takes as long as the kernel needs for the probes and, for an unknown
 * interpreter, as long as making its plan takes.
 */
struct error *tracer_create(struct process *process, const struct tracer_options *options,
			    struct tracer **ret);
/* Turns tracing off and removes the probes. NULL is accepted. */
void tracer_destroy(struct tracer *tracer);

/* Turn tracing on and off: only while it is on events count. */
void tracer_open(struct tracer *tracer);
void tracer_close(struct tracer *tracer);

/* Removes the probes. Maps and totals stay. */
void tracer_detach(struct tracer *tracer);

/*
 * Forgets every block, stack and total; counters of losses and events start anew. Tracing must be
 * off.
 */
struct error *tracer_clear(struct tracer *tracer);
void tracer_reset_peak(struct tracer *tracer);

/* Keeps spare slabs ready. To be called often, and when a SLAB record arrives. */
struct error *tracer_grow(struct tracer *tracer);

/*
 * Probes the results of raw allocations in modules that the process has loaded since. Otherwise
 * return probes see them, or they are counted as losses. Cheap if nothing has returned to an
 * unknown place.
 */
struct error *tracer_modules(struct tracer *tracer);

/*
 * Whether frees of the object domain are not seen: TMBPF_MODE_LAZY was asked for, and there is a
 * pymalloc whose pools can tell. Then rows and `current` count what was held at the last walk, and
 * what was allocated since and is not known to be dead. There is no peak.
 */
bool tracer_is_lazy(const struct tracer *tracer);

typedef void (*tracer_handler)(void *context, const struct tmbpf_record *record, size_t size);

/*
 * A walk takes blocks out of the rows that are dead by their pools, slab by slab.
 * tracer_walk_begin() tells how many slabs there are, tracer_walk() does one. HANDLE gets the
 * records of the ring, and behind them the ends of code objects.
 */
struct error *tracer_walk_begin(struct tracer *tracer, uint32_t *ret_slabs);
struct error *tracer_walk(struct tracer *tracer, uint32_t slab, tracer_handler handle,
			  void *context);
/* Pools that changed whenever the last walk read them. */
uint64_t tracer_walk_unstable(const struct tracer *tracer);
/* The same for the one slab that has the block at ADDRESS, if there is one. */
struct error *tracer_walk_block(struct tracer *tracer, uint64_t address, tracer_handler handle,
				void *context);

struct tracer_block { /* a live block */
	uint64_t address, size;
	uint32_t stack;
	bool raw; /* of the raw domain, not in pymalloc's arenas */
};

/*
 * Hands each live block to VISIT, until that fails. If the target changes one meanwhile, it is as
 * it was at some time. Exact only.
 */
struct error *tracer_blocks(const struct tracer *tracer,
			    struct error *(*visit)(void *context, const struct tracer_block *block),
			    void *context);

/*
 * Blocks that no probe saw being allocated, before tracing is turned on. tracer_stacks_reserve()
 * makes COUNT stack ids, or as many as there are left; RET_FIRST is the first one.
 * tracer_blocks_add() takes the COUNT blocks of LIST for live: they are in ascending order, and all
 * RAW or none. What there is no room for is a loss. Once tracing is on, tracer_block_drop() takes a
 * block out again, if it is still there with its stack. Only such blocks may have these stacks.
 */
uint32_t tracer_stacks_reserve(struct tracer *tracer, uint32_t count, uint32_t *ret_first);
struct error *tracer_blocks_add(struct tracer *tracer, const struct tracer_block *list,
				size_t count);
struct error *tracer_block_drop(struct tracer *tracer, const struct tracer_block *block, bool *ret);
/* The peak is at least BYTES. */
void tracer_peak_raise(struct tracer *tracer, uint64_t bytes);
/* Whether PID was forked while tracing was on. RET_EVENTS: allocations and frees since. */
bool tracer_forked(const struct tracer *tracer, pid_t pid, uint64_t *ret_events);

/* The shadow's entries of COUNT granules from ADDRESS on (tmbpf.h); 0 where there is none. */
struct error *tracer_shadow(const struct tracer *tracer, uint64_t address, uint32_t count,
			    uint32_t *ret);
/* Bytes that debug hooks add to a request. */
uint32_t tracer_hook_extra(const struct tracer *tracer);

/*
 * Frees children that were forked since the last call from inherited breakpoints. The kernel asks
 * nobody about these, and each hit costs the child a trap. Cheap if there were no forks; takes at
 * most a hundredth of a processor.
 */
struct error *tracer_children_release(struct tracer *tracer);

/* Notices allocator hooks that were put in since. Fails if they are not understood. Cheap. */
struct error *tracer_hooks(struct tracer *tracer);

/*
 * Sampling windows. Probes are attached between opening and closing only. Opening forgets what the
 * last window left, stack ids included. After closing all records are in the ring. Times are
 * monotonic nanoseconds. The window lies between RET_START and RET_END: it is shorter than asked
 * for if its list was full.
 */
struct error *tracer_window_open(struct tracer *tracer, uint64_t *ret_start);
/* Whether the process's memory limits leave room for a window. If not, that counts as a loss. */
struct error *tracer_room(struct tracer *tracer, bool *ret);
/* Whether the list is full: then the window has ended by itself. */
bool tracer_window_full(const struct tracer *tracer);
void tracer_window_end(struct tracer *tracer, uint64_t *ret_end);
/* Ends the window if it has not ended, and removes the probes. */
void tracer_window_close(struct tracer *tracer);
/*
 * Seconds that a process loses when the probes of a window are attached and removed: see
 * disturbance.h.
 */
struct error *tracer_disturbance(struct tracer *tracer, double *ret);
/* Runs of the programs, and their nanoseconds. */
void tracer_runs(const struct tracer *tracer, uint64_t *ret_runs, uint64_t *ret_ns);
/*
 * The allocations that the last window listed; valid until the next one opens. While probes are on,
 * the last ones may not be complete.
 */
const struct tmbpf_allocation *tracer_births(const struct tracer *tracer, size_t *ret_count);

/*
 * Samples, in sampling mode, are taken all the time while tracer_sampling() is on. They come as
 * records of type SAMPLE.
 *
 * Page faults: one in PERIOD of every thread, by perf events that new threads inherit. Opening
 * again exchanges the events, for another period. If a process starts threads faster than they can
 * be listed some are left out.
 *
 * Large blocks: all of the raw domain with TRACER_LARGE_LEAST bytes or more. All allocations of
 * that domain hit the probes, so what that costs depends on the process.
 */
#define TRACER_LARGE_LEAST 32768
/* Code objects that samples may refer to. They are to be forgotten before there are so many. */
#define TRACER_SAMPLED_CODES 16384

struct error *tracer_faults_open(struct tracer *tracer, uint64_t period);
void tracer_faults_close(struct tracer *tracer);
struct error *tracer_large_attach(struct tracer *tracer);
void tracer_large_detach(struct tracer *tracer);
void tracer_sampling(struct tracer *tracer, bool on);

struct tracer_samples_cost {             /* so far */
	uint64_t fault_hits, large_hits; /* runs of the programs */
	uint64_t fault_ns, large_ns;     /* time that they took for samples, besides being hit */
};

void tracer_samples_cost(const struct tracer *tracer, struct tracer_samples_cost *ret);
/*
 * From now on code objects of samples are announced anew. Sampling must be off, and the ring
 * drained.
 */
void tracer_samples_forget(struct tracer *tracer);

const struct python *tracer_python(const struct tracer *tracer);
/*
 * For an interpreter that was learned from a reference process: FOUND, the real one, knows where
 * its heap is.
 */
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
/* Places in the stack table; bucket_slot of a record is below this. */
uint32_t tracer_place_count(const struct tracer *tracer);

/* Takes stack ID out of the stack table, so that no new block gets it. PLACE is from its record. */
void tracer_stack_retire(struct tracer *tracer, uint32_t id, uint32_t place);
/* Zeroes the row of a retired stack without live blocks, and gives its id back. */
void tracer_stack_recycle(struct tracer *tracer, uint32_t id);

/*
 * The stack that allocated the block at ADDRESS, and its size. Fails with ERROR_NOTHING if none is
 * traced there.
 */
struct error *tracer_block(const struct tracer *tracer, uint64_t address, uint32_t *ret_stack,
			   uint64_t *ret_size);

/* A descriptor to wait for, and a call that hands the records in the ring to HANDLE, in order. */
int tracer_ring_fd(const struct tracer *tracer);
void tracer_ring_consume(struct tracer *tracer, tracer_handler handle, void *context);

#endif
