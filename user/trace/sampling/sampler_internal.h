/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the sampler*.c files share. From the bottom: sampler_look.c looks at the target,
 * sampler_thin.c limits what is kept, sampler_estimate.c tells what the windows show, and sampler.c
 * opens the windows.
 */
#ifndef TMBPF_TRACE_SAMPLING_SAMPLER_INTERNAL_H
#define TMBPF_TRACE_SAMPLING_SAMPLER_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "python/python.h"
#include "trace/sampling/sampler.h"
#include "trace/sampling/tracked.h"
#include "trace/estimate/governor.h"
#include "trace/symbols/tracebacks.h"

struct classes;

/* Windows that are kept: when there are more, every second one goes, and those left stand for twice the time. */
#define SAMPLER_WINDOWS_MAX 256
/* Survivors of one window that are followed; of more, a random sample stands for all. */
#define SAMPLER_SURVIVORS_MAX 2048
/* Of all windows together: all are looked at after each window. Enough for 256 of each. */
#define SAMPLER_TRACKED_MAX 65536

struct window {
	struct estimate_window window;
	double scale; /* births that one followed stands for */
};

struct sampler {
	struct tracer *tracer;
	struct symbols *symbols;
	struct process *process;
	void (*drain)(void *context);
	void *drain_context;
	const struct python_malloc *malloc;
	struct classes *classes;
	struct python_pools *pools;
	struct tracked_heap look;
	struct governor governor;
	double disturbance;   /* seconds: what attaching and removing costs a thread that runs */
	uint64_t ran, ran_at; /* CPU time of the process (clock ticks), and when it was read */
	uint64_t charged;     /* CPU time of this thread up to which the governor was told of it */
	uint64_t random;

	struct window *windows;
	size_t window_count, window_capacity;
	struct tracked *tracked; /* by window */
	size_t tracked_count, tracked_capacity;
	size_t survivors_most; /* of one window, as long as all windows' fit */
	struct tracebacks tracebacks;
	size_t tracebacks_most; /* when there are more, those that nothing refers to go */
	struct samples *samples;
	char *samples_failed; /* why there are none */

	uint64_t began, from, next; /* of all; of the interval at hand; the next window's start */
	uint64_t census_next;
	double census_cost; /* the latest one's, CPU seconds */
	struct estimate *estimates[SAMPLER_BYS];
	uint64_t estimated; /* when */
	double counted;     /* when its census was, seconds */
	uint64_t looked;    /* when those that are followed were looked at last */
	struct sampler_counters counters;
};

/* Every second window goes, at random the even or the odd ones, and those left stand for its time as well. */
void sampler_windows_thin(struct sampler *sampler);
/*
 * Makes room for the survivors of one more window, ALIVE of them; how many of them are to be followed. As long as that does
 * not fit, half as many are followed of a window: of those that have more a random sample of so many stays, for them all.
 */
size_t sampler_survivors_room(struct sampler *sampler, size_t alive);

/* CPU seconds of this thread since the last time that this was asked. */
double sampler_cpu_taken(struct sampler *sampler);
/* Looks whether what is followed is still there. */
struct error *sampler_look(struct sampler *sampler);
/* Counts the heap; with KEEP as the next of its history. */
struct error *sampler_census(struct sampler *sampler, bool keep);
/* Drops what was estimated. */
void sampler_estimates_forget(struct sampler *sampler);

#endif
