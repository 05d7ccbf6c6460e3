// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The process of a simulation: requests that allocate and free blocks. */
#include "support.h"

#include "simulation_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/random.h"

/* Parts of a request: its temporaries are freed before the next part. */
#define STEPS 4

double simulation_uniform(struct simulation_player *player)
{
	return random_share(&player->random);
}

static double exponential(struct simulation_player *player, double mean)
{
	return -mean * log(simulation_uniform(player));
}

double simulation_gaussian(struct simulation_player *player)
{
	return sqrt(-2 * log(simulation_uniform(player))) *
	       cos(2 * M_PI * simulation_uniform(player));
}

static uint32_t poisson(struct simulation_player *player, double mean)
{
	double limit, product;
	uint32_t count = 0;

	if (mean > 30) { /* near enough */
		double value = mean + sqrt(mean) * simulation_gaussian(player) + 0.5;

		return value > 0 ? (uint32_t)value : 0;
	}
	limit = exp(-mean);
	product = simulation_uniform(player);
	while (product > limit) {
		product *= simulation_uniform(player);
		count++;
	}
	return count;
}

static void allocation_add(struct simulation_player *player, struct place place, uint8_t line)
{
	struct cell *cell = cell_at(player, place);

	/* Scenarios stay far below the limit. */
	assert_true(player->allocation_count < ALLOCATIONS_LIMIT);
	cell->window = player->opened;
	cell->allocation = (uint32_t)player->allocation_count;
	player->allocations[player->allocation_count++] =
		(struct allocation){place, line, !player->guard};
}

static struct place block_allocate(struct simulation_player *player, uint8_t line)
{
	struct place place = {.space = player->space_of[class_of(player, line)]};
	struct space *space = &player->spaces[place.space];
	struct cell *cell;

	if (space->free_count) {
		place.address = space->free[--space->free_count];
	} else {
		if (space->count == space->capacity)
			support_ok(array_reserve(&space->cells, &space->capacity, space->count,
						 4096, sizeof(*space->cells)));
		place.address = (uint32_t)space->count++;
		space->cells[place.address] = (struct cell){0};
	}
	cell = &space->cells[place.address];
	cell->serial = ++player->serial;
	cell->line = line;
	player->live[line]++;
	player->since[line]++;
	if (player->open)
		allocation_add(player, place, line);
	return place;
}

static void block_free(struct simulation_player *player, struct place place)
{
	struct space *space = &player->spaces[place.space];
	struct cell *cell = &space->cells[place.address];

	player->live[cell->line]--;
	player->since[cell->line] -= cell->serial > player->serial_at_start;
	cell->serial = 0;
	if (space->free_count == space->free_capacity)
		support_ok(array_reserve(&space->free, &space->free_capacity, space->free_count,
					 4096, sizeof(*space->free)));
	space->free[space->free_count++] = place.address;
}

static void death_add(struct simulation_player *player, double time, struct place place)
{
	size_t i = player->death_count++;

	support_ok(array_reserve(&player->deaths, &player->death_capacity, i, 1,
				 sizeof(*player->deaths)));
	for (; i && player->deaths[(i - 1) / 2].time > time; i = (i - 1) / 2)
		player->deaths[i] = player->deaths[(i - 1) / 2];
	player->deaths[i] = (struct death){time, place};
}

static struct place death_take(struct simulation_player *player)
{
	struct place place = player->deaths[0].place;
	struct death last = player->deaths[--player->death_count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < player->death_count) {
		child += child + 1 < player->death_count &&
			 player->deaths[child + 1].time < player->deaths[child].time;
		if (player->deaths[child].time >= last.time)
			break;
		player->deaths[i] = player->deaths[child];
		i = child;
	}
	player->deaths[i] = last;
	return place;
}

static void list_add(struct list *list, uint32_t address)
{
	support_ok(array_reserve(&list->addresses, &list->capacity, list->count, 1,
				 sizeof(*list->addresses)));
	list->addresses[list->count++] = address;
}

static void clear_run(struct simulation_player *player)
{
	double now = player->points[CLEAR];

	for (uint8_t k = 0; k < SIMULATION_LINES; k++) {
		struct list *list = &player->lists[k];
		uint8_t space = player->space_of[class_of(player, k)];

		if (player->simulation.lines[k].clear != now)
			continue;
		while (list->count)
			block_free(player, (struct place){space, list->addresses[--list->count]});
	}
	player->points[CLEAR] = INFINITY;
}

static void start_run(struct simulation_player *player)
{
	player->serial_at_start = player->serial;
	memcpy(player->live_at_start, player->live, sizeof(player->live));
	memset(player->since, 0, sizeof(player->since));
	player->points[START] = INFINITY;
}

