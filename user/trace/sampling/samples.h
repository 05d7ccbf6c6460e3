/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What windows miss because it is rare: a few huge blocks, memory of native libraries. It is sampled all the time,
 * by two means (tracer.h):
 *
 * Large blocks of the raw domain, all of them, while their probes stay within their share of the budget. Like those
 * of windows they are followed: such a block lives as long as its malloc chunk has its size and is in use, and
 * until another is born at its address.
 *
 * Page faults, while their perf events stay within such a share, one in so many, with the traceback that was running: memory that becomes resident, whoever took it. A
 * page lives as long as it is resident and the malloc chunk it was touched in stays in use, with its start and
 * size. What lies in pymalloc's arenas, in files and in a large block that was seen to be born is left out.
 *
 * As estimates they are windows without gaps: slices of time, each standing for itself alone (estimate.h). The classes
 * are those of native_memory.h: of the small chunks the growth that windows do not explain, and all of the rest. A fault
 * stands for its page (2 MiB where that is huge), times the faults that it stands for; its class' total,
 * which is known, sets the scale.
 *
 * Bias. Who touches a page first is taken for its owner. That is wrong where malloc hands out again what is resident
 * already: a native block that takes the place of another of its size is counted for that one's traceback (blocks of
 * the raw domain are not, as they are seen). Pages that a fork has made shared fault again when they are written to.
 * Threads that live for fewer faults than one sample stands for are seen too rarely. What is swapped out counts as
 * dead. Errors come from differences between slices as if these were a sample: they err on the large side.
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
 * Begins to sample; all is borrowed. Its tracebacks are put into TRACEBACKS, what it costs the target is told to GOVERNOR.
 * Large blocks only if BLOCKS: not where malloc is not glibc's, whose chunks alone say whether one is still there.
 */
struct error *samples_create(struct tracer *tracer, struct process *process,
			     struct tracebacks *tracebacks, struct governor *governor, bool blocks,
			     struct samples **ret);
/* NULL is accepted. */
void samples_destroy(struct samples *samples);
/* Forgets what was seen; before TRACEBACKS is cleared. */
void samples_clear(struct samples *samples);

/* Takes in a SAMPLE record. */
struct error *samples_record(struct samples *samples, const struct tmbpf_record *record,
			     size_t size);

/*
 * To be called often: ends slices, sets how many faults one stands for, does without what costs too much for a while. DRAIN empties the ring.
 */
struct error *samples_tick(struct samples *samples, void (*drain)(void *context), void *context);
/* Milliseconds until the next tick is wanted, at most MOST. */
int samples_wait(const struct samples *samples, int most);

/* Sets MAP, by traceback, to 1 for those that samples refer to; then each refers to what MAP says instead. */
void samples_tracebacks_mark(const struct samples *samples, uint32_t *map);
void samples_tracebacks_move(struct samples *samples, const uint32_t *map);

/* What a walk of malloc's heaps shows of the pages that were seen, if there is one (DONE) between these two. */
struct error *samples_walk_begin(struct samples *samples, struct native_memory_visitor *ret);
void samples_walk_end(struct samples *samples, const struct native_memory *native, bool done);

/* Looks whether what is followed is still there. */
struct error *samples_look(struct samples *samples);

/* Ends the slice at hand, unless it has just begun; before samples_look() and samples_estimate(). */
struct error *samples_end(struct samples *samples);

/*
 * What windows tell, INPUT, and what samples do. CLASSES are INPUT's: of the growth of small chunks that which the
 * survivors of windows cannot explain is not the raw domain's and is left to page faults, as all of the large rest
 * is; so windows are asked for less.
 */
struct error *samples_estimate(struct samples *samples, const struct native_memory *native,
			       const struct estimate_input *input, struct estimate_class *classes,
			       struct estimate **ret);

struct samples_counters {
	uint64_t faults, births;         /* samples so far */
	uint64_t fault_hits, large_hits; /* runs of their programs */
	uint64_t period;                 /* faults that one stands for, now */
	uint64_t unsettled;              /* samples of which nothing could be found out */
	uint64_t pages, blocks;          /* followed, alive */
	uint64_t switches;               /* between threads, while faults were sampled */
	bool faults_open, large_open;    /* they are being sampled: else that costs too much */
};

void samples_counters(const struct samples *samples, struct samples_counters *ret);

#endif
