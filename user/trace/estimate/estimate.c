// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The estimate: rows of tracebacks, from what survives of sampling windows and from the census. */
#include "trace/estimate/estimate.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "trace/estimate/estimate_internal.h"

/* Growth below this is not shown: two pages, which any process takes now and then. */
#define GROWTH_LEAST 8192.0
/*
 * A traceback is not known to hold on to its blocks unless so many old windows saw survivors of it.
 */
#define OLD_WINDOWS_LEAST 2

/* One traceback's part in a class. */
struct pair {
	uint32_t class;      /* its index in `used` */
	size_t first, count; /* items */
	double count_per_unit, size_per_unit;
};

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
}

static void work_deinit(struct estimate_work *work)
{
	free(work->items);
	free(work->chances);
	free(work->stays);
	free(work->lives);
	free(work->used_of);
	free(work->used);
	free(work->cell_of);
	free(work->cells);
	free(work->exposures);
	for (size_t i = 0; i < array_size(work->series); i++)
		free(work->series[i]);
}

static int item_compare(const void *left, const void *right)
{
	const struct estimate_item *a = left, *b = right;

	if (a->traceback != b->traceback)
		return a->traceback < b->traceback ? -1 : 1;
	if (a->class != b->class)
		return a->class < b->class ? -1 : 1;
	return a->window < b->window ? -1 : a->window > b->window;
}

static struct error *input_check(const struct estimate_input *input)
{
	for (size_t i = 0; i < input->window_count; i++) {
		const struct estimate_window *window = &input->windows[i];

		if (window->end <= window->start || window->to < window->from ||
		    (i && window->start < input->windows[i - 1].end))
			return error_create(ERROR_FAILED, "window %zu has no place in time", i);
	}
	for (size_t i = 0; i < input->item_count; i++)
		if (input->items[i].window >= input->window_count ||
		    input->items[i].class >= input->class_count)
			return error_create(ERROR_FAILED, "survivor %zu is of no window or class",
					    i);
	return NULL;
}

static double calibrated(const struct estimate_calibration *by, double all, double stay)
{
	return by->by_stay * stay + by->by_rest * (all - stay);
}

/*
 * The part of USED's calibrated sum in CELL's window that belongs to who has ALL and STAY of USED.
 * What the calibration leaves free varies.
 */
static double calibrated_share(const struct estimate_calibration *by,
			       const struct estimate_used *used, const struct estimate_cell *cell,
			       double all, double stay)
{
	double rest = used->all - used->stay;

	switch (by->by) {
	case BY_NOTHING:
		return 0;
	case BY_ALL:
		return by->by_stay * all / used->all * cell->all;
	case BY_REST:
		return rest > 0 ? (all - stay) / rest * calibrated(by, cell->all, cell->stay) : 0;
	case BY_STAY:
		return used->stay > 0 ? by->by_stay * stay / used->stay * cell->stay : 0;
	}
	return 0;
}

/*
 * What PAIR held that died before another window could see it. Survivors of the last window stand
 * for far too much of that, and no survivors for nothing. If LIVE is 0, what was allocated since
 * the last window was not seen either, nor what lives longer but is rare.
 */
static double held_doubt(const struct estimate_work *work, const struct pair *pair, double live)
{
	const struct estimate_input *input = work->input;
	const struct estimate_window *last = &input->windows[input->window_count - 1];
	double held = 0, brief = 0, allocated = 0, open = 0;

	for (size_t i = pair->first; i < pair->first + pair->count; i++) {
		const struct estimate_item *item = &work->items[i];
		const struct estimate_window *window = &input->windows[item->window];
		double part = estimate_held(work, i);

		held += part;
		allocated += estimate_units(work, item);
		if (item->died != ESTIMATE_ALIVE &&
		    work->lives[i] < (double)(window->to - window->from))
			brief += part;
	}
	if (live > 0 || input->now < last->end)
		return brief;
	for (size_t i = 0; i < input->window_count; i++)
		open += (double)(input->windows[i].end - input->windows[i].start);
	return hypot(held, allocated / open * (double)(input->now - last->end));
}

/*
 * How uncertain PAIR's growth is, for reasons that windows do not show. What it holds fluctuates:
 * at least as much as chance would have it, and by its part in its class's fluctuation. If the
 * class shrinks it is not known who shrank. What stays although the class does not grow may have
 * replaced older blocks, or others' blocks.
 */
