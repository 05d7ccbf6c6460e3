/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A process that is known block by block, and what a tracer sees of it that looks as sampling
 * windows do (trace/sampling/sampler.h): births in short windows, then now and then whether their
 * addresses still hold something of the same type, and censuses.
 *
 * The process serves requests, one after the other. An address that was freed is the next to be
 * handed out: of blocks that nothing tells apart (trace/sampling/fingerprint.h) a look takes others
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
	SIMULATION_CHURN,     /* lives for LIFE seconds, on average, at random */
	SIMULATION_QUEUE,     /* the latest LIFE blocks live */
	SIMULATION_LEAK,      /* stays, but for what `clear` says */
};

struct simulation_line { /* of source: a traceback */
	enum simulation_kind kind;
	uint32_t class;
	double count; /* blocks a request, on average */
	double life;
	/* leaks: seconds; all of it is dropped then; 0: from the start, never */
	double from, clear;
	/* seconds: all its work is done in the first third of each; 0: at any time */
	double period;
	bool blank; /* nothing in its blocks tells one from another */
};

struct simulation_class {
	uint32_t size; /* of a block; 0: there is no such class */
	bool raw;      /* lies outside of pymalloc, whose size is all that is known */
	/* bytes: how much else makes its total go up and down, standard deviation */
	double disturbed;
};

/* What is 0 is as usual. */
struct simulation {
	struct simulation_line lines[SIMULATION_LINES];
	struct simulation_class classes[SIMULATION_CLASSES];
	double requests;      /* a second; usually 200 */
	double batch;         /* so many come at once, on average; usually one */
	double busy;          /* the share of time that requests take; 0.3 */
	double slowed;        /* requests take so many times as long while a window is open; once */
	double seconds;       /* observed; 60 */
	double warm_up;       /* seconds before that; 2 */
	double interval;      /* mean, seconds; 4 */
	double census;        /* seconds from one to the next; 2 */
	uint32_t windows_max; /* of more every second one goes; the tracer's own limit */
};

struct simulation_player;

struct simulation_player *simulation_create(const struct simulation *simulation);
/* NULL is accepted. */
void simulation_destroy(struct simulation_player *player);

static inline void simulation_cleanup(struct simulation_player **player)
{
	simulation_destroy(*player);
}

/* Plays it once more; what is given below is then of SEED. */
void simulation_play(struct simulation_player *player, uint64_t seed);

/* What the tracer has; borrowed. */
const struct estimate_input *simulation_input(const struct simulation_player *player);
/* Bytes that LINE holds more than at the start; holds of what it allocated since. */
double simulation_growth(const struct simulation_player *player, uint32_t line);
double simulation_held(const struct simulation_player *player, uint32_t line);

#endif
