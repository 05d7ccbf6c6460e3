// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sums of the classes, and how they are calibrated to the census. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "trace/estimate/estimate_internal.h"

struct place { /* where an item is counted */
	uint32_t used, window, item;
};

static int place_compare(const void *left, const void *right)
{
	const struct place *a = left, *b = right;

	if (a->used != b->used)
		return a->used < b->used ? -1 : 1;
	return a->window < b->window ? -1 : a->window > b->window;
}

/* Most classes are seen by few windows, so there are cells only where there are items. */
static struct error *cells_find(struct estimate_work *work)
{
	size_t count = work->input->item_count;
	cleanup_free struct place *places = calloc(count + 1, sizeof(*places));

	work->cell_of = calloc(count + 1, sizeof(*work->cell_of));
	work->cells = calloc(count + 1, sizeof(*work->cells));
	if (!places || !work->cell_of || !work->cells)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	for (size_t i = 0; i < count; i++)
		places[i] = (struct place){work->used_of[work->items[i].class] - 1,
					   work->items[i].window, (uint32_t)i};
	qsort(places, count, sizeof(*places), place_compare);
	for (size_t i = 0; i < count; i++) {
		struct estimate_used *used = &work->used[places[i].used];

		if (!i || place_compare(&places[i - 1], &places[i])) {
			if (!used->cell_count++)
				used->cells = work->cells + work->cell_count;
			work->cells[work->cell_count++].window = places[i].window;
		}
		work->cell_of[places[i].item] = (uint32_t)work->cell_count - 1;
	}
	return NULL;
}

struct error *estimate_classes_find(struct estimate_work *work)
{
	const struct estimate_input *input = work->input;

	for (size_t i = 0; i < input->item_count; i++) {
		uint32_t class = work->items[i].class;

		if (work->used_of[class])
			continue;
		try(array_reserve(&work->used, &work->used_capacity, work->used_count, 1,
				  sizeof(*work->used)));
		work->used[work->used_count++] = (struct estimate_used){.class = class};
		work->used_of[class] = work->used_count;
	}
	return cells_find(work);
}

void estimate_classes_sum(struct estimate_work *work)
{
	const struct estimate_input *input = work->input;

	for (size_t i = 0; i < work->cell_count; i++)
		work->cells[i].all = work->cells[i].stay = 0;
	for (size_t i = 0; i < work->used_count; i++)
		work->used[i] = (struct estimate_used){
			.class = work->used[i].class,
			.cells = work->used[i].cells,
			.cell_count = work->used[i].cell_count,
		};
	for (size_t i = 0; i < input->item_count; i++) {
		const struct estimate_item *item = &work->items[i];
		struct estimate_used *used = &work->used[work->used_of[item->class] - 1];
		struct estimate_cell *cell = &work->cells[work->cell_of[i]];
		double all = estimate_allocated(work, item) * work->chances[i];

		if (all > 0 && !(cell->all > 0))
			used->windows++;
		cell->all += all;
		cell->stay += all * work->stays[i];
		used->all += all;
		used->stay += all * work->stays[i];
		used->held += estimate_held(work, i);
	}
}

double estimate_variance(const double *values, size_t n)
{
	double sum = 0;

	if (n == 1)
		return values[0] * values[0];
	for (size_t i = 1; i < n; i++) {
		double step = values[i] - values[i - 1];

		sum += step * step;
	}
	return sum * (double)n / (2.0 * (double)(n - 1));
}

/* The same for what USED has in N windows, at OFFSET in each cell. */
static double cells_variance(const struct estimate_used *used, size_t offset, size_t n)
{
	double sum = 0, before = 0;

	for (size_t i = 0; i < used->cell_count; i++) {
		const struct estimate_cell *cell = &used->cells[i];
		bool next = i && cell[-1].window + 1 == cell->window;
		double value;

		memcpy(&value, (const char *)cell + offset, sizeof(value));
		if (n == 1)
			return value * value;
		if (i && !next)
			sum += before * before; /* to the next window, which saw none */
		if (cell->window)
			sum += (value - (next ? before : 0)) * (value - (next ? before : 0));
		before = value;
	}
	if (used->cell_count && used->cells[used->cell_count - 1].window + 1 < n)
		sum += before * before;
	return n > 1 ? sum * (double)n / (2.0 * (double)(n - 1)) : 0;
}

