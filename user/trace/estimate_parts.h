/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the parts of estimate.c share, for them alone. */
#ifndef TMBPF_TRACE_ESTIMATE_PARTS_H
#define TMBPF_TRACE_ESTIMATE_PARTS_H

#include "trace/estimate.h"

/* How a class's sums lead to its exact total: BY_STAY times what stays and BY_REST times what does not. */
struct estimate_calibration {
	enum { BY_NOTHING, BY_ALL, BY_REST, BY_STAY } by; /* which of the sums is calibrated */
	double by_stay, by_rest;
};

struct estimate_used { /* a class with survivors */
	uint32_t class;
	uint32_t windows;     /* with survivors */
	double all, stay;     /* weighted sums */
	double excess;        /* what stays beyond the class's growth, and beyond chance */
	double held;          /* mean over the time observed, of what was born in it */
	double *alls, *stays; /* by window */
	struct estimate_calibration live, growth;
};

struct estimate_work {
	const struct estimate_input *input;
	struct estimate_item *items; /* sorted */
	double *chances;             /* of each item: to be what it seems, now */
	double *stays;               /* of each item: to reach the horizon */
	double *lives;               /* of each item: nanoseconds that it was held until now */
	uint32_t *used_of;           /* by class */
	struct estimate_used *used;
	size_t used_count, used_capacity;
	double *sums;
	double *exposures; /* by window: nanoseconds of windows after it, from the end on */
	double *series[4]; /* of a row, by window: count, size, growth of both */
	double horizon;    /* nanoseconds */
	double elapsed;    /* likewise: all the time that windows stand for */
};

static inline double estimate_weight(const struct estimate_window *window)
{
	return (double)(window->to - window->from) / (double)(window->end - window->start);
}

/* Nanoseconds from the end of ITEM's window to its death, or to now. */
double estimate_age(const struct estimate_work *work, const struct estimate_item *item);

/*
 * Sets how long the COUNT items from FIRST on, all of one traceback, were held. When they died
 * between two looks is not known: if most did before the first one, then most of them soon, and as
 * soon as an even rate of deaths would have it.
 */
void estimate_lives(struct estimate_work *work, size_t first, size_t count);

/* Sets their chances to be what they seem now, and to reach the horizon. */
struct error *estimate_chances(struct estimate_work *work, size_t first, size_t count);

#endif
