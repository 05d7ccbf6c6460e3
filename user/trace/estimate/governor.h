/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What sampling windows may cost, and what they did cost. The budget is a share of the target's
 * time. Pure arithmetic; others measure.
 *
 * A window costs the target the traps of its probes, the programs that they run, and what it loses
 * while probes are attached and removed (disturbance.h). The tracer's own CPU time counts as well,
 * though it need not be the target's CPU. Intervals are as long as the budget asks for. If the
 * longest interval is not enough, windows get shorter.
 *
 * Attaching and removing probes and looking at tracked blocks costs the same for any window. So a
 * window is long enough to be worth that: its traps, programs and allocations cost as much, by the
 * dearest of the recent windows. A request that falls into a window may meet all of its traps, so
 * these are bounded too.
 *
 * Requests that are served during a window take longer than others. So that these are few, the time
 * in which probes are attached is bounded as well: to a share of all time that is a part of the
 * budget, after a first minute of at least twenty windows.
 */
#ifndef TMBPF_TRACE_ESTIMATE_GOVERNOR_H
#define TMBPF_TRACE_ESTIMATE_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

struct governor_cost { /* seconds, of one window */
	double traps, programs, attach, tracer;
	double allocations; /* the part of TRACER that grows with the allocations */
	double open;    /* no cost: from the first probe's attaching to the last one's removal */
	double seconds; /* no cost: how long allocations were listed; 0: as long as was asked for */
	uint64_t hits;
	bool failed; /* there was no window, or only a part of it */
};

struct governor {
	double budget;           /* a share */
	double trap;             /* seconds that a hit costs without its program; measured */
	double window, interval; /* seconds, of the next window */
	/*
	 * Means over the recent windows, the latest counting most: the whole cost, the part that a
	 * short window costs as well, and how long probes were attached.
	 */
	double mean, fixed, open;
	/*
	 * The additional cost of a second of a window, and its part for traps and programs: of the
	 * dearest of the recent windows.
	 */
	double rate, traps;
	struct governor_cost last, total;
	double answers; /* seconds, included in the total */
	double elapsed; /* seconds from the start to the end of this interval */
	double rest;    /* by this factor intervals are longer */
	uint64_t windows;
	bool stopped; /* even the longest interval is too short */
};

#define GOVERNOR_WINDOW_FIRST 0.010 /* windows are shortened from this */
#define GOVERNOR_WINDOW_MAX   0.050
#define GOVERNOR_WINDOW_MIN   0.001
#define GOVERNOR_INTERVAL_MIN 1.0
#define GOVERNOR_INTERVAL_MAX 120.0
#define GOVERNOR_REST_MAX     8.0

void governor_init(struct governor *governor, double budget, double trap);
/* Sets the first interval: it makes up for what was spent so far. */
void governor_begin(struct governor *governor);
/* Takes in what a window cost, and plans the next one. ELAPSED: seconds since the start. */
void governor_window(struct governor *governor, const struct governor_cost *cost, double elapsed);
/* Takes in traps, programs and hits that no window spent. */
void governor_samples(struct governor *governor, const struct governor_cost *cost);
/* Takes in CPU seconds of the tracer that no window spent. */
void governor_other(struct governor *governor, double seconds);
/*
 * The same for answers to requests. They may take half of the budget. If somebody asks all the
 * time, what they take beyond that is reported, but puts off no window.
 */
void governor_answer(struct governor *governor, double seconds);
/*
 * To be called after governor_window(). If nothing GROWS, windows get rarer, down to
 * GOVERNOR_REST_MAX times rarer. As soon as something grows they are as frequent as the budget
 * allows.
 */
void governor_rest(struct governor *governor, bool grows);
/* The share of the target's time that was spent. ELAPSED: seconds since the start. */
double governor_share(const struct governor *governor, double elapsed);
/*
 * How well the share is known, by the number of windows: "low" below 5, "fair" below 20, else
 * "good".
 */
const char *governor_confidence(const struct governor *governor);

#endif
