/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What sampling windows may cost, and what they did: the budget is a share of the target's time. Pure
 * arithmetic; what is measured comes from outside.
 *
 * A window costs the target the traps of its probes, the programs that they run, and what it loses
 * while probes are put in and taken out (disturbance.h). The tracer's own CPU time counts as well,
 * though it need not be the target's CPU. Intervals are as long as the
 * budget asks for; windows are shortened when the longest interval is not enough.
 *
 * Putting probes in and out, and looking at what is followed, costs the same however long a window is. So it is as long as that is
 * worth: until its traps, programs and births cost as much, by the dearest of the last windows. A request that falls into it may meet
 * all of its traps: so these are bounded as well.
 *
 * Who is served while a window is open waits longer than others. So that this is the lot of few, the time from when probes
 * go in until they are out is a share of all time as well, a part of the budget, after a first minute of at least twenty windows.
 */
#ifndef TMBPF_TRACE_ESTIMATE_GOVERNOR_H
#define TMBPF_TRACE_ESTIMATE_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

struct governor_cost { /* of one window, seconds */
	double traps, programs, attach, tracer;
	double births;  /* of the tracer's, what the more births the more it takes */
	double open;    /* no cost: from the first probe's coming to the last one's going */
	double seconds; /* likewise, while births were listed; 0: as long as was asked for */
	uint64_t hits;
	bool failed; /* there was no window, or not all of one */
};

struct governor {
	double budget;           /* share */
	double trap;             /* seconds a hit costs without its program; calibrated */
	double window, interval; /* of the next window, seconds */
	/* Means of the recent windows, the later the more: cost, of that what a short one costs as well, and how long probes were there. */
	double mean, fixed, open;
	/* What a second of a window costs more, and of that traps and programs: in the dearest of the recent ones. */
	double rate, traps;
	struct governor_cost last, total;
	double answers; /* seconds of the total */
	double elapsed; /* seconds from the start to the end of the interval at hand */
	double rest;    /* intervals are longer by this factor */
	uint64_t windows;
	bool stopped; /* even the widest gap is too much */
};

#define GOVERNOR_WINDOW_FIRST 0.010 /* and what they are shortened from */
#define GOVERNOR_WINDOW_MAX   0.050
#define GOVERNOR_WINDOW_MIN   0.001
#define GOVERNOR_INTERVAL_MIN 1.0
#define GOVERNOR_INTERVAL_MAX 120.0
#define GOVERNOR_REST_MAX     8.0

void governor_init(struct governor *governor, double budget, double trap);
/* Sets the first interval, in which what was spent so far has to find room. */
void governor_begin(struct governor *governor);
/* A window has been, which cost COST; sets what the next one may be. ELAPSED: seconds since the start. */
void governor_window(struct governor *governor, const struct governor_cost *cost, double elapsed);
/* What was spent beside windows: traps, programs, hits of COST. */
void governor_samples(struct governor *governor, const struct governor_cost *cost);
/* CPU time that the tracer took otherwise. */
void governor_other(struct governor *governor, double seconds);
/*
 * The same for answers to those who ask. They may take half of the budget; what they take above that, as somebody asks all
 * the time, is told but puts off no window.
 */
void governor_answer(struct governor *governor, double seconds);
/*
 * After governor_window(): nothing GROWS in the process, so windows may come more and more rarely, up to
 * GOVERNOR_REST_MAX times; when something does, they are as frequent as the budget allows at once.
 */
void governor_rest(struct governor *governor, bool grows);
/* The measured share of the target's time, of which ELAPSED seconds have gone by since the start. */
double governor_share(const struct governor *governor, double elapsed);
/* Its standard error is not known of fewer windows: "low" below 5, "fair" below 20, else "good". */
const char *governor_confidence(const struct governor *governor);

#endif
