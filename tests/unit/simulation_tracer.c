// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The tracer of a simulation does what trace/sampling's sampler.c, tracked.c and classes.c do. */
#include "support.h"

#include "simulation_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/error.h"

/* As in trace/sampling/sampler.c and trace/sampling/classes.c. */
#define WINDOW_TRACED   0.010
#define WINDOW_GUARD    0.003
#define WINDOWS_MAX     256
#define ALLOCATIONS_MAX 16384
#define SURVIVORS_MAX   2048
/* Seconds that a look after a window takes, and a census: blocks come and go meanwhile. */
#define LOOK_TAKES   0.0015
#define CENSUS_TAKES 0.010

/* What a census reads of CLASS: blocks, or bytes if it is raw. */
static double class_count(struct simulation_player *player, uint32_t class)
{
	const struct simulation_class *this = &player->simulation.classes[class];
	double count = 0, rate = 0, unit = this->raw ? this->size : 1;

	for (uint32_t k = 0; k < SIMULATION_LINES; k++) {
		const struct simulation_line *line = &player->simulation.lines[k];

		if (line->class != class || line->kind == SIMULATION_NONE)
			continue;
		count += player->live[k];
		rate += line->count * player->simulation.requests;
	}
	/* Not all pools are read at the same moment. */
	count += floor(sqrt(rate * CENSUS_TAKES) * simulation_gaussian(player) + 0.5);
	count = count * unit + this->disturbed / this->size * unit * simulation_gaussian(player);
	return count > 0 ? count : 0;
}

void simulation_census_take(struct simulation_player *player, double now)
{
	for (uint32_t c = 0; c < SIMULATION_CLASSES; c++)
		if (player->simulation.classes[c].size)
			player->totals[c][player->history] = class_count(player, c);
	player->times[player->history++] = now;
}

void simulation_census(struct simulation_player *player)
{
	double now = player->points[CENSUS];

	player->points[CENSUS] = now + player->simulation.census;
	if (++player->skipped < player->stride && player->history)
		return;
	player->skipped = 0;
	if (player->history == HISTORY_MAX) {
		player->history = HISTORY_MAX / 2;
		player->stride *= 2;
		for (size_t i = 0; i < player->history; i++) {
			player->times[i] = player->times[2 * i];
			for (uint32_t c = 0; c < SIMULATION_CLASSES; c++)
				player->totals[c][i] = player->totals[c][2 * i];
		}
	}
	simulation_census_take(player, now);
}

void simulation_window_plan(struct simulation_player *player, double interval)
{
	player->to = player->from + interval;
	player->points[OPEN] =
		player->from + simulation_uniform(player) * (interval - WINDOW_TRACED);
}

void simulation_window_open(struct simulation_player *player)
{
	double now = player->points[OPEN];

	player->open = true;
	player->guard = false;
	player->opened++;
	player->allocation_count = 0;
	player->points[OPEN] = INFINITY;
	player->points[GUARD] = now + WINDOW_TRACED - WINDOW_GUARD;
	/* Allocations are listed until the look is over. */
	player->points[CLOSE] = player->points[LOOK] = now + WINDOW_TRACED + LOOK_TAKES;
}

static bool block_alive(struct simulation_player *player, const struct block *block)
{
	const struct cell *cell = cell_at(player, block->place);

	return cell->serial && class_of(player, cell->line) == block->class &&
	       (block->blank || cell->serial == block->content);
}

void simulation_look(struct simulation_player *player, double now)
{
	for (size_t i = 0; i < player->block_count; i++) {
		struct block *block = &player->blocks[i];

		if (block->died == ESTIMATE_ALIVE && !block_alive(player, block))
			block->died = (uint64_t)(now * 1e9);
	}
}

static void replaced_mark(struct simulation_player *player, double start)
{
	for (size_t i = 0; i < player->block_count; i++) {
		struct block *block = &player->blocks[i];

		if (block->died != ESTIMATE_ALIVE ||
		    cell_at(player, block->place)->window != player->opened)
			continue;
		block->died = (uint64_t)(start * 1e9) + 1;
		block->replaced = true;
	}
}

/* Moves a random sample of MOST of COUNT allocations to the front. Returns its size. */
static size_t allocations_sample(struct simulation_player *player, size_t count, size_t most)
{
	if (count <= most)
		return count;
	for (size_t i = 0; i < most; i++) {
		size_t k = i + (size_t)(simulation_uniform(player) * (double)(count - i));
		struct allocation other = player->allocations[k];

		player->allocations[k] = player->allocations[i];
		player->allocations[i] = other;
	}
	return most;
}

/*
 * Of the allocations, those count that are the last at their address and came before the guard; of
 * these, those that seem alive; of these, a sample.
 */
