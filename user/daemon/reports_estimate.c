// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the sampling windows of a session have estimated. */
#include "daemon/reports_estimate.h"

#include <math.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "view/status_text.h"

/* A view may not see what estimates are made by. */
_Static_assert(STATUS_WINDOWS_LEAST == ESTIMATE_WINDOWS_LEAST, "windows that tell of growth");

static uint64_t rounded(double value)
{
	if (!(value > 0))
		return 0;
	return value < 0x1p63 ? (uint64_t)llround(value) : 1ull << 63;
}

struct error *reports_estimate(struct session *session, symbols_visitor add, void *context)
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

/* A row of "growth" that is being built. */
struct growth_row {
	struct json *json;
	struct json_object *object;
};

/* The place of a row's most recent frame, and the function. */
static struct error *place_add(void *context, const struct symbols_row *row)
{
	const struct growth_row *building = context;
	const struct symbols_frame *frame = &row->frames[0];

	json_text(building->json, building->object, "filename", frame->filename);
	json_number(building->json, building->object, "lineno", frame->lineno);
	json_text(building->json, building->object, "function", frame->name);
	return NULL;
}

static struct error *growth_row_add(const struct session *session, const struct estimate_row *row,
				    struct json *json, struct json_object *rows)
{
	const struct symbols_row none = {0};
	struct json_object *object = json_new_object(json, rows, NULL);
	struct growth_row building = {json, object};

	json_flag(json, object, "grows", row->grows);
	json_real(json, object, "size", row->size_growth.value);
	json_real(json, object, "size_error", row->size_growth.error);
	json_real(json, object, "count", row->count_growth.value);
	json_real(json, object, "count_error", row->count_growth.error);
	json_real(json, object, "held", row->size.value);
	json_real(json, object, "held_error", row->size.error);
	json_real(json, object, "held_count", row->count.value);
	json_real(json, object, "held_count_error", row->count.error);
	json_number(json, object, "windows", row->windows);
	return sampler_visit(session->sampler, row->traceback, &none, place_add, &building);
}

/* Lines that are not known to grow are sent as far as they are among the first so many. */
#define GROWTH_ROWS 40

static struct error *status_growth(struct session *session, struct json *json)
{
	const struct estimate *estimate;
	struct json_object *rows = json_new_array(json, json->root, "growth");
	double held = 0, blocks = 0;

	try(sampler_estimate(session->sampler, SAMPLER_BY_LINE, false, &estimate));
	for (size_t i = 0; i < estimate->count; i++) {
		held += estimate->rows[i].size.value;
		blocks += estimate->rows[i].count.value;
	}
	json_number(json, json->root, "current", rounded(held));
	json_number(json, json->root, "blocks", rounded(blocks));
	for (size_t i = 0; i < estimate->count; i++)
		if (i < GROWTH_ROWS || estimate->rows[i].grows)
			try(growth_row_add(session, &estimate->rows[i], json, rows));
	json_real(json, json->root, "growth_seconds", sampler_seconds(session->sampler));
	json_real(json, json->root, "growth_attributed", estimate->attributed);
	json_real(json, json->root, "growth_missing", estimate->missing);
	json_real(json, json->root, "growth_unseen", estimate->unseen);
	json_real(json, json->root, "slowdown", estimate->slowdown);
	return NULL;
}

/* What is sampled beside windows, or why it is not. */
static void status_samples(struct json *json, const struct sampler_counters *counters)
{
	struct json_object *samples = json_new_object(json, json->root, "samples");

	json_text(json, samples, "failed", counters->samples_failed);
	json_number(json, samples, "faults", counters->samples.faults);
	json_number(json, samples, "faults_period", counters->samples.period);
	json_number(json, samples, "fault_hits", counters->samples.fault_hits);
	json_number(json, samples, "pages", counters->samples.pages);
	json_number(json, samples, "switches", counters->samples.switches);
	json_flag(json, samples, "faults_sampled", counters->samples.faults_open);
	json_flag(json, samples, "large_seen", counters->samples.large_open);
	json_text(json, samples, "malloc_other", counters->malloc_other);
	json_number(json, samples, "large_hits", counters->samples.large_hits);
	json_number(json, samples, "births", counters->samples.large);
	json_number(json, samples, "blocks", counters->samples.blocks);
}

/* What tracing takes of the target's time and of the tracer's, and what it may take. */
static void status_cost(const struct session *session, struct json *json)
{
	const struct governor *governor = sampler_governor(session->sampler);
	struct json_object *cost = json_new_object(json, json->root, "cost");

	json_real(json, cost, "budget", governor->budget);
	json_real(json, cost, "share", sampler_share(session->sampler));
	json_text(json, cost, "confidence", governor_confidence(governor));
	json_flag(json, cost, "stopped", governor->stopped);
	json_real(json, cost, "trap_ns", governor->trap * 1e9);
	json_number(json, cost, "hits", governor->total.hits);
	json_real(json, cost, "traps", governor->total.traps);
	json_real(json, cost, "programs", governor->total.programs);
	json_real(json, cost, "attach", governor->total.attach);
	json_real(json, cost, "tracer", governor->total.tracer);
	json_real(json, cost, "interval", governor->interval);
	json_real(json, cost, "window", governor->window);
}

static void status_windows(const struct sampler_counters *counters, struct json *json)
{
	struct json_object *losses = json_get_object(json->root, "losses");

	json_number(json, json->root, "windows", counters->windows);
	json_number(json, json->root, "full_windows", counters->full_windows);
	json_number(json, json->root, "births", counters->allocations);
	json_number(json, json->root, "tracked", counters->tracked);
	json_number(json, json->root, "survivors", counters->survivors);
	json_real(json, json->root, "open_seconds", (double)counters->seconds_open_ns / 1e9);
	json_real(json, json->root, "census_bytes", counters->bytes);
	json_real(json, json->root, "census_growth", counters->growth);
	json_real(json, json->root, "census_age", counters->age);
	if (losses && counters->samples.unsettled)
		json_number(json, losses, "unsettled_samples", counters->samples.unsettled);
	if (losses && counters->untold)
		json_number(json, losses, "untold_types", counters->untold);
	json_number(json, json->root, "unstable_pools", counters->unread.unstable);
}

struct error *reports_estimate_status(struct session *session, struct json *json)
{
	/* What only those know who see every allocation and free. */
	static const char *const unknown[] = {"peak", "allocations", "allocated_bytes", "frees",
					      "unknown_frees"};
	struct sampler_counters counters;

	for (size_t i = 0; i < array_size(unknown); i++)
		json_null(json, json->root, unknown[i]);
	if (!session->sampler)
		return NULL;
	/* With it comes a census. */
	try(status_growth(session, json));
	sampler_counters(session->sampler, &counters);
	status_cost(session, json);
	status_windows(&counters, json);
	status_samples(json, &counters);
	return NULL;
}
