/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Samples that are taken all the time, of what windows miss because it is rare: a few huge blocks,
 * and memory of native libraries. There are two kinds (tracer.h).
 *
 * Large blocks of the raw domain are all seen, as long as their probes cost no more than their
 * share of the budget. They are tracked like the blocks of windows: such a block lives as long as
 * its malloc chunk has the same size and is in use, and until another is allocated at its address.
 *
 * Page faults show memory that becomes resident, whoever took it. One in so many is sampled, with
 * the traceback that was running, as long as the perf events cost no more than such a share. A page
 * lives as long as it is resident, and as long as the malloc chunk it was touched in is in use with
 * the same start and size. Pages in pymalloc's arenas, in files and in large blocks that were seen
 * are left out.
 *
 * Estimates treat them as windows without gaps: slices of time, each of which stands for itself
 * alone (estimate.h). The classes are those of native_memory.h: the growth of small chunks that
 * windows do not explain, and the whole rest. A fault stands for its page (2 MiB if that is huge),
 * times the period. The total of its class is known, and sets the scale.
 *
 * Bias. Who touches a page first is taken for its owner. That is wrong if malloc hands out resident
 * memory again: a native block that takes the place of another one of its size is counted for that
 * one's traceback. (Blocks of the raw domain are seen, so they are not.) Pages that a fork has made
 * shared fault again when they are written to. Threads that live for fewer faults than the period
 * are seen too rarely. What is swapped out counts as dead. Errors are computed from differences
 * between slices as if these were a sample: they err on the large side.
 */
#ifndef TMBPF_TRACE_SAMPLING_SAMPLES_H
#define TMBPF_TRACE_SAMPLING_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/estimate/estimate.h"
#include "trace/estimate/governor.h"
#include "trace/sampling/native_memory.h"
#include "trace/symbols/tracebacks.h"

struct error;
struct process;
struct samples;
struct tmbpf_record;
struct tracer;

/*
 * Begins to sample. Everything is borrowed. Tracebacks of samples go into TRACEBACKS, and GOVERNOR
 * is told what the target pays. BLOCKS: also samples large blocks. Only glibc's chunks tell whether
 * these are still there, so not with another malloc.
 */
struct error *samples_create(struct tracer *tracer, struct process *process,
			     struct tracebacks *tracebacks, struct governor *governor, bool blocks,
			     struct samples **ret);
/* NULL is accepted. */
void samples_destroy(struct samples *samples);
/* Forgets what was seen. To be called before TRACEBACKS is cleared. */
void samples_clear(struct samples *samples);

/* Takes in a SAMPLE record. */
struct error *samples_record(struct samples *samples, const struct tmbpf_record *record,
			     size_t size);

/*
 * To be called often. Ends slices, sets the period, and closes for a while what costs too much.
 * DRAIN empties the ring.
 */
struct error *samples_tick(struct samples *samples, void (*drain)(void *context), void *context);
/* Milliseconds until the next tick is due, at most MOST. */
int samples_wait(const struct samples *samples, int most);

/*
 * The first sets MAP, by traceback, to 1 for those that samples refer to. The second replaces each
 * traceback by what MAP says.
 */
void samples_tracebacks_mark(const struct samples *samples, uint32_t *map);
void samples_tracebacks_move(struct samples *samples, const uint32_t *map);

/*
 * To be called around a walk of malloc's heaps, which shows where the sampled pages lie. DONE:
 * there was a walk.
 */
struct error *samples_walk_begin(struct samples *samples, struct native_memory_visitor *ret);
void samples_walk_end(struct samples *samples, const struct native_memory *native, bool done);

/* Looks whether sampled pages and blocks are still there. */
struct error *samples_look(struct samples *samples);

/*
 * Ends this slice, unless it has just begun. To be called before samples_look() and
 * samples_estimate().
 */
struct error *samples_end(struct samples *samples);

/*
 * Estimates from what windows tell (INPUT) and from the samples. CLASSES are INPUT's, and change:
 * page faults account for the growth of small chunks that the survivors of windows cannot explain,
 * and for the whole rest. Windows account for the remainder.
 */
struct error *samples_estimate(struct samples *samples, const struct native_memory *native,
			       const struct estimate_input *input, struct estimate_class *classes,
			       struct estimate **ret);

struct samples_counters {
	uint64_t faults, large;          /* samples so far */
	uint64_t fault_hits, large_hits; /* runs of their programs */
	uint64_t period;                 /* faults that one sample stands for now */
	uint64_t unsettled;              /* samples of which nothing could be found out */
	uint64_t pages, blocks;          /* tracked, and alive */
	uint64_t switches;               /* between threads, while faults were sampled */
	bool faults_open, large_open;    /* they are being sampled; false: that costs too much */
};

void samples_counters(const struct samples *samples, struct samples_counters *ret);

#endif