static double growth_doubt(const struct estimate_work *work, const struct pair *pair, double stay)
{
	const struct estimate_used *used = &work->used[pair->class];
	const struct estimate_class *class = &work->input->classes[used->class];
	double held = 0, squares = 0, share, shrunk, noise, hidden;

	for (size_t i = pair->first; i < pair->first + pair->count; i++) {
		const struct estimate_item *item = &work->items[i];
		double part = estimate_held(work, i);

		held += part;
		if (item->died != ESTIMATE_ALIVE)
			squares += part * estimate_units(work, item) / item->count;
	}
	share = used->held > 0 ? held / used->held : 0;
	noise = class->noise * sqrt(share);
	shrunk = class->growth < 0 ? -class->growth * share : 0;
	hidden = used->excess > 0 ? stay / used->stay * used->excess / 2 : 0;
	return sqrt(2 * squares + noise * noise + shrunk * shrunk + hidden * hidden);
}

/* Adds PAIR to the row, and to the series from which the row's errors are computed. */
static void pair_add(struct estimate_work *work, const struct pair *pair, struct estimate_row *row,
		     double floors[4])
{
	const struct estimate_input *input = work->input;
	const struct estimate_used *used = &work->used[pair->class];
	const double scale[2] = {pair->count_per_unit, pair->size_per_unit};
	double all = 0, stay = 0, live, growth, held_more, growth_more;

	for (size_t i = pair->first; i < pair->first + pair->count; i++) {
		const struct estimate_item *item = &work->items[i];
		double part = estimate_allocated(work, item) * work->chances[i];
		double stays = part * work->stays[i];

		all += part;
		stay += stays;
		for (int k = 0; k < 2; k++) {
			work->series[k][item->window] +=
				scale[k] * calibrated(&used->live, part, stays);
			work->series[2 + k][item->window] +=
				scale[k] * calibrated(&used->growth, part, stays);
		}
	}
	live = calibrated(&used->live, all, stay);
	growth = calibrated(&used->growth, all, stay);
	if (live < growth)
		live = growth;
	held_more = held_doubt(work, pair, live);
	held_more = hypot(held_more, live * work->slowdown_error);
	if (used->live.by != BY_NOTHING) /* then it is as good as the census is steady */
		held_more = hypot(held_more, input->classes[used->class].noise);
	growth_more = growth_doubt(work, pair, stay);
	for (int k = 0; k < 2; k++) {
		double held = live * scale[k] / (row->windows + 1);
		double grown = growth * scale[k] / (row->windows + 1);

		floors[k] += held * held + held_more * scale[k] * held_more * scale[k];
		floors[2 + k] += grown * grown + growth_more * scale[k] * growth_more * scale[k];
		if (used->all <= 0)
			continue;
		for (size_t i = 0; i < used->cell_count; i++) {
			const struct estimate_cell *cell = &used->cells[i];

			work->series[k][cell->window] -=
				scale[k] * calibrated_share(&used->live, used, cell, all, stay);
			work->series[2 + k][cell->window] -=
				scale[k] * calibrated_share(&used->growth, used, cell, all, stay);
		}
	}
	row->count.value += live * scale[0];
	row->size.value += live * scale[1];
	row->count_growth.value += growth * scale[0];
	row->size_growth.value += growth * scale[1];
}

/* The part of PAIR's growth that may be mere fluctuation of its class: a variance, in bytes. */
static double pair_noise(const struct estimate_work *work, const struct pair *pair,
			 double growth_before, const struct estimate_row *row)
{
	const struct estimate_class *class = &work->input->classes[work->used[pair->class].class];
	double growth = row->size_growth.value - growth_before;
	/* Twice, since it is known from a few censuses that are not independent of one another. */
	double noise = class->growth > 0 ? 2 * growth * class->noise / class->growth : 0;

	return noise * noise;
}

static void pair_scale(const struct estimate_work *work, struct pair *pair)
{
	double units = 0, count = 0, size = 0;

	for (size_t i = pair->first; i < pair->first + pair->count; i++) {
		const struct estimate_item *item = &work->items[i];

		units += estimate_units(work, item);
		count += item->count;
		size += item->size;
	}
	pair->count_per_unit = units > 0 ? count / units : 0;
	pair->size_per_unit = units > 0 ? size / units : 0;
}

/*
 * Counts the windows with survivors among the COUNT items from FIRST on: all of them, and those
 * whose survivors are older than the horizon.
 */
static void windows_count(const struct estimate_work *work, size_t first, size_t count,
			  uint32_t *ret, uint32_t *ret_old)
{
	double *seen = work->series[0];

	memset(seen, 0, work->input->window_count * sizeof(*seen));
	*ret = *ret_old = 0;
	for (size_t i = first; i < first + count; i++) {
		const struct estimate_item *item = &work->items[i];

		if (item->died != ESTIMATE_ALIVE || seen[item->window] > 0)
			continue;
		seen[item->window] = 1;
		++*ret;
		*ret_old += estimate_age(work, item) >= work->horizon;
	}
}

/* Fills the row of one traceback, whose items are the COUNT from FIRST on. */
static void row_fill(struct estimate_work *work, size_t first, size_t count,
		     struct estimate_row *ret)
{
	size_t n = work->input->window_count;
	size_t seen;
	double floors[4] = {0}, noise = 0;
	struct estimate_value *values[4];
	struct estimate_row row = {.traceback = work->items[first].traceback};
	uint32_t old;