static void survivors_add(struct simulation_player *player)
{
	size_t kept = 0, listed, alive = 0, sampled;
	double scale = 1;

	for (size_t i = 0; i < player->allocation_count; i++) {
		struct allocation allocation = player->allocations[i];

		if (allocation.tracked && cell_at(player, allocation.place)->allocation == i)
			player->allocations[kept++] = allocation;
	}
	listed = allocations_sample(player, kept, ALLOCATIONS_MAX);
	if (listed)
		scale *= (double)kept / (double)listed;
	for (size_t i = 0; i < listed; i++)
		if (cell_at(player, player->allocations[i].place)->serial)
			player->allocations[alive++] = player->allocations[i];
	sampled = allocations_sample(player, alive, SURVIVORS_MAX);
	if (sampled)
		scale *= (double)alive / (double)sampled;
	support_ok(array_reserve(&player->blocks, &player->block_capacity, player->block_count,
				 sampled, sizeof(*player->blocks)));
	for (size_t i = 0; i < sampled; i++) {
		const struct allocation *allocation = &player->allocations[i];
		/* The block is taken for whatever lies there. */
		const struct cell *cell = cell_at(player, allocation->place);

		player->blocks[player->block_count++] = (struct block){
			.place = allocation->place,
			.window = (uint32_t)player->window_count,
			.content = cell->serial,
			.line = allocation->line,
			.class = class_of(player, cell->line),
			.blank = player->simulation.lines[cell->line].blank,
			.died = ESTIMATE_ALIVE,
		};
	}
	player->scales[player->window_count] = scale;
}

static void windows_thin(struct simulation_player *player)
{
	uint32_t odd = simulation_uniform(player) < 0.5;
	size_t kept = 0, windows = player->window_count / 2;

	for (size_t i = 0; i < windows; i++) {
		struct estimate_window window = player->windows[2 * i + odd];

		window.from = player->windows[2 * i].from;
		window.to = player->windows[2 * i + 1].to;
		player->windows[i] = window;
		player->scales[i] = player->scales[2 * i + odd];
	}
	player->window_count = windows;
	for (size_t i = 0; i < player->block_count; i++) {
		struct block block = player->blocks[i];

		if (block.window % 2 != odd)
			continue;
		block.window /= 2;
		player->blocks[kept++] = block;
	}
	player->block_count = kept;
}

void simulation_window_look(struct simulation_player *player)
{
	const struct simulation *simulation = &player->simulation;
	uint32_t most = simulation->windows_max ? simulation->windows_max : WINDOWS_MAX;
	double now = player->points[LOOK], close = now - LOOK_TAKES, interval;

	if (player->window_count == most)
		windows_thin(player);
	support_ok(array_reserve(&player->windows, &player->window_capacity, player->window_count,
				 1, sizeof(*player->windows)));
	support_ok(array_reserve(&player->scales, &player->scale_capacity, player->window_count, 1,
				 sizeof(*player->scales)));
	simulation_look(player, now);
	replaced_mark(player, close - WINDOW_TRACED);
	survivors_add(player);
	if (player->to < close)
		player->to = close;
	player->windows[player->window_count++] = (struct estimate_window){
		.start = (uint64_t)((close - WINDOW_TRACED) * 1e9),
		.end = (uint64_t)((close - WINDOW_GUARD) * 1e9),
		.from = (uint64_t)(player->from * 1e9),
		.to = (uint64_t)(player->to * 1e9),
	};
	player->from = player->to;
	/* The cost of windows varies, and so do intervals. */
	interval = simulation->interval * (0.7 + 0.6 * simulation_uniform(player));
	simulation_window_plan(player, player->opened < 2 && interval > INTERVAL_FIRST
					       ? INTERVAL_FIRST
					       : interval);
	if (player->points[OPEN] < now)
		player->points[OPEN] = now;
	player->points[LOOK] = INFINITY;
}

void simulation_input_fill(struct simulation_player *player, double now)
{
	player->windows[player->window_count - 1].to = (uint64_t)(now * 1e9);
	support_ok(array_reserve(&player->items, &player->item_capacity, 0, player->block_count + 1,
				 sizeof(*player->items)));
	for (size_t i = 0; i < player->block_count; i++) {
		const struct block *block = &player->blocks[i];
		double scale = player->scales[block->window];
		uint32_t class = class_of(player, block->line);

		player->items[i] = (struct estimate_item){
			.window = block->window,
			.traceback = block->line,
			.class = block->class,
			.count = scale,
			.size = scale * player->simulation.classes[class].size,
			.died = block->died,
			.replaced = block->replaced,
		};
	}
	player->input = (struct estimate_input){
		.windows = player->windows,
		.window_count = player->window_count,
		.items = player->items,
		.item_count = player->block_count,
		.classes = player->classes,
		.class_count = SIMULATION_CLASSES,
		.now = (uint64_t)(now * 1e9),
	};
}
