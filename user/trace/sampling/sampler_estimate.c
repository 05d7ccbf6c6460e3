// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Turns what the sampler knows into estimates and counters. */
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

/* Nanoseconds for which an estimate is good, unless a fresh one is asked for. */
#define ESTIMATE_AGE 5000000000ull

static struct error *items_fill(struct sampler *sampler, struct estimate_item **ret,
				size_t *ret_count)
{
	size_t count = 0;
	cleanup_free struct estimate_item *items =
		calloc(sampler->tracked_count + 1, sizeof(*items));

	if (!items)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	for (size_t i = 0; i < sampler->tracked_count; i++) {
		const struct tracked *block = &sampler->tracked[i];
		double scale = sampler->windows[block->window].scale;
		bool large = block->raw && block->size >= TRACER_LARGE_LEAST;

		if (large && sampler->samples)
			continue; /* these are left to the samples */
		items[count] = (struct estimate_item){
			.window = block->window,
			.traceback = block->traceback,
			.class = large ? CLASSES_REST : block->class,
			.count = scale,
			.size = (double)block->size * scale,
			.died = block->died,
			.replaced = block->replaced,
		};
		count++;
	}
	*ret = take(items);
	*ret_count = count;
	return NULL;
}

static struct error *estimate_make(struct sampler *sampler, enum sampler_by by, uint64_t now)
{
	cleanup_free struct estimate_window *windows =
		calloc(sampler->window_count + 1, sizeof(*windows));
	cleanup_free struct estimate_item *items = NULL;
	cleanup_free struct estimate_class *classes = NULL;
	struct estimate_input input = {.windows = windows, .now = now};
	cleanup_free uint32_t *lines = NULL;
	struct estimate *estimate;

	if (!windows)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	for (size_t i = 0; i < sampler->window_count; i++)
		windows[i] = sampler->windows[i].window;
	/* The last window stands for all the time since. */
	if (sampler->window_count)
		windows[sampler->window_count - 1].to = now;
	try(items_fill(sampler, &items, &input.item_count));
	try(classes_list(sampler->classes, &classes, &input.class_count));
	input.window_count = sampler->window_count;
	input.items = items;
	input.classes = classes;
	if (by == SAMPLER_BY_LINE)
		try(tracebacks_lines(&sampler->tracebacks, &lines));
	input.groups = lines;
	if (sampler->samples)
		try(samples_estimate(sampler->samples, classes_native(sampler->classes), &input,
				     classes, &estimate));
	else
		try(estimate_create(&input, &estimate));
	estimate_destroy(sampler->estimates[by]);
	sampler->estimates[by] = estimate;
	return NULL;
}

static bool process_gone(struct process *process)
{
	struct error *error = process_check(process);

	error_destroy(error);
	return error != NULL;
}

/*
 * Whether the latest census will do for an answer that need not be fresh: it does until its cost
 * fits into the budget. The first census never does, as nothing has grown until then.
 */
static bool census_good(const struct sampler *sampler)
{
	double taken = classes_time(sampler->classes);

	return taken * 1e9 > (double)sampler->began &&
	       (double)clock_now(CLOCK_MONOTONIC) / 1e9 - taken <
		       sampler->census_cost / sampler->governor.budget;
}

/*
 * Looks at all that is tracked. Takes a census if it has to be FRESH, or if the latest one will not
 * do. RET_GONE: the process has gone meanwhile.
 */
static struct error *all_look(struct sampler *sampler, bool fresh, bool *ret_gone)
{
	struct error *error;

	sampler->drain(sampler->drain_context);
	error = sampler_look(sampler);
	if (!error && sampler->samples)
		error = samples_end(sampler->samples);
	if (!error && (fresh || !census_good(sampler)))
		error = sampler_census(sampler, false);
	if (!error || !process_gone(sampler->process))
		return error;
	error_destroy(error);
	*ret_gone = true;
	return NULL;
}

struct error *sampler_estimate(struct sampler *sampler, enum sampler_by by, bool fresh,
			       const struct estimate **ret)
{
	uint64_t now = clock_now(CLOCK_MONOTONIC);
	bool gone = process_gone(sampler->process);

	if (gone || fresh || !sampler->estimated || now - sampler->estimated > ESTIMATE_AGE) {
		if (!gone)
			try(all_look(sampler, fresh, &gone));
		sampler_estimates_forget(sampler);
		sampler->estimated = gone ? sampler->looked : clock_now(CLOCK_MONOTONIC);
		sampler->counted = classes_time(sampler->classes);
	}
	/* If the process has gone this is what was known last, as of then. */
	if (!sampler->estimates[by])
		try(estimate_make(sampler, by,
				  gone ? sampler->looked : clock_now(CLOCK_MONOTONIC)));
	*ret = sampler->estimates[by];
	return NULL;
}

void sampler_estimates_forget(struct sampler *sampler)
{
	for (size_t i = 0; i < array_size(sampler->estimates); i++) {
		estimate_destroy(sampler->estimates[i]);
		sampler->estimates[i] = NULL;
	}
	sampler->estimated = 0;
}

double sampler_seconds(const struct sampler *sampler)
{
	double seconds = sampler->counted - (double)sampler->began / 1e9;

	return seconds > 0 ? seconds : 0;
}

struct error *sampler_visit(struct sampler *sampler, uint32_t traceback,
			    const struct symbols_row *row, symbols_visitor visit, void *context)
{
	return symbols_traceback_visit(sampler->symbols,
				       tracebacks_get(&sampler->tracebacks, traceback), row, visit,
				       context);
}

void sampler_counters(const struct sampler *sampler, struct sampler_counters *ret)
{
	*ret = sampler->counters;
	for (size_t i = 0; i < sampler->tracked_count; i++)
		ret->survivors += sampler->tracked[i].died == ESTIMATE_ALIVE;
	classes_totals(sampler->classes, &ret->bytes, &ret->growth);
	ret->age = (double)clock_now(CLOCK_MONOTONIC) / 1e9 - classes_time(sampler->classes);
	ret->untold = classes_untold(sampler->classes);
	ret->unread = python_pools_unread(sampler->pools);
	if (sampler->samples)
		samples_counters(sampler->samples, &ret->samples);
	ret->samples_failed = sampler->samples_failed;
	ret->malloc_other = sampler->malloc->other ? sampler->malloc->name : NULL;
}

uint64_t sampler_period(const struct sampler *sampler)
{
	double intervals = 0, windows = 0;

	for (size_t i = 0; i < sampler->window_count; i++) {
		const struct estimate_window *window = &sampler->windows[i].window;

		intervals += (double)(window->to - window->from);
		windows += (double)(window->end - window->start) / sampler->windows[i].scale;
	}
	return windows > 0 ? (uint64_t)(intervals / windows + 0.5) : 0;
}

double sampler_share(struct sampler *sampler)
{
	sampler_charge_answer(sampler);
	return governor_share(&sampler->governor, clock_since(CLOCK_MONOTONIC, sampler->began));
}

const struct governor *sampler_governor(const struct sampler *sampler)
{
	return &sampler->governor;
}
