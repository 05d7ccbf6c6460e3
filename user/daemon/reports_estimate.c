// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "daemon/reports_estimate.h"

#include <math.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"

static void add_number(json_object *to, const char *key, uint64_t value)
{
	json_object_object_add(to, key, json_object_new_uint64(value));
}

static void add_text(json_object *to, const char *key, const char *value)
{
	json_object_object_add(to, key, value ? json_object_new_string(value) : NULL);
}

static uint64_t rounded(double value)
{
	if (!(value > 0))
		return 0;
	return value < 0x1p63 ? (uint64_t)llround(value) : 1ull << 63;
}

struct error *record_estimate(struct session *session, symbols_visitor add, void *context)
{
	const struct estimate *estimate;

	if (!session->sampler)
		return NULL; /* its interpreter has not begun yet */
	try(sampler_estimate(session->sampler, SAMPLER_BY_TRACEBACK, true, &estimate));
	for (size_t i = 0; i < estimate->count; i++) {
		const struct estimate_row *row = &estimate->rows[i];
		struct symbols_row values = {
			.count = rounded(row->count.value),
			.size = rounded(row->size.value),
			.size_error = rounded(row->size.error),
		};

		values.total_count = values.count;
		values.total_size = values.size;
		if (values.count || values.size)
			try(sampler_visit(session->sampler, row->traceback, &values, add, context));
	}
	return NULL;
}

static void add_double(json_object *to, const char *key, double value)
{
	json_object_object_add(to, key, json_object_new_double(value));
}

/* The place of a row's most recent frame, and the function. */
static struct error *place_add(void *context, const struct symbols_row *row)
{
	json_object *item = context;
	const struct symbols_frame *frame = &row->frames[0];

	add_text(item, "filename", frame->filename);
	add_number(item, "lineno", frame->lineno);
	add_text(item, "function", frame->name);
	return NULL;
}

/* Lines that are not known to grow are sent as far as these are of the first so many. */
#define GROWTH_ROWS 40

static struct error *status_growth(struct session *session, json_object *reply)
{
	const struct symbols_row none = {0};
	const struct estimate *estimate;
	json_object *rows = json_object_new_array();
	double held = 0, blocks = 0;

	json_object_object_add(reply, "growth", rows);
	try(sampler_estimate(session->sampler, SAMPLER_BY_LINE, false, &estimate));
	for (size_t i = 0; i < estimate->count; i++) {
		held += estimate->rows[i].size.value;
		blocks += estimate->rows[i].count.value;
	}
	add_number(reply, "current", rounded(held));
	add_number(reply, "blocks", rounded(blocks));
	for (size_t i = 0; i < estimate->count; i++) {
		const struct estimate_row *row = &estimate->rows[i];
		json_object *item;

		if (i >= GROWTH_ROWS && !row->grows)
			continue;
		item = json_object_new_object();
		json_object_array_add(rows, item);
		json_object_object_add(item, "grows", json_object_new_boolean(row->grows));
		add_double(item, "size", row->size_growth.value);
		add_double(item, "size_error", row->size_growth.error);
		add_double(item, "count", row->count_growth.value);
		add_double(item, "count_error", row->count_growth.error);
		add_double(item, "held", row->size.value);
		add_double(item, "held_error", row->size.error);
		add_double(item, "held_count", row->count.value);
		add_double(item, "held_count_error", row->count.error);
		add_number(item, "windows", row->windows);
		try(sampler_visit(session->sampler, row->traceback, &none, place_add, item));
	}
	add_double(reply, "growth_seconds", sampler_seconds(session->sampler));
	add_double(reply, "growth_attributed", estimate->attributed);
	add_double(reply, "growth_missing", estimate->missing);
	add_double(reply, "growth_unseen", estimate->unseen);
	add_double(reply, "slowdown", estimate->slowdown);
	return NULL;
}

/* What is sampled beside windows, or why it is not. */
static void status_samples(json_object *reply, const struct sampler_counters *counters)
{
	json_object *samples = json_object_new_object();

	json_object_object_add(reply, "samples", samples);
	add_text(samples, "failed", counters->samples_failed);
	add_number(samples, "faults", counters->samples.faults);
	add_number(samples, "faults_period", counters->samples.period);
	add_number(samples, "fault_hits", counters->samples.fault_hits);
	add_number(samples, "pages", counters->samples.pages);
	add_number(samples, "switches", counters->samples.switches);
	json_object_object_add(samples, "faults_sampled",
			       json_object_new_boolean(counters->samples.faults_open));
	json_object_object_add(samples, "large_seen",
			       json_object_new_boolean(counters->samples.large_open));
	add_text(samples, "malloc_other", counters->malloc_other);
	add_number(samples, "large_hits", counters->samples.large_hits);
	add_number(samples, "births", counters->samples.births);
	add_number(samples, "blocks", counters->samples.blocks);
}

struct error *record_estimate_status(struct session *session, json_object *reply)
{
	const struct governor *governor;
	/* What only those know who see every allocation and free. */
	static const char *const unknown[] = {"peak", "allocations", "allocated_bytes", "frees",
					      "unknown_frees"};
	struct sampler_counters counters;
	json_object *cost, *losses;

	for (size_t i = 0; i < array_size(unknown); i++)
		json_object_object_add(reply, unknown[i], NULL);
	if (!session->sampler)
		return NULL;
	/* With it comes a census. */
	try(status_growth(session, reply));
	governor = sampler_governor(session->sampler);
	cost = json_object_new_object();
	sampler_counters(session->sampler, &counters);
	json_object_object_add(reply, "cost", cost);
	add_double(cost, "budget", governor->budget);
	add_double(cost, "share", sampler_share(session->sampler));
	add_text(cost, "confidence", governor_confidence(governor));
	json_object_object_add(cost, "stopped", json_object_new_boolean(governor->stopped));
	add_double(cost, "trap_ns", governor->trap * 1e9);
	add_number(cost, "hits", governor->total.hits);
	add_double(cost, "traps", governor->total.traps);
	add_double(cost, "programs", governor->total.programs);
	add_double(cost, "attach", governor->total.attach);
	add_double(cost, "tracer", governor->total.tracer);
	add_double(cost, "interval", governor->interval);
	add_double(cost, "window", governor->window);
	add_number(reply, "windows", counters.windows);
	add_number(reply, "full_windows", counters.full_windows);
	add_number(reply, "births", counters.births);
	add_number(reply, "tracked", counters.tracked);
	add_number(reply, "survivors", counters.survivors);
	add_double(reply, "open_seconds", (double)counters.seconds_open_ns / 1e9);
	add_double(reply, "census_bytes", counters.bytes);
	add_double(reply, "census_growth", counters.growth);
	add_double(reply, "census_age", counters.age);
	if (json_object_object_get_ex(reply, "losses", &losses)) {
		if (counters.samples.unsettled)
			add_number(losses, "unsettled_samples", counters.samples.unsettled);
		if (counters.untold)
			add_number(losses, "untold_types", counters.untold);
	}
	add_number(reply, "unstable_pools", counters.unread.unstable);
	status_samples(reply, &counters);
	return NULL;
}
