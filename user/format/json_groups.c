// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Statistics and differences as JSON. */
#include "format/json_groups.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "format/json_info.h"
#include "snapshot/comparison.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include "snapshot/tables.h"
#include <math.h>

/* What a group stands for. */
struct subject {
	const struct tables *tables;
	enum group_by group_by;
	uint32_t frame, traceback;
	bool several_functions;
};

/* Only what the group is of has a meaning: a file's has no line, a line's may have no function. */
static void json_frame(struct json *json, struct json_object *to, const struct subject *subject,
		       const struct frame *frame)
{
	struct json_object *object = json_new_object(json, to, NULL);

	json_text(json, object, "filename", tables_filename(subject->tables, frame));
	if (subject->group_by == GROUP_BY_FILENAME)
		return;
	if (subject->group_by != GROUP_BY_FUNCTION)
		json_number(json, object, "lineno", frame->lineno);
	if (subject->several_functions)
		return;
	json_text_or_null(json, object, "function", subject->tables->strings[frame->name]);
	json_number_or_null(json, object, "firstlineno", frame->firstlineno);
}

/* The frames, most recent first: one, but for a traceback. */
static void json_subject(struct json *json, struct json_object *to, const struct subject *subject)
{
	const struct tables *tables = subject->tables;
	const struct traceback *traceback = &tables->tracebacks[subject->traceback];
	struct json_object *frames = json_new_array(json, to, "traceback");

	if (subject->group_by != GROUP_BY_TRACEBACK) {
		json_frame(json, frames, subject, &tables->frames[subject->frame]);
		return;
	}
	for (uint32_t i = 0; i < traceback->nframe; i++)
		json_frame(json, frames, subject,
			   tables_traceback_frame(tables, subject->traceback, i));
	json_number(json, to, "total_nframe", traceback->total_nframe);
}

/* A standard error, in whole bytes. */
static uint64_t whole_bytes(double error)
{
	return error < (double)INT64_MAX ? (uint64_t)(error + 0.5) : INT64_MAX;
}

static struct error *json_print_statistic(const struct tables *tables,
					  const struct statistics *statistics, size_t i, FILE *file)
{
	const struct statistic *statistic = &statistics->items[i];
	const struct subject subject = {tables, statistics->group_by, statistic->frame,
					statistic->traceback, statistic->several_functions};
	cleanup(json_deinit) struct json json;

	json_init(&json);
	json_number(&json, json.root, "size", statistic->size);
	if (statistic->size_variance > 0)
		json_number(&json, json.root, "size_error",
			    whole_bytes(sqrt(statistic->size_variance)));
	json_number(&json, json.root, "count", statistic->count);
	json_number(&json, json.root, "total_size", statistic->total_size);
	json_number(&json, json.root, "total_count", statistic->total_count);
	json_subject(&json, json.root, &subject);
	return json_print_element(&json, i == 0, file);
}

struct error *json_print_statistics(const struct snapshot *snapshot,
				    const struct statistics *statistics, size_t limit, FILE *file)
{
	size_t shown = statistics->count < limit ? statistics->count : limit;
	cleanup(json_deinit) struct json json;

	json_init(&json);
	json_text(&json, json.root, "schema", JSON_STATISTICS_SCHEMA);
	json_number(&json, json.root, "version", JSON_STATISTICS_VERSION);
	json_snapshot_info(&json, json_new_object(&json, json.root, "snapshot"), &snapshot->info);
	json_text(&json, json.root, "group_by", group_by_names[statistics->group_by]);
	json_flag(&json, json.root, "cumulative", statistics->cumulative);
	json_number(&json, json.root, "size", statistics->trace_size);
	json_number(&json, json.root, "count", statistics->trace_count);
	json_number(&json, json.root, "groups", statistics->count);
	json_number(&json, json.root, "groups_left_out", statistics->count - shown);
	try(json_print_open(&json, "statistics", file));
	for (size_t i = 0; i < shown; i++)
		try(json_print_statistic(snapshot->tables, statistics, i, file));
	return json_print_close(file);
}

static void json_values(struct json *json, struct json_object *to, const char *key,
			const struct comparison_value *values, size_t count)
{
	struct json_object *array = json_new_array(json, to, key);

	for (size_t i = 0; i < count; i++) {
		struct json_object *value = json_new_object(json, array, NULL);

		json_number(json, value, "size", values[i].size);
		json_number(json, value, "count", values[i].count);
	}
}

static struct error *json_print_difference(const struct tables *tables,
					   const struct comparison *comparison, size_t i,
					   FILE *file)
{
	const struct difference *difference = &comparison->items[i];
	const struct comparison_value *values = &comparison->values[difference->values];
	const struct comparison_value *last = &values[comparison->snapshot_count - 1];
	const struct subject subject = {tables, comparison->group_by, difference->frame,
					difference->traceback, difference->several_functions};
	cleanup(json_deinit) struct json json;

	json_init(&json);
	json_number(&json, json.root, "size", last->size);
	json_signed(&json, json.root, "size_diff", difference->size_diff);
	if (difference->size_error > 0) {
		json_number(&json, json.root, "size_error", whole_bytes(difference->size_error));
		json_flag(&json, json.root, "noise", difference->noise);
	}
	json_number(&json, json.root, "count", last->count);
	json_signed(&json, json.root, "count_diff", difference->count_diff);
	json_values(&json, json.root, "values", values, comparison->snapshot_count);
	json_flag(&json, json.root, "grows", difference->grows);
	json_subject(&json, json.root, &subject);
	return json_print_element(&json, i == 0, file);
}

void json_differences_init(struct json *json)
{
	json_init(json);
	json_text(json, json->root, "schema", JSON_DIFFERENCES_SCHEMA);
	json_number(json, json->root, "version", JSON_DIFFERENCES_VERSION);
}

struct error *json_print_differences(struct json *json, const struct tables *tables,
				     const struct comparison *comparison, size_t limit, FILE *file)
{
	size_t shown = comparison->count < limit ? comparison->count : limit;
	const struct comparison_value *totals = comparison->totals;
	const struct comparison_value *last = &totals[comparison->snapshot_count - 1];

	json_text(json, json->root, "group_by", group_by_names[comparison->group_by]);
	json_flag(json, json->root, "cumulative", comparison->cumulative);
	json_values(json, json->root, "totals", totals, comparison->snapshot_count);
	json_signed(json, json->root, "size_diff", (int64_t)last->size - (int64_t)totals->size);
	json_signed(json, json->root, "count_diff", (int64_t)last->count - (int64_t)totals->count);
	json_number(json, json->root, "groups", comparison->count);
	json_number(json, json->root, "groups_left_out", comparison->count - shown);
	try(json_print_open(json, "differences", file));
	for (size_t i = 0; i < shown; i++)
		try(json_print_difference(tables, comparison, i, file));
	return json_print_close(file);
}