static void end_run(struct simulation_player *player)
{
	double now = player->points[END];

	simulation_look(player, now);
	simulation_census_take(player, now);
	for (uint32_t c = 0; c < SIMULATION_CLASSES; c++) {
		const struct simulation_class *class = &player->simulation.classes[c];
		struct estimate_class *known = &player->classes[c];

		*known = (struct estimate_class){
			.by_size = class->raw,
			.probed = !class->raw,
			.total = player->totals[c][player->history - 1],
			.unit_size = class->raw ? 1 : class->size,
		};
		estimate_trend(player->times, player->totals[c], player->history, &known->growth,
			       &known->noise);
	}
	for (uint32_t k = 0; k < SIMULATION_LINES; k++) {
		double size = player->simulation.classes[player->simulation.lines[k].class].size;

		player->growth[k] = (player->live[k] - player->live_at_start[k]) * size;
		player->held[k] = player->since[k] * size;
	}
	simulation_input_fill(player, now);
	for (int i = 0; i < POINTS; i++)
		player->points[i] = INFINITY;
}

static void point_run(struct simulation_player *player, enum point point)
{
	switch (point) {
	case CLEAR:
		return clear_run(player);
	case START:
		return start_run(player);
	case CENSUS:
		return simulation_census(player);
	case OPEN:
		return simulation_window_open(player);
	case LOOK:
		return simulation_window_look(player);
	case END:
		return end_run(player);
	case GUARD:
		player->guard = true;
		break;
	case CLOSE:
		player->open = false;
		break;
	case POINTS:
		break;
	}
	player->points[point] = INFINITY;
}

static enum point point_next(struct simulation_player *player)
{
	enum point first = 0;

	for (int i = 1; i < POINTS; i++)
		if (player->points[i] < player->points[first])
			first = i;
	player->next = player->points[first];
	return first;
}

/* Lets everything happen that is due until TIME. */
static void time_pass(struct simulation_player *player, double time)
{
	for (;;) {
		double death = player->death_count ? player->deaths[0].time : INFINITY;

		if (death < player->next && death < time) {
			block_free(player, death_take(player));
		} else if (player->next <= time && player->next < INFINITY) {
			point_run(player, point_next(player));
			point_next(player);
		} else {
			return;
		}
	}
}

/* Allocates one more block of LINE, which stays for some time. */
static void line_allocate(struct simulation_player *player, uint8_t k, double now)
{
	const struct simulation_line *line = &player->simulation.lines[k];
	struct list *list = &player->lists[k];
	double death = INFINITY;
	struct place place;

	if (line->kind == SIMULATION_CHURN) {
		death = now + exponential(player, line->life);
		if (!player->open && death < player->next)
			return; /* nobody will have seen it */
	}
	place = block_allocate(player, k);
	switch (line->kind) {
	case SIMULATION_CHURN:
		death_add(player, death, place);
		break;
	case SIMULATION_LEAK:
		if (line->clear > now)
			list_add(list, place.address);
		break;
	case SIMULATION_QUEUE:
		if (list->count < (size_t)line->life) {
			list_add(list, place.address);
			break;
		}
		block_free(player, (struct place){place.space, list->addresses[list->first]});
		list->addresses[list->first] = place.address;
		list->first = (list->first + 1) % list->count;
		break;
	default:
		break;
	}
}

/* Temporaries do not matter while nobody looks: they leave the addresses as they were. */
static void temporaries_run(struct simulation_player *player, double begin, double end)
{
	const struct simulation *simulation = &player->simulation;
	struct place places[4096];
	size_t count = 0;

	time_pass(player, begin);
	for (uint8_t k = 0; k < SIMULATION_LINES; k++) {
		const struct simulation_line *line = &simulation->lines[k];

		if (line->kind != SIMULATION_TEMPORARY)
			continue;
		for (uint32_t n = poisson(player, line->count / STEPS); n; n--) {
			assert_true(count < array_size(places));
			places[count++] = block_allocate(player, k);
		}
	}
	time_pass(player, end);
	while (count)
		block_free(player, places[--count]);
}

