// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "format/json.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include <errno.h>
#include <json-c/json.h>
#include <math.h>

void json_init(struct json *json)
{
	json->root = json_object_new_object();
	json->failed = !json->root;
}

void json_deinit(struct json *json)
{
	json_object_put(json->root);
}

/* Hands VALUE over to TO. VALUE may be JSON's null, which json-c has as NULL, if NULL_VALUE. */
static struct json_object *json_put(struct json *json, struct json_object *to, const char *key,
				    struct json_object *value, bool null_value)
{
	int result = -1;

	if (to && (value || null_value))
		result = json_object_is_type(to, json_type_array)
				 ? json_object_array_add(to, value)
				 : json_object_object_add(to, key, value);
	if (result == 0)
		return value;
	json_object_put(value);
	json->failed = true;
	return NULL;
}

void json_text(struct json *json, struct json_object *to, const char *key, const char *text)
{
	cleanup_free char *strict = text_strict(text);

	json_put(json, to, key, strict ? json_object_new_string(strict) : NULL, false);
}

void json_number(struct json *json, struct json_object *to, const char *key, uint64_t number)
{
	json_put(json, to, key, json_object_new_uint64(number), false);
}

void json_signed(struct json *json, struct json_object *to, const char *key, int64_t number)
{
	json_put(json, to, key, json_object_new_int64(number), false);
}

void json_real(struct json *json, struct json_object *to, const char *key, double number)
{
	if (!isfinite(number))
		json_null(json, to, key);
	else
		json_put(json, to, key, json_object_new_double(number), false);
}

void json_flag(struct json *json, struct json_object *to, const char *key, bool value)
{
	json_put(json, to, key, json_object_new_boolean(value), false);
}

void json_null(struct json *json, struct json_object *to, const char *key)
{
	json_put(json, to, key, NULL, true);
}

struct json_object *json_new_object(struct json *json, struct json_object *to, const char *key)
{
	return json_put(json, to, key, json_object_new_object(), false);
}

struct json_object *json_new_array(struct json *json, struct json_object *to, const char *key)
{
	return json_put(json, to, key, json_object_new_array(), false);
}

struct error *json_print(struct json *json, FILE *file)
{
	const char *text = NULL;

	if (!json->failed)
		text = json_object_to_json_string_ext(
			json->root, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE);
	if (!text)
		return error_create_errno(ERROR_FAILED, ENOMEM, "JSON output");
	if (fprintf(file, "%s\n", text) < 0)
		return error_create_errno(ERROR_FAILED, errno, "cannot write JSON");
	return NULL;
}

void json_snapshot_info(struct json *json, struct json_object *to, const struct snapshot_info *info)
{
	struct json_object *losses;
	char version[32];

	json_signed(json, to, "time_nanos", info->time_nanos);
	json_signed(json, to, "duration_nanos", info->duration_nanos);
	json_signed(json, to, "pid", info->pid);
	json_text(json, to, "command_line", info->command_line);
	json_text(json, to, "executable", info->executable);
	json_text(json, to, "host", info->host);
	json_text(json, to, "container", info->container);
	snapshot_python_version(info->python_version, version, sizeof(version));
	json_text(json, to, "python_version", version);
	json_text(json, to, "mode", info->mode);
	json_number(json, to, "traceback_limit", info->traceback_limit);
	json_number(json, to, "current", info->current);
	json_number(json, to, "peak", info->peak);
	json_number(json, to, "rss", info->rss);
	if (info->coverage < 0)
		json_null(json, to, "coverage");
	else
		json_real(json, to, "coverage", info->coverage);
	json_text(json, to, "coverage_basis", info->coverage_basis);
	losses = json_new_array(json, to, "losses");
	for (size_t i = 0; i < info->loss_count; i++) {
		struct json_object *loss = json_new_object(json, losses, NULL);

		json_text(json, loss, "name", info->losses[i].name);
		json_text(json, loss, "text", info->losses[i].text);
		json_number(json, loss, "count", info->losses[i].count);
	}
}

/* Only what the group is of has a meaning: a file's has no line, a line's may have no function. */
static void json_frame(struct json *json, struct json_object *to, const struct snapshot *snapshot,
		       const struct frame *frame, enum group_by group_by, bool named)
{
	struct json_object *object = json_new_object(json, to, NULL);

	json_text(json, object, "filename", snapshot_filename(snapshot, frame));
	if (group_by == GROUP_BY_FILENAME)
		return;
	if (group_by != GROUP_BY_FUNCTION)
		json_number(json, object, "lineno", frame ? frame->lineno : 0);
	if (!named)
		return;
	json_text(json, object, "function", frame ? snapshot->strings[frame->name] : "");
	json_number(json, object, "firstlineno", frame ? frame->firstlineno : 0);
}

static void json_statistic(struct json *json, struct json_object *to,
			   const struct snapshot *snapshot, const struct statistic *statistic,
			   enum group_by group_by)
{
	const struct traceback *traceback = &snapshot->tracebacks[statistic->traceback];
	struct json_object *object = json_new_object(json, to, NULL);
	struct json_object *frames;

	json_number(json, object, "size", statistic->size);
	json_number(json, object, "count", statistic->count);
	json_number(json, object, "total_size", statistic->total_size);
	json_number(json, object, "total_count", statistic->total_count);
	frames = json_new_array(json, object, "traceback");
	if (statistic->frame == STATISTIC_NO_FRAME)
		json_frame(json, frames, snapshot, NULL, group_by, true);
	else if (group_by != GROUP_BY_TRACEBACK)
		json_frame(json, frames, snapshot, &snapshot->frames[statistic->frame], group_by,
			   !statistic->several_functions);
	else
		for (uint32_t i = 0; i < traceback->nframe; i++)
			json_frame(json, frames, snapshot, &snapshot->frames[traceback->first + i],
				   group_by, true);
	if (group_by == GROUP_BY_TRACEBACK)
		json_number(json, object, "total_nframe", traceback->total_nframe);
}

void json_statistics(struct json *json, struct json_object *to, const struct snapshot *snapshot,
		     const struct statistics *statistics, size_t limit)
{
	size_t shown = statistics->count < limit ? statistics->count : limit;
	struct json_object *items;

	json_text(json, to, "group_by", group_by_name(statistics->group_by));
	json_flag(json, to, "cumulative", statistics->cumulative);
	json_number(json, to, "size", statistics->trace_size);
	json_number(json, to, "count", statistics->trace_count);
	json_number(json, to, "groups", statistics->count);
	json_number(json, to, "groups_left_out", statistics->count - shown);
	items = json_new_array(json, to, "statistics");
	for (size_t i = 0; i < shown; i++)
		json_statistic(json, items, snapshot, &statistics->items[i], statistics->group_by);
}
