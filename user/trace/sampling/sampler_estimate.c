// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "target/process/process.h"
#include "trace/sampling/sampler_internal.h"
#include "trace/sampling/classes.h"
#include "trace/sampling/samples.h"

/* An estimate is good for so long (nanoseconds), unless another one is asked for. */
#define ESTIMATE_AGE 5000000000ull

static struct error *items_fill(struct burst *burst, struct estimate_item **ret, size_t *ret_count)
{
	size_t count = 0;
	cleanup_free struct estimate_item *items =
		calloc(burst->followed_count + 1, sizeof(*items));

	if (!items)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	for (size_t i = 0; i < burst->followed_count; i++) {
		const struct followed *block = &burst->followed[i];
		double scale = burst->windows[block->window].scale;
		bool large = block->raw && block->size >= TRACER_LARGE_LEAST;

		if (large && burst->samples)
			continue; /* theirs */
		items[count] = (struct estimate_item){
			.window = block->window,
			.traceback = block->traceback,
			.class = large ? CLASSES_LARGE : block->class,
			.count = scale,
			.size = (double)block->size * scale,
			.died = block->died,
			.reborn = block->reborn,
		};
		count++;
	}
	*ret = take(items);
	*ret_count = count;
	return NULL;
}

static struct error *estimate_make(struct burst *burst, enum burst_by by, uint64_t now)
{
	cleanup_free struct estimate_window *windows =
		calloc(burst->window_count + 1, sizeof(*windows));
	cleanup_free struct estimate_item *items = NULL;
	cleanup_free struct estimate_class *classes = NULL;
	struct estimate_input input = {.windows = windows, .now = now};
	cleanup_free uint32_t *lines = NULL;
	struct estimate *estimate;

	if (!windows)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	for (size_t i = 0; i < burst->window_count; i++)
		windows[i] = burst->windows[i].window;
	/* The last one stands for all the time since. */
	if (burst->window_count)
		windows[burst->window_count - 1].to = now;
	try(items_fill(burst, &items, &input.item_count));
	try(classes_list(burst->classes, &classes, &input.class_count));
	input.window_count = burst->window_count;
	input.items = items;
	input.classes = classes;
	if (by == BURST_BY_LINE)
		try(tracebacks_lines(&burst->tracebacks, &lines));
	input.groups = lines;
	if (burst->samples)
		try(samples_estimate(burst->samples, classes_outside(burst->classes), &input,
				     classes, &estimate));
	else
		try(estimate_create(&input, &estimate));
	estimate_destroy(burst->estimates[by]);
	burst->estimates[by] = estimate;
	return NULL;
}

static bool process_gone(struct process *process)
{
	struct error *error = process_check(process);

	error_destroy(error);
	return error != NULL;
}

/*
 * The latest census is good for answers that need not be fresh for as long as it takes until its cost is within the budget. The first one is
 * not: nothing has grown until then.
 */
static bool census_good(const struct burst *burst)
{
	double taken = classes_time(burst->classes);

	return taken * 1e9 > (double)burst->began &&
	       (double)clock_now(CLOCK_MONOTONIC) / 1e9 - taken <
		       burst->census_cost / burst->governor.budget;
}

/*
 * Looks at what is followed and takes a census, if it has to be FRESH or the latest one is not good any more; or finds
 * that the process has gone meanwhile.
 */
static struct error *all_look(struct burst *burst, bool fresh, bool *ret_gone)
{
	struct error *error;

	burst->drain(burst->drain_context);
	error = burst_look(burst);
	if (!error && burst->samples)
		error = samples_end(burst->samples);
	if (!error && (fresh || !census_good(burst)))
		error = burst_census(burst, false);
	if (!error || !process_gone(burst->process))
		return error;
	error_destroy(error);
	*ret_gone = true;
	return NULL;
}

struct error *burst_estimate(struct burst *burst, enum burst_by by, bool fresh,
			     const struct estimate **ret)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC);
	bool gone = process_gone(burst->process);

	if (gone || fresh || !burst->estimated || now - burst->estimated > ESTIMATE_AGE) {
		if (!gone)
			try(all_look(burst, fresh, &gone));
		burst_estimates_forget(burst);
		burst->estimated = gone ? burst->looked : clock_now(CLOCK_MONOTONIC);
		burst->counted = classes_time(burst->classes);
	}
	/* Of a process that has gone, what was known last, as of then. */
	if (!burst->estimates[by])
		try(estimate_make(burst, by, gone ? burst->looked : clock_now(CLOCK_MONOTONIC)));
	*ret = burst->estimates[by];
	return NULL;
}

void burst_estimates_forget(struct burst *burst)
{
	for (size_t i = 0; i < array_size(burst->estimates); i++) {
		estimate_destroy(burst->estimates[i]);
		burst->estimates[i] = NULL;
	}
	burst->estimated = 0;
}

double burst_seconds(const struct burst *burst)
{
	double seconds = burst->counted - (double)burst->began / 1e9;

	return seconds > 0 ? seconds : 0;
}

struct error *burst_visit(struct burst *burst, uint32_t traceback, const struct symbols_row *row,
			  symbols_visitor visit, void *context)
{
	return symbols_traceback_visit(
		burst->symbols, tracebacks_get(&burst->tracebacks, traceback), row, visit, context);
}

void burst_counters(const struct burst *burst, struct burst_counters *ret)
{
	*ret = burst->counters;
	for (size_t i = 0; i < burst->followed_count; i++)
		ret->survivors += burst->followed[i].died == ESTIMATE_ALIVE;
	classes_totals(burst->classes, &ret->bytes, &ret->growth);
	ret->age = (double)clock_now(CLOCK_MONOTONIC) / 1e9 - classes_time(burst->classes);
	ret->untold = classes_untold(burst->classes);
	ret->unread = python_pools_unread(burst->pools);
	if (burst->samples)
		samples_counters(burst->samples, &ret->samples);
	ret->samples_failed = burst->samples_failed;
	ret->malloc_other = burst->malloc->other ? burst->malloc->name : NULL;
}

uint64_t burst_period(const struct burst *burst)
{
	double spans = 0, windows = 0;

	for (size_t i = 0; i < burst->window_count; i++) {
		const struct estimate_window *window = &burst->windows[i].window;

		spans += (double)(window->to - window->from);
		windows += (double)(window->end - window->start) / burst->windows[i].scale;
	}
	return windows > 0 ? (uint64_t)(spans / windows + 0.5) : 0;
}

double burst_share(struct burst *burst)
{
	burst_charge_answer(burst);
	return governor_share(&burst->governor, clock_since(CLOCK_MONOTONIC, burst->began));
}

const struct governor *burst_governor(const struct burst *burst)
{
	return &burst->governor;
}