/* Returns when the request is done. */
static double request_run(struct simulation_player *player, double time, double takes)
{
	const struct simulation *simulation = &player->simulation;
	uint32_t counts[SIMULATION_LINES] = {0};
	double end = time;

	for (uint32_t k = 0; k < SIMULATION_LINES; k++) {
		const struct simulation_line *line = &simulation->lines[k];
		double mean = line->count;

		if (line->kind <= SIMULATION_TEMPORARY ||
		    (line->kind == SIMULATION_LEAK && time < line->from))
			continue;
		if (line->period > 0)
			mean *= fmod(time + simulation->warm_up, line->period) < line->period / 3
					? 3
					: 0;
		counts[k] = poisson(player, mean);
	}
	if (!player->open && player->next > time + takes) { /* nobody looks */
		time_pass(player, time + takes);
		for (uint8_t k = 0; k < SIMULATION_LINES; k++)
			while (counts[k]--)
				line_allocate(player, k, time + takes);
		return time + takes;
	}
	for (uint32_t step = 0; step < STEPS; step++, time = end) {
		end = time + takes / STEPS;
		if (player->open)
			end += takes / STEPS * (simulation->slowed - 1);
		temporaries_run(player, time, end);
		for (uint8_t k = 0; k < SIMULATION_LINES; k++)
			for (uint32_t n = (counts[k] + step) / STEPS; n; n--)
				line_allocate(player, k, end);
	}
	return end;
}

static void player_reset(struct simulation_player *player, uint64_t seed)
{
	const struct simulation *simulation = &player->simulation;

	player->random = seed * 0xd1342543de82ef95ULL;
	for (uint32_t i = 0; i < SIMULATION_CLASSES; i++)
		player->spaces[i].count = player->spaces[i].free_count = 0;
	for (uint32_t k = 0; k < SIMULATION_LINES; k++)
		player->lists[k].count = player->lists[k].first = 0;
	memset(player->live, 0, sizeof(player->live));
	memset(player->since, 0, sizeof(player->since));
	player->death_count = player->block_count = player->window_count = player->history = 0;
	player->serial = player->opened = player->skipped = 0;
	player->serial_at_start = UINT32_MAX;
	player->open = player->guard = false;
	player->stride = 1;
	player->from = 0;
	for (int i = 0; i < POINTS; i++)
		player->points[i] = INFINITY;
	for (uint32_t k = 0; k < SIMULATION_LINES; k++)
		if (simulation->lines[k].clear > 0)
			player->points[CLEAR] = simulation->lines[k].clear;
	player->points[START] = player->points[CENSUS] = 0;
	player->points[END] = simulation->seconds;
	simulation_window_plan(player, simulation->interval < INTERVAL_FIRST ? simulation->interval
									     : INTERVAL_FIRST);
	point_next(player);
}

void simulation_play(struct simulation_player *player, uint64_t seed)
{
	const struct simulation *simulation = &player->simulation;
	double time = -simulation->warm_up, ready = time;
	double takes = simulation->busy / simulation->requests;

	player_reset(player, seed);
	while (player->points[END] < INFINITY) {
		double batch = simulation->batch;
		uint32_t count = batch > 1 ? 1 + poisson(player, batch - 1) : 1;

		time += exponential(player, batch / simulation->requests);
		if (ready < time)
			ready = time;
		for (; count; count--)
			ready = request_run(player, ready, takes);
	}
}

static void usual_set(struct simulation *simulation)
{
	const struct {
		double *value, usual;
	} all[] = {
		{&simulation->requests, 200}, {&simulation->batch, 1},    {&simulation->busy, 0.3},
		{&simulation->slowed, 1},     {&simulation->seconds, 60}, {&simulation->warm_up, 2},
		{&simulation->interval, 4},   {&simulation->census, 2},
	};

	for (size_t i = 0; i < array_size(all); i++)
		if (*all[i].value == 0)
			*all[i].value = all[i].usual;
}

struct simulation_player *simulation_create(const struct simulation *simulation)
{
	struct simulation_player *player = calloc(1, sizeof(*player));

	assert_non_null(player);
	player->simulation = *simulation;
	usual_set(&player->simulation);
	player->allocations = calloc(ALLOCATIONS_LIMIT, sizeof(*player->allocations));
	assert_non_null(player->allocations);
	for (uint8_t i = 0; i < SIMULATION_CLASSES; i++) {
		player->space_of[i] = i;
		for (uint8_t k = i; k-- > 0;)
			if (simulation->classes[k].size == simulation->classes[i].size)
				player->space_of[i] = k;
	}
	return player;
}

void simulation_destroy(struct simulation_player *player)
{
	if (!player)
		return;
	for (uint32_t i = 0; i < SIMULATION_CLASSES; i++) {
		free(player->spaces[i].cells);
		free(player->spaces[i].free);
	}
	for (uint32_t k = 0; k < SIMULATION_LINES; k++)
		free(player->lists[k].addresses);
	free(player->deaths);
	free(player->allocations);
	free(player->windows);
	free(player->scales);
	free(player->blocks);
	free(player->items);
	free(player);
}

const struct estimate_input *simulation_input(const struct simulation_player *player)
{
	return &player->input;
}

double simulation_growth(const struct simulation_player *player, uint32_t line)
{
	return player->growth[line];
}

double simulation_held(const struct simulation_player *player, uint32_t line)
{
	return player->held[line];
}