double estimate_student(size_t n)
{
	double freedom = n > 2 ? (double)(n - 1) / 2 : 1;

	return 1 + 1.21 / freedom + 1.44 / (freedom * freedom);
}

/* Finds how much windows slow the process down: see estimate.h. */
void estimate_slowdown(struct estimate_work *work)
{
	const struct estimate_input *input = work->input;
	double *alls = work->series[0];
	double grown = 0, all = 0, stay = 0, error;
	uint32_t windows = 0;

	memset(alls, 0, input->window_count * sizeof(*alls));
	for (size_t k = 0; k < work->used_count; k++) {
		const struct estimate_used *used = &work->used[k];
		const struct estimate_class *class = &input->classes[used->class];

		if (!class->probed || class->growth <= 2 * class->noise || used->stay <= 0)
			continue;
		grown += class->growth * class->unit_size;
		all += used->all * class->unit_size;
		stay += used->stay * class->unit_size;
		for (size_t i = 0; i < used->cell_count; i++)
			alls[used->cells[i].window] += used->cells[i].all * class->unit_size;
	}
	for (size_t i = 0; i < input->window_count; i++)
		windows += alls[i] > 0;
	if (windows < ESTIMATE_WINDOWS_LEAST)
		return;
	error = estimate_student(windows) * sqrt(estimate_variance(alls, input->window_count));
	if (grown <= all + 3 * error)
		return;
	work->slowdown = grown / stay;
	work->slowdown_error = error / all;
}

/*
 * First what stays counts, then as much of the rest as is missing, then more of both: see
 * estimate.h.
 */
static struct estimate_calibration calibrate(const struct estimate_used *used, size_t windows,
					     double target)
{
	double rest = used->all - used->stay, most;

	if (used->all <= 0 || target <= 0)
		return (struct estimate_calibration){BY_STAY, 0, 0};
	if (target > used->all) {
		/*
		 * More than that is not chance: it was allocated where no window looks, and has no
		 * name.
		 */
		most = used->all +
		       3 * estimate_student(used->windows) *
			       sqrt(cells_variance(used, offsetof(struct estimate_cell, all),
						   windows));
		if (target > most)
			target = most;
		return (struct estimate_calibration){BY_ALL, target / used->all,
						     target / used->all};
	}
	if (target <= used->stay)
		return (struct estimate_calibration){BY_STAY, target / used->stay, 0};
	return (struct estimate_calibration){BY_REST, 1,
					     rest > 0 ? (target - used->stay) / rest : 0};
}

void estimate_calibrate(const struct estimate_work *work, struct estimate_used *used)
{
	const struct estimate_class *class = &work->input->classes[used->class];
	size_t n = work->input->window_count;

	used->growth = calibrate(used, n, class->growth);
	used->excess = used->stay - (class->growth > 0 ? class->growth : 0);
	if (n)
		used->excess -= sqrt(cells_variance(used, offsetof(struct estimate_cell, stay), n));
	if (class->growth > used->all)
		used->live = used->growth;
	else if (used->all > class->total)
		/*
		 * At most the total. Some of that may be from before the start, so the sample's
		 * errors remain.
		 */
		used->live = (struct estimate_calibration){BY_NOTHING, class->total / used->all,
							   class->total / used->all};
	else
		used->live = (struct estimate_calibration){BY_NOTHING, 1, 1};
}

void estimate_trend(const double *times, const double *totals, size_t count, double *ret_growth,
		    double *ret_noise)
{
	double growth = count ? totals[count - 1] - totals[0] : 0, noise = 0, slope = 0;

	if (count > 1 && times[count - 1] > times[0])
		slope = growth / (times[count - 1] - times[0]);
	for (size_t lag = 1; lag < count && (lag == 1 || 4 * lag <= count); lag *= 2) {
		double sum = 0, root;

		for (size_t i = lag; i < count; i++) {
			double change = totals[i] - totals[i - lag];

			change -= slope * (times[i] - times[i - lag]);
			sum += change * change;
		}
		root = sqrt(sum / (double)(count - lag));
		if (root > noise)
			noise = root;
	}
	*ret_growth = growth;
	*ret_noise = noise;
}
