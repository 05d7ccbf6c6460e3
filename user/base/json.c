// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "format/json.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/snapshot.h"
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
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
	struct json_object *value = NULL;
	size_t size;
	cleanup_free char *strict = text_strict(text, &size);

	if (strict && size <= INT_MAX)
		value = json_object_new_string_len(strict, (int)size);
	json_put(json, to, key, value, false);
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

void json_text_or_null(struct json *json, struct json_object *to, const char *key, const char *text)
{
	if (*text)
		json_text(json, to, key, text);
	else
		json_null(json, to, key);
}

void json_number_or_null(struct json *json, struct json_object *to, const char *key,
			 uint64_t number)
{
	if (number > 0)
		json_number(json, to, key, number);
	else
		json_null(json, to, key);
}

struct json_object *json_new_object(struct json *json, struct json_object *to, const char *key)
{
	return json_put(json, to, key, json_object_new_object(), false);
}

struct json_object *json_new_array(struct json *json, struct json_object *to, const char *key)
{
	return json_put(json, to, key, json_object_new_array(), false);
}

#define JSON_FLAGS (JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)

static struct error *json_failed(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "JSON output");
}

static struct error *json_written(int result)
{
	return result < 0 ? error_create_errno(ERROR_FAILED, errno, "cannot write JSON") : NULL;
}

struct error *json_print(struct json *json, FILE *file)
{
	const char *text = NULL;

	if (!json->failed)
		text = json_object_to_json_string_ext(json->root,
						      JSON_FLAGS | JSON_C_TO_STRING_PRETTY);
	if (!text)
		return json_failed();
	return json_written(fprintf(file, "%s\n", text));
}

struct error *json_print_open(struct json *json, const char *key, FILE *file)
{
	const char *text = NULL;
	size_t length;

	if (!json->failed)
		text = json_object_to_json_string_length(
			json->root, JSON_FLAGS | JSON_C_TO_STRING_PRETTY, &length);
	if (!text)
		return json_failed();
	/* Without the "\n}" that ends the object. */
	length -= 2;
	return json_written(fprintf(file, "%.*s,\n  \"%s\":[", (int)length, text, key));
}

struct error *json_print_element(struct json *json, bool first, FILE *file)
{
	const char *text = NULL;

	if (!json->failed)
		text = json_object_to_json_string_ext(json->root, JSON_FLAGS);
	if (!text)
		return json_failed();
	return json_written(fprintf(file, "%s\n    %s", first ? "" : ",", text));
}

struct error *json_print_close(FILE *file)
{
	return json_written(fputs("\n  ]\n}\n", file));
}

static uint64_t not_negative(int64_t number)
{
	return number > 0 ? (uint64_t)number : 0;
}

/* Tracing may have counted nothing: it says its mode, and then 0 is known. */
static void json_counted(struct json *json, struct json_object *to, const char *key,
			 uint64_t number, const struct snapshot_info *info)
{
	if (*info->mode)
		json_number(json, to, key, number);
	else
		json_number_or_null(json, to, key, number);
}

static void json_losses(struct json *json, struct json_object *to, const struct snapshot_info *info)
{
	struct json_object *losses;

	if (!snapshot_info_tells_losses(info)) {
		json_null(json, to, "losses");
		return;
	}
	losses = json_new_array(json, to, "losses");
	for (size_t i = 0; i < info->loss_count; i++) {
		struct json_object *loss = json_new_object(json, losses, NULL);

		json_text(json, loss, "name", info->losses[i].name);
		json_text(json, loss, "text", info->losses[i].text);
		json_number(json, loss, "count", info->losses[i].count);
	}
}

void json_snapshot_info(struct json *json, struct json_object *to, const struct snapshot_info *info)
{
	char version[32];

	json_number_or_null(json, to, "time_nanos", not_negative(info->time_nanos));
	json_number_or_null(json, to, "duration_nanos", not_negative(info->duration_nanos));
	json_number_or_null(json, to, "pid", not_negative(info->pid));
	json_number_or_null(json, to, "start_time", info->start_time);
	json_text_or_null(json, to, "boot_id", info->boot_id);
	json_number_or_null(json, to, "mount_namespace", info->mount_namespace);
	json_text_or_null(json, to, "command_line", info->command_line);
	json_text_or_null(json, to, "executable", info->executable);
	json_text_or_null(json, to, "host", info->host);
	json_text_or_null(json, to, "container", info->container);
	json_text_or_null(json, to, "container_name", info->container_name);
	json_text_or_null(json, to, "image", info->image);
	json_text_or_null(json, to, "cgroup", info->cgroup);
	snapshot_python_version(info->python_version, version, sizeof(version));
	json_text_or_null(json, to, "python_version", version);
	json_text_or_null(json, to, "mode", info->mode);
	json_number_or_null(json, to, "traceback_limit", info->traceback_limit);
	json_counted(json, to, "current", info->current, info);
	if (info->peak_unmeasured)
		json_null(json, to, "peak");
	else
		json_counted(json, to, "peak", info->peak, info);
	json_number_or_null(json, to, "rss", info->rss);
	if (info->coverage < 0)
		json_null(json, to, "coverage");
	else
		json_real(json, to, "coverage", info->coverage);
	json_text_or_null(json, to, "coverage_basis", info->coverage_basis);
	json_losses(json, to, info);
}