	windows_count(work, first, count, &row.windows, &old);
	seen = row.windows;
	for (int k = 0; k < 4; k++)
		memset(work->series[k], 0, n * sizeof(double));
	for (size_t i = first, end; i < first + count; i = end) {
		uint32_t class = work->items[i].class;
		double before = row.size_growth.value;
		struct pair pair = {.class = work->used_of[class] - 1, .first = i};

		for (end = i; end < first + count && work->items[end].class == class; end++)
			;
		pair.count = end - i;
		pair_scale(work, &pair);
		pair_add(work, &pair, &row, floors);
		noise += pair_noise(work, &pair, before, &row);
	}
	values[0] = &row.count;
	values[1] = &row.size;
	values[2] = &row.count_growth;
	values[3] = &row.size_growth;
	for (int k = 0; k < 4; k++) {
		/* Blocks that do not live long are held only by what few windows saw. */
		double factor = estimate_student(k < 2 && 2 * seen + 1 < n ? 2 * seen + 1 : n);

		values[k]->error = factor * sqrt(estimate_variance(work->series[k], n) + floors[k]);
	}
	row.grows = row.windows >= ESTIMATE_WINDOWS_LEAST && old >= OLD_WINDOWS_LEAST &&
		    row.size_growth.value >= GROWTH_LEAST &&
		    row.size_growth.value >
			    2 * sqrt(row.size_growth.error * row.size_growth.error + noise);
	*ret = row;
}

static int row_compare(const void *left, const void *right)
{
	const struct estimate_row *a = left, *b = right;
	double by_growth = b->size_growth.value - a->size_growth.value;
	double by_size = b->size.value - a->size.value;

	if (a->grows != b->grows)
		return b->grows - a->grows;
	if (by_growth != 0)
		return by_growth < 0 ? -1 : 1;
	if (by_size != 0)
		return by_size < 0 ? -1 : 1;
	return a->traceback < b->traceback ? -1 : a->traceback > b->traceback;
}

static struct error *work_init(struct estimate_work *work, const struct estimate_input *input)
{
	size_t n = input->window_count, items = input->item_count;
	double exposure = 0;

	work->input = input;
	work->slowdown = 1;
	work->items = malloc(items * sizeof(*work->items) + 1);
	work->chances = calloc(items + 1, sizeof(*work->chances));
	work->stays = calloc(items + 1, sizeof(*work->stays));
	work->lives = calloc(items + 1, sizeof(*work->lives));
	work->used_of = calloc(input->class_count + 1, sizeof(*work->used_of));
	work->exposures = calloc(n + 1, sizeof(*work->exposures));
	for (size_t i = 0; i < array_size(work->series); i++) {
		work->series[i] = calloc(n + 1, sizeof(double));
		if (!work->series[i])
			return no_memory();
	}
	if (!work->items || !work->chances || !work->stays || !work->lives || !work->used_of ||
	    !work->exposures)
		return no_memory();
	if (items)
		memcpy(work->items, input->items, items * sizeof(*work->items));
	qsort(work->items, items, sizeof(*work->items), item_compare);
	for (size_t i = n; i-- > 0;) {
		work->exposures[i] = exposure;
		exposure += (double)(input->windows[i].end - input->windows[i].start);
	}
	if (n && input->now > input->windows[0].end)
		work->horizon = (double)(input->now - input->windows[0].end) / 2;
	if (n && input->now > input->windows[0].from)
		work->elapsed = (double)(input->now - input->windows[0].from);
	return NULL;
}

struct grouped {                   /* an item, and what is known of it */
	struct estimate_item item; /* first: see item_compare() */
	double chance, stay, life;
};

/* Replaces each item's traceback by its group, and sorts the items by that. */
static struct error *items_group(struct estimate_work *work)
{
	size_t count = work->input->item_count;
	cleanup_free struct grouped *list = NULL;

	if (!work->input->groups)
		return NULL;
	list = calloc(count + 1, sizeof(*list));
	if (!list)
		return no_memory();
	for (size_t i = 0; i < count; i++) {
		list[i] = (struct grouped){work->items[i], work->chances[i], work->stays[i],
					   work->lives[i]};
		list[i].item.traceback = work->input->groups[list[i].item.traceback];
	}
	qsort(list, count, sizeof(*list), item_compare);
	for (size_t i = 0; i < count; i++) {
		work->items[i] = list[i].item;
		work->chances[i] = list[i].chance;
		work->stays[i] = list[i].stay;
		work->lives[i] = list[i].life;
	}
	return NULL;
}

