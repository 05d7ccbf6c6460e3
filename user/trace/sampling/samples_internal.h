/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the samples*.c files share. */
#ifndef TMBPF_TRACE_SAMPLING_SAMPLES_INTERNAL_H
#define TMBPF_TRACE_SAMPLING_SAMPLES_INTERNAL_H

#include "trace/estimate/backoff.h"
#include "trace/sampling/samples.h"
#include "trace/tracer/tracer.h"

enum sample_place {
	SAMPLE_UNKNOWN, /* no walk has seen it yet */
	SAMPLE_SMALL,   /* in a small chunk of malloc's */
	SAMPLE_LARGE,   /* in a large one */
	SAMPLE_OTHER,   /* in no chunk of malloc's */
};

struct sample {
	uint64_t address, size; /* bytes asked for (block), or that became resident (page) */
	uint64_t weight;
	uint64_t time, died;
	uint64_t resident;   /* resident bytes, of a block */
	uint64_t chunk;      /* what malloc() returned: 0 for a page of which that is not known */
	uint64_t usable;     /* bytes of that chunk, by the walk (page) */
	uint64_t chunk_size; /* as its header says; 0: not asked yet */
	uint32_t slice, traceback;
	uint8_t kind;  /* enum tmbpf_sample_kind */
	uint8_t place; /* enum sample_place */
	bool ending;   /* this walk found it dead */
};

struct samples {
	struct tracer *tracer;
	struct process *process;
	struct tracebacks *tracebacks;
	struct governor *governor;
	struct resident *resident;
	bool blocks; /* large blocks are sampled at all */
	uint64_t random;

	struct sample *list; /* by slice; from FRESH on, those of this slice */
	size_t count, capacity, fresh;
	struct estimate_window *slices;
	size_t slice_count, slice_capacity;
	uint64_t slice_from;
	struct sample **sorted; /* live faults by address, during a walk */
	size_t sorted_count, cursor;
	uint64_t chunk_last;

	uint64_t period, minor_faults; /* the process's faults when the period was set last */
	uint64_t looked;               /* when that was */
	uint64_t hits, hits_at;        /* runs of the faults' program, when they were read last */
	unsigned int calm;             /* looks in a row that would allow a shorter period */
	struct backoff large, faults;  /* what may not cost too much */
	uint64_t switches, switches_told; /* between threads, while faults were sampled */
	uint64_t switches_last, switches_next;
	struct tracer_samples_cost told; /* what the governor knows of */
	struct samples_counters counters;
};

static inline bool sample_alive(const struct sample *sample)
{
	return sample->died == ESTIMATE_ALIVE;
}

/* In samples_tracked.c: */
/* Looks at what came in this slice, and drops what did not outlive it. */
struct error *samples_settle(struct samples *samples);
/* In samples_estimate.c: */
/* Ends this slice, at NOW. */
struct error *samples_slice(struct samples *samples, uint64_t now);

#endif
