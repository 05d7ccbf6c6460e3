// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How likely a survivor is to be what it seems, and to stay. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "trace/estimate/estimate_internal.h"

struct event { /* a survivor was found dead, or seen alive for the last time */
	double age;
	double count;
	bool death;
};

static int event_compare(const void *left, const void *right)
{
	const struct event *a = left, *b = right;

	if (a->age != b->age)
		return a->age < b->age ? -1 : 1;
	return b->death - a->death; /* one that is censored at an age was at risk at that age */
}

double estimate_age(const struct estimate_work *work, const struct estimate_item *item)
{
	uint64_t end = work->input->windows[item->window].end;
	uint64_t until = item->died < work->input->now ? item->died : work->input->now;

	return until > end ? (double)(until - end) : 0;
}

/* Nanoseconds of windows while the blocks of ITEM were tracked. */
static double item_exposure(const struct estimate_work *work, const struct estimate_item *item)
{
	const struct estimate_input *input = work->input;
	double exposure = work->exposures[item->window];

	if (item->died == ESTIMATE_ALIVE)
		return exposure;
	for (size_t i = input->window_count; i-- > item->window + 1;) {
		if (input->windows[i].start < item->died)
			return exposure - work->exposures[i];
	}
	return 0;
}

/*
 * The rate, per nanosecond, at which blocks of COUNT items are replaced unnoticed. The more windows
 * slow the process down, the less of that they see.
 */
static double replacement_rate(const struct estimate_work *work, const struct estimate_item *items,
			       size_t count)
{
	double exposure = 0, replaced = 0;

	for (size_t i = 0; i < count; i++) {
		exposure += items[i].count * item_exposure(work, &items[i]);
		if (items[i].replaced)
			replaced += items[i].count;
	}
	return exposure > 0 ? replaced / exposure * work->slowdown : 0;
}

/*
 * Kaplan-Meier over the COUNT items of one traceback. RET_SURVIVAL is each item's chance to have
 * reached its age. Returns the chance to reach the horizon.
 */
static double survival(const struct estimate_work *work, const struct estimate_item *items,
		       size_t count, struct event *events, double *ret_survival)
{
	double at_risk = 0, chance = 1, at_horizon = 1;
	size_t k = 0;

	for (size_t i = 0; i < count; i++) {
		events[i] = (struct event){
			.age = estimate_age(work, &items[i]),
			.count = items[i].count,
			.death = items[i].died != ESTIMATE_ALIVE && !items[i].replaced,
		};
		at_risk += events[i].count;
		ret_survival[i] = events[i].age;
	}
	qsort(events, count, sizeof(*events), event_compare);
	for (size_t i = 0; i < count; i++) {
		if (events[i].death)
			chance *= 1 - events[i].count / at_risk;
		at_risk -= events[i].count;
		if (events[i].age <= work->horizon)
			at_horizon = chance;
		events[i].count = chance; /* from this age on */
	}
	for (size_t i = 0; i < count; i++) {
		double age = ret_survival[i];
		size_t low = 0, high = count;

		while (low < high) { /* the last event at this age or before */
			k = (low + high) / 2;
			if (events[k].age <= age)
				low = k + 1;
			else
				high = k;
		}
		ret_survival[i] = low ? events[low - 1].count : 1;
	}
	return at_horizon;
}

/*
 * The last look before its death at which ITEM was alive; 0: it was never found alive after its
 * window.
 */
static uint64_t item_seen(const struct estimate_work *work, const struct estimate_item *item)
{
	const struct estimate_window *windows = work->input->windows;
	size_t low = item->window + 1, high = work->input->window_count;

	while (low < high) { /* the first window at whose end it was dead */
		size_t k = (low + high) / 2;

		if (windows[k].end < item->died && windows[k].start + 1 != item->died)
			low = k + 1;
		else
			high = k;
	}
	return low > item->window + 1 ? windows[low - 1].end : 0;
}

void estimate_lives(struct estimate_work *work, size_t first, size_t count)
{
	const struct estimate_item *items = work->items + first;
	double all = 0, left = 0, share, part;

	for (size_t i = 0; i < count; i++) {
		all += items[i].count;
		if (items[i].died == ESTIMATE_ALIVE || item_seen(work, &items[i]))
			left += items[i].count;
	}
	if (left < 0.5)
		left = 0.5;
	share = left < all ? left / all : 1;
	part = share < 0.999 ? 1 / log(1 / share) - share / (1 - share) : 0.5;
	for (size_t i = 0; i < count; i++) {
		double age = estimate_age(work, &items[i]);
		uint64_t end = work->input->windows[items[i].window].end, seen;

		work->lives[first + i] = age;
		if (items[i].died == ESTIMATE_ALIVE)
			continue;
		seen = item_seen(work, &items[i]);
		if (seen > end)
			end = seen;
		if (items[i].died > end)
			work->lives[first + i] = age - (1 - part) * (double)(items[i].died - end);
	}
}

struct error *estimate_chances(struct estimate_work *work, size_t first, size_t count)
{
	const struct estimate_item *items = work->items + first;
	cleanup_free struct event *events = calloc(count, sizeof(*events));
	double rate, at_horizon, *stays = work->stays + first;

	if (!events)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	rate = replacement_rate(work, items, count);
	at_horizon = survival(work, items, count, events, stays);
	for (size_t i = 0; i < count; i++) {
		double age = estimate_age(work, &items[i]), rest = work->horizon - age;

		if (items[i].died != ESTIMATE_ALIVE) {
			stays[i] = work->chances[first + i] = 0;
			continue;
		}
		work->chances[first + i] = exp(-rate * age);
		if (rest <= 0)
			stays[i] = 1;
		else
			stays[i] = stays[i] > 0 ? at_horizon / stays[i] * exp(-rate * rest) : 0;
	}
	return NULL;
}
