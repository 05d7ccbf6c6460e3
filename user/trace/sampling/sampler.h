/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sampling windows: now and then, for a short window, every allocation is seen; what was born in it is
 * followed by reading the heap until it dies. Nothing is probed in between. From that and from the
 * census estimate.h tells what each traceback holds and grows.
 *
 * A block lives as long as its pool says so, its size is the same and what lies in it is of the
 * same type and, where its contents do not change while it lives (numbers, strings), the same. A
 * block of the raw domain lives as long as malloc's chunk has the same size and is in use. A birth
 * at its address, seen in a later window, proves it dead.
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
	double overhead; /* the budget, a share: 0.02 */
};

struct error *sampler_create(struct tracer *tracer, struct symbols *symbols,
			     struct process *process, const struct sampler_options *options,
			     void (*drain)(void *context), void *context, struct sampler **ret);
/* NULL is accepted. */
void sampler_destroy(struct sampler *sampler);

/* Milliseconds until something is to be done, at most MOST. */
int sampler_wait(const struct sampler *sampler, int most);
/* Takes in a SAMPLE record. */
struct error *sampler_sample(struct sampler *sampler, const struct tmbpf_record *record,
			     size_t size);
/* Does what is due: a window, a census. */
struct error *sampler_tick(struct sampler *sampler);
/* Begins anew: what was seen until now is forgotten. */
struct error *sampler_clear(struct sampler *sampler);

enum sampler_by {
	SAMPLER_BY_TRACEBACK,
	SAMPLER_BY_LINE,
	SAMPLER_BYS
}; /* what an estimate's rows are of */

/*
 * Looks at all that is followed, takes a census, and estimates, BY traceback or by its most recent frame's line: then a row's
 * traceback is any one of that line. FRESH: also if the last one is of just now.
 */
struct error *sampler_estimate(struct sampler *sampler, enum sampler_by by, bool fresh,
			       const struct estimate **ret);
/* Tells the governor of the CPU time since the last time, whatever it was spent on. */
void sampler_charge(struct sampler *sampler);
/* The same where it went into an answer: see governor_answer(). */
void sampler_charge_answer(struct sampler *sampler);
/* Seconds from the first census to the one that the last estimate is of: the time of its growth. */
double sampler_seconds(const struct sampler *sampler);
/* Hands the traceback of a row to VISIT, with the numbers of ROW. */
struct error *sampler_visit(struct sampler *sampler, uint32_t traceback,
			    const struct symbols_row *row, symbols_visitor visit, void *context);

struct sampler_counters {
	uint64_t windows,
		full_windows; /* in all; of them, those that ended early for want of room */
	uint64_t births, tracked, survivors; /* seen; sampled to be followed; still alive */
	uint64_t seconds_open_ns;            /* all windows together */
	double bytes, growth; /* of the census: in blocks and outside, since the start */
	double age;           /* of the census, seconds */
	uint64_t
		untold; /* of its blocks, those that it counted as of no type: there were too many */
	struct python_pools_unread unread;
	struct samples_counters samples;
	const char *samples_failed; /* why page faults are not sampled; NULL: they are */
	const char *malloc_other;   /* whose malloc it is that cannot be followed; NULL: glibc's */
};

void sampler_counters(const struct sampler *sampler, struct sampler_counters *ret);
/* How many blocks one stands for that was born in a window, on average. */
uint64_t sampler_period(const struct sampler *sampler);
/* What it has cost until now, as a share of the target's time. */
double sampler_share(struct sampler *sampler);
const struct governor *sampler_governor(const struct sampler *sampler);

#endif
