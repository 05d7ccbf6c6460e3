// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Plans the sampling windows within the budget. */
#include "trace/estimate/governor.h"

#include <math.h>
#include <string.h>

/*
 * Seconds. The first window comes soon, as only then its cost is known; COST_FIRST is set aside for
 * it.
 */
#define INTERVAL_FIRST 2.0
#define COST_FIRST     0.02
/* The part of the budget that a window may plan for: it may cost more than the last one. */
#define BUDGET_USED 0.8
/*
 * The part of the budget that all may have spent by then: until the next window others spend too,
 * such as censuses and answers.
 */
#define TOTAL_USED 0.8
/* The last window's weight in the mean. */
#define MEAN_WEIGHT 0.3
/*
 * Seconds that the traps and programs of a window may take, by what those before it took. The
 * shortest window may take more.
 */
#define TRAPS_MOST 0.02
/*
 * How much longer a window may be than the one before: if that was too costly once, and otherwise.
 */
#define LONGER_SLOWLY 1.25
#define LONGER        2.0
/* The part of the budget that answers may take. */
#define ANSWERS_SHARE 0.5
/*
 * The share of time in which probes may be attached, as a part of the budget. It holds after so
 * many windows and seconds.
 */
#define OPEN_SHARE   0.15
#define OPEN_WINDOWS 20
#define OPEN_SECONDS 60
/*
 * A process that does not grow has so many windows to begin with. Then each interval is so much
 * longer.
 */
#define REST_WINDOWS 10
#define REST_STEP    1.5

void governor_init(struct governor *governor, double budget, double trap)
{
	memset(governor, 0, sizeof(*governor));
	governor->budget = budget;
	governor->trap = trap;
	governor->window = GOVERNOR_WINDOW_FIRST;
	governor->interval = INTERVAL_FIRST;
	governor->rest = 1;
}

void governor_begin(struct governor *governor)
{
	double interval = (COST_FIRST + governor->total.tracer) / (BUDGET_USED * governor->budget);

	if (interval > GOVERNOR_INTERVAL_MAX)
		interval = GOVERNOR_INTERVAL_MAX;
	governor->interval = interval > INTERVAL_FIRST ? interval : INTERVAL_FIRST;
}

/*
 * Makes the next window as long as its fixed cost is worth, but no longer than the process and the
 * programs can stand.
 */
static void window_fit(struct governor *governor)
{
	double wanted = GOVERNOR_WINDOW_MAX;

	if (governor->window < GOVERNOR_WINDOW_FIRST) {
		governor->window = fmin(governor->window * LONGER_SLOWLY, GOVERNOR_WINDOW_FIRST);
		return;
	}
	if (governor->rate * wanted > governor->fixed)
		wanted = governor->fixed / governor->rate;
	if (governor->traps * wanted > TRAPS_MOST)
		wanted = TRAPS_MOST / governor->traps;
	governor->window = fmin(governor->window * LONGER, fmax(wanted, GOVERNOR_WINDOW_FIRST));
}

static double cost_sum(const struct governor_cost *cost)
{
	return cost->traps + cost->programs + cost->attach + cost->tracer;
}

static void mean_add(const struct governor *governor, double *mean, double value)
{
	*mean += (governor->windows ? MEAN_WEIGHT : 1) * (value - *mean);
}

/* A peak counts for some more windows. */
static void peak_add(const struct governor *governor, double *peak, double value)
{
	mean_add(governor, peak, value);
	*peak = fmax(*peak, value);
}

/* Learns from a window what the next one may cost. */
static void window_learn(struct governor *governor, const struct governor_cost *cost)
{
	double traps = cost->traps + cost->programs;
	double seconds = cost->seconds > 0 ? cost->seconds : governor->window;

	mean_add(governor, &governor->open, cost->open);
	mean_add(governor, &governor->fixed, cost->attach + cost->tracer - cost->allocations);
	peak_add(governor, &governor->rate, (traps + cost->allocations) / seconds);
	peak_add(governor, &governor->traps, traps / seconds);
}

