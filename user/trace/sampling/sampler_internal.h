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

/*
 * Windows that are kept. When there are more, every second one goes, and the others stand for twice
 * the time.
 */
#define SAMPLER_WINDOWS_MAX 256
/* Survivors of one window that are tracked. Of more, a random sample stands for all. */
#define SAMPLER_SURVIVORS_MAX 2048
/*
 * Blocks of all windows that are tracked, as all are looked at after each window. Enough for 256 of
 * each.
 */
#define SAMPLER_TRACKED_MAX 65536

struct window {
	struct estimate_window window;
	double scale; /* allocations that one tracked block stands for */
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
	double disturbance;   /* seconds that attaching and removing costs a running thread */
	uint64_t ran, ran_at; /* CPU time of the process in clock ticks, and when it was read */
	uint64_t charged;     /* CPU time of this thread that the governor knows of */
	uint64_t random;

	struct window *windows;
	size_t window_count, window_capacity;
	struct tracked *tracked; /* by window */
	size_t tracked_count, tracked_capacity;
	size_t survivors_most; /* of one window, as long as those of all windows fit */
	struct tracebacks tracebacks;
	size_t tracebacks_most; /* when there are more, unused ones are released */
	struct samples *samples;
	char *samples_failed; /* why there are none */

	/* when everything, and this interval, began; when the next window begins */
	uint64_t began, from, next;
	uint64_t census_next;
	double census_cost; /* CPU seconds, of the latest census */
	struct estimate *estimates[SAMPLER_BYS];
	uint64_t estimated; /* when */
	double counted;     /* the time of its census, seconds */
	uint64_t looked;    /* when the tracked blocks were looked at last */
	struct sampler_counters counters;
};

/*
 * Drops every second window: the even or the odd ones, by chance. The others stand for their time
 * as well.
 */
void sampler_windows_thin(struct sampler *sampler);
/*
 * Makes room for ALIVE survivors of one more window. Returns how many of them to track. While there
 * are too many, the limit of a window is halved: of windows that have more, a random sample stands
 * for all.
 */
size_t sampler_survivors_room(struct sampler *sampler, size_t alive);

/* CPU seconds of this thread since the last call. */
double sampler_cpu_taken(struct sampler *sampler);
/* Looks whether tracked blocks are still there. */
struct error *sampler_look(struct sampler *sampler);
/* Counts the heap. KEEP: as the next one of its history. */
struct error *sampler_census(struct sampler *sampler, bool keep);
/* Frees the estimates that were made. */
void sampler_estimates_forget(struct sampler *sampler);

#endif
