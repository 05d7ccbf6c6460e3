/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A simulated process of which every block is known, and what a tracer sees of it that looks like
 * the sampler does (trace/sampling/sampler.h): allocations in short windows, then now and then
 * whether their addresses still hold something of the same type, and censuses.
 *
 * The process serves requests, one after the other. The address that was freed last is handed out
 * first. So if nothing tells two blocks apart (trace/sampling/fingerprint.h), a look takes others
 * for those that died, as a real one does.
 */
#ifndef TMBPF_TESTS_SIMULATION_H
#define TMBPF_TESTS_SIMULATION_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/estimate/estimate.h"

#define SIMULATION_LINES   6
#define SIMULATION_CLASSES 4

enum simulation_kind {
	SIMULATION_NONE,
	SIMULATION_TEMPORARY, /* dies within its request */
	SIMULATION_CHURN,     /* lives for LIFE seconds on average, by chance */
	SIMULATION_QUEUE,     /* the latest LIFE blocks live */
	SIMULATION_LEAK,      /* stays, but for what `clear` says */
};

struct simulation_line { /* a line of source: a traceback */
	enum simulation_kind kind;
	uint32_t class;
	double count; /* blocks of a request, on average */
	double life;
	/*
	 * leaks, seconds: when it begins (0: at the start), and when all of it is dropped (0:
	 * never)
	 */
	double from, clear;
	/* seconds: it does all its work in the first third of each period; 0: at any time */
	double period;
	bool blank; /* nothing tells its blocks from one another */
};

struct simulation_class {
	uint32_t size; /* of a block; 0: there is no such class */
	bool raw;      /* outside of pymalloc: only its size is known */
	/* bytes: standard deviation of what else makes its total go up and down */
	double disturbed;
};

/* A value of 0 means the default. */
struct simulation {
	struct simulation_line lines[SIMULATION_LINES];
	struct simulation_class classes[SIMULATION_CLASSES];
	double requests;      /* a second; default 200 */
	double batch;         /* so many come at once, on average; default 1 */
	double busy;          /* the share of time that requests take; default 0.3 */
	double slowed;        /* how many times longer requests take during a window; default 1 */
	double seconds;       /* observed; default 60 */
	double warm_up;       /* seconds before that; default 2 */
	double interval;      /* mean, seconds; default 4 */
	double census;        /* seconds between two; default 2 */
	uint32_t windows_max; /* of more, every second one goes; default: the sampler's own limit */
};

struct simulation_player;

struct simulation_player *simulation_create(const struct simulation *simulation);
/* NULL is accepted. */
void simulation_destroy(struct simulation_player *player);

static inline void simulation_cleanup(struct simulation_player **player)
{
	simulation_destroy(*player);
}

/* Plays it with SEED. All that is asked below is then of this run. */
void simulation_play(struct simulation_player *player, uint64_t seed);

/* What the tracer knows; borrowed. */
const struct estimate_input *simulation_input(const struct simulation_player *player);
/*
 * How many more bytes LINE holds than at the start; how many it holds of what it allocated since.
 */
double simulation_growth(const struct simulation_player *player, uint32_t line);
double simulation_held(const struct simulation_player *player, uint32_t line);

#endif