void governor_window(struct governor *governor, const struct governor_cost *cost, double elapsed)
{
	double sum = cost_sum(cost), debt, most, fixed = cost->attach + cost->tracer;
	double rare, answers;

	governor->last = *cost;
	governor->total.traps += cost->traps;
	governor->total.programs += cost->programs;
	governor->total.attach += cost->attach;
	governor->total.tracer += cost->tracer;
	governor->total.hits += cost->hits;
	governor->elapsed = elapsed;
	mean_add(governor, &governor->mean, sum);
	if (!cost->failed)
		window_learn(governor, cost);
	governor->windows++;
	most = sum > governor->mean ? sum : governor->mean;
	/* What was overspent so far is made up for within the next interval. */
	answers = fmax(governor->answers - ANSWERS_SHARE * governor->budget * elapsed, 0);
	debt = cost_sum(&governor->total) - answers - TOTAL_USED * governor->budget * elapsed;
	governor->interval = most / (BUDGET_USED * governor->budget);
	if (governor->interval < debt / governor->budget)
		governor->interval = debt / governor->budget;
	rare = governor->windows < OPEN_WINDOWS || elapsed < OPEN_SECONDS
		       ? GOVERNOR_INTERVAL_MIN
		       : governor->open / (OPEN_SHARE * governor->budget);
	if (rare > GOVERNOR_INTERVAL_MAX)
		rare = GOVERNOR_INTERVAL_MAX;
	if (governor->interval < rare)
		governor->interval = rare;
	if (governor->interval < GOVERNOR_INTERVAL_MIN)
		governor->interval = GOVERNOR_INTERVAL_MIN;
	if (governor->interval <= GOVERNOR_INTERVAL_MAX) {
		if (!cost->failed)
			window_fit(governor);
		return;
	}
	/* Shorter windows only help against what happens within them. */
	governor->stopped = fixed > governor->budget * GOVERNOR_INTERVAL_MAX ||
			    (governor->window <= GOVERNOR_WINDOW_MIN &&
			     sum > governor->budget * GOVERNOR_INTERVAL_MAX);
	governor->window /= 2;
	if (governor->window < GOVERNOR_WINDOW_MIN)
		governor->window = GOVERNOR_WINDOW_MIN;
	if (debt <= governor->budget * GOVERNOR_INTERVAL_MAX)
		governor->interval = GOVERNOR_INTERVAL_MAX;
}

void governor_samples(struct governor *governor, const struct governor_cost *cost)
{
	governor->total.traps += cost->traps;
	governor->total.programs += cost->programs;
	governor->total.hits += cost->hits;
}

void governor_other(struct governor *governor, double seconds)
{
	governor->total.tracer += seconds;
}

void governor_answer(struct governor *governor, double seconds)
{
	governor->total.tracer += seconds;
	governor->answers += seconds;
}

void governor_rest(struct governor *governor, bool grows)
{
	if (grows || governor->windows < REST_WINDOWS)
		governor->rest = 1;
	else
		governor->rest *= REST_STEP;
	if (governor->rest > GOVERNOR_REST_MAX)
		governor->rest = GOVERNOR_REST_MAX;
	if (governor->interval >= GOVERNOR_INTERVAL_MAX)
		return;
	governor->interval *= governor->rest;
	if (governor->interval > GOVERNOR_INTERVAL_MAX)
		governor->interval = GOVERNOR_INTERVAL_MAX;
}

double governor_share(const struct governor *governor, double elapsed)
{
	if (elapsed < governor->elapsed)
		elapsed = governor->elapsed;
	return elapsed > 0 ? cost_sum(&governor->total) / elapsed : 0;
}

const char *governor_confidence(const struct governor *governor)
{
	return governor->windows < 5 ? "low" : governor->windows < 20 ? "fair" : "good";
}
