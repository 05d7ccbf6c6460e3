/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the estimate*.c files share. */
#ifndef TMBPF_TRACE_ESTIMATE_ESTIMATE_INTERNAL_H
#define TMBPF_TRACE_ESTIMATE_ESTIMATE_INTERNAL_H

#include "trace/estimate/estimate.h"

/*
 * How a class's sums become its exact total: BY_STAY times what stays, plus BY_REST times the rest.
 */
struct estimate_calibration {
	enum { BY_NOTHING, BY_ALL, BY_REST, BY_STAY } by; /* which of the sums is calibrated */
	double by_stay, by_rest;
};

struct estimate_cell { /* what one window saw of a class */
	uint32_t window;
	double all, stay; /* weighted sums */
};

struct estimate_used { /* a class with survivors */
	uint32_t class;
	uint32_t windows; /* those with survivors */
	double all, stay; /* weighted sums */
	double excess;    /* what stays beyond the class's growth and beyond chance */
	double held;      /* what was allocated in it, on average over the time observed */
	struct estimate_cell *cells; /* of the windows with survivors, in their order */
	size_t cell_count;
	struct estimate_calibration live, growth;
};

struct estimate_work {
	const struct estimate_input *input;
	struct estimate_item *items; /* sorted */
	double *chances;             /* of each item: to be what it seems to be now */
	double *stays;               /* of each item: to reach the horizon */
	double *lives;               /* of each item: nanoseconds that it was held until now */
	uint32_t *used_of;           /* by class */
	struct estimate_used *used;
	size_t used_count, used_capacity;
	uint32_t *cell_of; /* by item */
	struct estimate_cell *cells;
	size_t cell_count;
	double *exposures;     /* by window: nanoseconds of all later windows */
	double *series[4];     /* by window, for one row: count, size, growth of both */
	double horizon;        /* nanoseconds */
	double elapsed;        /* nanoseconds that windows stand for in all */
	double slowdown;       /* see estimate.h */
	double slowdown_error; /* its standard error, relative to it */
};

/* By the window's length alone. */
static inline double estimate_weight(const struct estimate_window *window)
{
	return (double)(window->to - window->from) / (double)(window->end - window->start);
}

/* ITEM's part of its class, in the class's unit. */
static inline double estimate_units(const struct estimate_work *work,
				    const struct estimate_item *item)
{
	return work->input->classes[item->class].by_size ? item->size : item->count;
}

/* How much of all that was allocated ITEM stands for. */
static inline double estimate_allocated(const struct estimate_work *work,
					const struct estimate_item *item)
{
	return estimate_units(work, item) * estimate_weight(&work->input->windows[item->window]) *
	       work->slowdown;
}

/* How much item I stands for, on average over the time observed. */
static inline double estimate_held(const struct estimate_work *work, size_t i)
{
	return work->elapsed > 0
		       ? estimate_allocated(work, &work->items[i]) * work->lives[i] / work->elapsed
		       : 0;
}

/* Nanoseconds from the end of ITEM's window to its death, or to now. */
double estimate_age(const struct estimate_work *work, const struct estimate_item *item);

/*
 * Sets how long the COUNT items from FIRST on, all of one traceback, were held. When they died
 * between two looks is not known. If most died before the first look, most of these died soon: as
 * soon as an even rate of deaths would have it.
 */
void estimate_lives(struct estimate_work *work, size_t first, size_t count);

/* Sets the chances of COUNT items to be what they seem to be now, and to reach the horizon. */
struct error *estimate_chances(struct estimate_work *work, size_t first, size_t count);

/* Finds the classes that items belong to. */
struct error *estimate_classes_find(struct estimate_work *work);
/* Sums up each class. */
void estimate_classes_sum(struct estimate_work *work);
/* Finds from these sums how much windows slow the process down: see estimate.h. */
void estimate_slowdown(struct estimate_work *work);
void estimate_calibrate(const struct estimate_work *work, struct estimate_used *used);

/* The variance of the sum of N values, each of an interval of its own, in their order. */
double estimate_variance(const double *values, size_t n);
/* Student's quantile over the normal one, for N windows (Cornish and Fisher). */
double estimate_student(size_t n);

#endif