static size_t traceback_items(const struct estimate_work *work, size_t first)
{
	size_t end = first;

	while (end < work->input->item_count &&
	       work->items[end].traceback == work->items[first].traceback)
		end++;
	return end - first;
}

/* Sets each item's chances, and the sums of all classes. */
static struct error *items_weigh(struct estimate_work *work)
{
	for (size_t i = 0, count; i < work->input->item_count; i += count) {
		count = traceback_items(work, i);
		try(estimate_chances(work, i, count));
	}
	estimate_classes_sum(work);
	return NULL;
}

static void summary_fill(const struct estimate_work *work, struct estimate *estimate)
{
	const struct estimate_input *input = work->input;
	double weight = 0, interval;

	estimate->slowdown = work->slowdown;
	for (size_t i = 0; i < estimate->count; i++)
		estimate->attributed += estimate->rows[i].size_growth.value;
	for (size_t i = 0; i < input->class_count; i++) {
		const struct estimate_class *class = &input->classes[i];

		if (class->growth > 0 &&
		    (!work->used_of[i] || work->used[work->used_of[i] - 1].all <= 0))
			estimate->missing += class->growth * class->unit_size;
	}
	if (!input->window_count)
		return;
	/* Where 3 are expected, none is seen with a chance of 5 %. */
	for (size_t i = 0; i < input->window_count; i++)
		weight += estimate_weight(&input->windows[i]) * work->slowdown;
	interval =
		(double)(input->windows[input->window_count - 1].to - input->windows[0].from) / 1e9;
	if (interval > 0)
		estimate->unseen = 3 * 1024.0 * weight / (double)input->window_count / interval;
}

struct error *estimate_create(const struct estimate_input *input, struct estimate **ret)
{
	cleanup(work_deinit) struct estimate_work work = {0};
	cleanup(estimate_cleanup) struct estimate *estimate = calloc(1, sizeof(*estimate));
	size_t capacity = 0;

	if (!estimate)
		return no_memory();
	try(input_check(input));
	try(work_init(&work, input));
	for (size_t i = 0, count; i < input->item_count; i += count) {
		count = traceback_items(&work, i);
		estimate_lives(&work, i, count);
	}
	try(estimate_classes_find(&work));
	try(items_weigh(&work));
	estimate_slowdown(&work);
	if (work.slowdown > 1)
		try(items_weigh(&work));
	try(items_group(&work));
	for (size_t i = 0; i < work.used_count; i++)
		estimate_calibrate(&work, &work.used[i]);
	for (size_t i = 0, count; i < input->item_count; i += count) {
		count = traceback_items(&work, i);
		try(array_reserve(&estimate->rows, &capacity, estimate->count, 1,
				  sizeof(*estimate->rows)));
		row_fill(&work, i, count, &estimate->rows[estimate->count++]);
	}
	if (estimate->count)
		qsort(estimate->rows, estimate->count, sizeof(*estimate->rows), row_compare);
	summary_fill(&work, estimate);
	*ret = take(estimate);
	return NULL;
}

static void value_add(struct estimate_value *value, const struct estimate_value *other)
{
	value->value += other->value;
	value->error = sqrt(value->error * value->error + other->error * other->error);
}

static int traceback_compare(const void *left, const void *right)
{
	const struct estimate_row *a = left, *b = right;

	return a->traceback < b->traceback ? -1 : a->traceback > b->traceback;
}

struct error *estimate_merge(struct estimate *estimate, const struct estimate *other)
{
	size_t count = estimate->count + other->count, kept = 0;
	struct estimate_row *rows = reallocarray(estimate->rows, count + 1, sizeof(*rows));

	if (!rows)
		return no_memory();
	estimate->rows = rows;
	if (other->count)
		memcpy(rows + estimate->count, other->rows, other->count * sizeof(*rows));
	qsort(rows, count, sizeof(*rows), traceback_compare);
	for (size_t i = 0; i < count; i++) {
		struct estimate_row *row = kept ? &rows[kept - 1] : NULL;

		if (!row || row->traceback != rows[i].traceback) {
			rows[kept++] = rows[i];
			continue;
		}
		value_add(&row->count, &rows[i].count);
		value_add(&row->size, &rows[i].size);
		value_add(&row->count_growth, &rows[i].count_growth);
		value_add(&row->size_growth, &rows[i].size_growth);
		row->windows = row->windows > rows[i].windows ? row->windows : rows[i].windows;
		row->grows |= rows[i].grows;
		/* One of the two may put in doubt what the other knows for sure. */
		row->grows &= row->size_growth.value > 2 * row->size_growth.error;
	}
	estimate->count = kept;
	qsort(rows, kept, sizeof(*rows), row_compare);
	estimate->attributed += other->attributed;
	estimate->missing += other->missing;
	return NULL;
}

void estimate_destroy(struct estimate *estimate)
{
	if (!estimate)
		return;
	free(estimate->rows);
	free(estimate);
}
