/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sampler, the heart of the default mode. Now and then, for a short sampling window, every
 * allocation is listed. The blocks allocated in it are then tracked by reading the heap, until they
 * die; nothing is probed in between. From that and from the census estimate.h tells what each
 * traceback holds and how much it grows.
 *
 * A block lives as long as its pool says so, its size is the same, and its object has the same
 * type. If contents of that type never change (numbers, strings), they must be the same too. A
 * block of the raw domain lives as long as malloc's chunk has the same size and is in use. An
 * allocation at its address, seen in a later window, proves it dead.
 */
#ifndef TMBPF_TRACE_SAMPLING_SAMPLER_H
#define TMBPF_TRACE_SAMPLING_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "python/heap/pools.h"
#include "trace/estimate/estimate.h"
#include "trace/estimate/governor.h"
#include "trace/sampling/samples.h"
#include "trace/symbols/symbols.h"
#include "trace/tracer/tracer.h"

struct error;
struct sampler;
struct process;

struct sampler_options {
	double overhead; /* the budget: a share, such as 0.02 */
};

struct error *sampler_create(struct tracer *tracer, struct symbols *symbols,
			     struct process *process, const struct sampler_options *options,
			     void (*drain)(void *context), void *context, struct sampler **ret);
/* NULL is accepted. */
void sampler_destroy(struct sampler *sampler);

/* Milliseconds until something is due, at most MOST. */
int sampler_wait(const struct sampler *sampler, int most);
/* Takes in a SAMPLE record. */
struct error *sampler_sample(struct sampler *sampler, const struct tmbpf_record *record,
			     size_t size);
/* Does what is due: a window, a census. */
struct error *sampler_tick(struct sampler *sampler);
/* Forgets everything and begins anew. */
struct error *sampler_clear(struct sampler *sampler);

enum sampler_by {
	SAMPLER_BY_TRACEBACK,
	SAMPLER_BY_LINE,
	SAMPLER_BYS
}; /* what the rows of an estimate are of */

/*
 * Looks at all that is tracked, takes a census, and estimates. Rows are BY traceback, or by the
 * line of the most recent frame: then a row's traceback is any one of that line. FRESH: even if the
 * last estimate is recent.
 */
struct error *sampler_estimate(struct sampler *sampler, enum sampler_by by, bool fresh,
			       const struct estimate **ret);
/* Tells the governor the CPU time since the last call, whatever it was spent on. */
void sampler_charge(struct sampler *sampler);
/* The same for time that went into an answer: see governor_answer(). */
void sampler_charge_answer(struct sampler *sampler);
/* Seconds from the first census to the one of the last estimate, in which its growth happened. */
double sampler_seconds(const struct sampler *sampler);
/* Hands the traceback of a row to VISIT, with the numbers of ROW. */
struct error *sampler_visit(struct sampler *sampler, uint32_t traceback,
			    const struct symbols_row *row, symbols_visitor visit, void *context);

struct sampler_counters {
	uint64_t windows, full_windows; /* those that ended early, as their list was full */
	/* allocations listed; blocks tracked so far; those that still live */
	uint64_t allocations, tracked, survivors;
	uint64_t seconds_open_ns; /* of all windows together */
	/* of the census: bytes in blocks and outside; the same since the start */
	double bytes, growth;
	double age; /* of the census, seconds */
	/* blocks of the census that count as of no type, since there were too many types */
	uint64_t untold;
	struct python_pools_unread unread;
	struct samples_counters samples;
	const char *samples_failed; /* why page faults are not sampled; NULL: they are */
	/* the malloc whose blocks cannot be tracked; NULL: it is glibc's */
	const char *malloc_other;
};

void sampler_counters(const struct sampler *sampler, struct sampler_counters *ret);
/* How many allocations one in a window stands for, on average. */
uint64_t sampler_period(const struct sampler *sampler);
/* What sampling has cost until now, as a share of the target's time. */
double sampler_share(struct sampler *sampler);
const struct governor *sampler_governor(const struct sampler *sampler);

#endif
