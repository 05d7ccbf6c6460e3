/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the process and the tracer of a simulation share, for them alone. */
#ifndef TMBPF_TESTS_SIMULATION_INTERNAL_H
#define TMBPF_TESTS_SIMULATION_INTERNAL_H

#include "simulation.h"

/* As in trace/. */
#define INTERVAL_FIRST    2.0
#define ALLOCATIONS_LIMIT 65536
#define HISTORY_MAX       64

struct cell {                /* an address */
	uint32_t serial;     /* of the block that lies there, 0: none */
	uint32_t window;     /* the last one that saw an allocation there, counted from 1 */
	uint32_t allocation; /* and which one that was */
	uint8_t line;
};

struct space { /* blocks of one size */
	struct cell *cells;
	size_t count, capacity;
	uint32_t *free; /* the last one is handed out first */
	size_t free_count, free_capacity;
};

struct place {
	uint8_t space;
	uint32_t address;
};

struct death {
	double time;
	struct place place;
};

struct allocation {
	struct place place;
	uint8_t line;
	bool tracked; /* before the guard */
};

struct block { /* one that is tracked */
	struct place place;
	uint32_t window, content;
	uint8_t line, class;
	bool blank, replaced;
	uint64_t died;
};

struct list {
	uint32_t *addresses;
	size_t count, capacity, first;
};

/* What happens at a time of its own; at equal times, in this order. */
enum point { CLEAR, START, CENSUS, OPEN, GUARD, CLOSE, LOOK, END, POINTS };

struct simulation_player {
	struct simulation simulation; /* its defaults are filled in */
	uint64_t random;
	uint8_t space_of[SIMULATION_CLASSES];
	struct space spaces[SIMULATION_CLASSES];
	struct list lists[SIMULATION_LINES]; /* of queues, and of what is going to be cleared */
	struct death *deaths;                /* a heap, by time */
	size_t death_count, death_capacity;
	double points[POINTS];
	double next; /* the first of them */
	uint32_t serial, serial_at_start;
	double live[SIMULATION_LINES], live_at_start[SIMULATION_LINES], since[SIMULATION_LINES];
	double growth[SIMULATION_LINES], held[SIMULATION_LINES];

	/* the tracer's */
	bool open, guard;
	uint32_t opened;
	struct allocation *allocations;
	size_t allocation_count;
	double from, to; /* of this interval */
	struct estimate_window *windows;
	double *scales; /* of each window: what one tracked block stands for */
	size_t window_count, window_capacity, scale_capacity;
	struct block *blocks;
	size_t block_count, block_capacity;
	double times[HISTORY_MAX + 1], totals[SIMULATION_CLASSES][HISTORY_MAX + 1];
	size_t history;
	uint32_t stride, skipped;
	struct estimate_item *items;
	size_t item_capacity;
	struct estimate_class classes[SIMULATION_CLASSES];
	struct estimate_input input;
};

static inline struct cell *cell_at(struct simulation_player *player, struct place place)
{
	return &player->spaces[place.space].cells[place.address];
}

static inline uint8_t class_of(const struct simulation_player *player, uint8_t line)
{
	return (uint8_t)player->simulation.lines[line].class;
}

/* Random numbers: evenly distributed from 0 to 1, and normally with a variance of 1. */
double simulation_uniform(struct simulation_player *player);
double simulation_gaussian(struct simulation_player *player);

/* What the tracer does at its points of time. */
void simulation_census(struct simulation_player *player);
void simulation_census_take(struct simulation_player *player, double now);
void simulation_window_plan(struct simulation_player *player, double interval);
void simulation_window_open(struct simulation_player *player);
void simulation_window_look(struct simulation_player *player);
void simulation_look(struct simulation_player *player, double now);
/* Fills what the estimator is given. */
void simulation_input_fill(struct simulation_player *player, double now);

#endif
