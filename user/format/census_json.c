// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A census as JSON, written and read. */
#include "format/census_json.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_read.h"
#include "format/stream.h"
#include "snapshot/census.h"

#define FILE_MAX (256u << 20) /* bytes: a million items */

/* A number that may not be known. */
static struct error *number_write(const char *key, uint64_t value, struct output *output)
{
	if (value == UINT64_MAX)
		return stream_format(output, "  \"%s\": null,\n", key);
	return stream_format(output, "  \"%s\": %" PRIu64 ",\n", key, value);
}

static struct error *unread_write(const struct census_info *info, struct output *output)
{
	const struct {
		const char *key, *value;
	} texts[] = {
		{"allocators_unread", info->allocators_unread},
		{"objects_unread", info->objects_unread},
		{"allocators_unknown", info->allocators_unknown},
	};

	for (size_t i = 0; i < array_size(texts); i++) {
		try(stream_format(output, ",\n  \"%s\": ", texts[i].key));
		try(stream_json_string(output, texts[i].value ? texts[i].value : ""));
	}
	return NULL;
}

static struct error *info_write(const struct census_info *info, struct output *output)
{
	try(stream_format(output, "  \"time_nanos\": %" PRId64 ",\n  \"pid\": %" PRId32 ",\n",
			  info->time_nanos, info->pid));
	try(stream_text(output, "  \"command\": "));
	try(stream_json_string(output, info->command_line ? info->command_line : ""));
	try(stream_text(output, ",\n  \"host\": "));
	try(stream_json_string(output, info->host ? info->host : ""));
	try(stream_text(output, ",\n  \"container\": "));
	try(stream_json_string(output, info->container ? info->container : ""));
	try(stream_text(output, ",\n  \"malloc_absent\": "));
	try(stream_json_string(output, info->malloc_absent ? info->malloc_absent : ""));
	try(unread_write(info, output));
	try(stream_format(output, ",\n  \"python_version\": %" PRIu32 ",\n", info->python_version));
	try(stream_format(output, "  \"rss\": %" PRIu64 ",\n  \"rss_anonymous\": %" PRIu64 ",\n",
			  info->rss, info->rss_anonymous));
	try(stream_format(output, "  \"heaps\": %" PRIu64 ",\n  \"arenas\": %" PRIu64 ",\n",
			  info->heaps, info->arenas));
	try(number_write("allocated_blocks", info->allocated_blocks, output));
	try(number_write("unaccounted", info->unaccounted, output));
	return stream_format(output,
			     "  \"unstable_pools\": %" PRIu64 ",\n  \"reread_pools\": %" PRIu64
			     ",\n  \"lost_arenas\": %" PRIu64 ",\n  \"malloc_unknown\": %" PRIu64
			     ",\n  \"malloc_vanished\": %" PRIu64 ",\n",
			     info->unstable_pools, info->reread_pools, info->lost_arenas,
			     info->malloc_unknown, info->malloc_vanished);
}

static struct error *item_write(const struct census_item *item, struct output *output)
{
	try(stream_format(output,
			  "    {\"kind\": \"%s\", \"type\": ", census_kind_name(item->kind)));
	try(stream_json_string(output, item->type));
	try(stream_text(output, ", \"part\": "));
	try(stream_json_string(output, item->part));
	return stream_format(output, ", \"count\": %" PRIu64 ", \"size\": %" PRIu64 "}",
			     item->count, item->size);
}

/* As struct census_size has it. */
static const char *const allocators[] = {"pymalloc", "malloc"};

struct error *census_json_write(const struct census *census, struct output *output)
{
	try(stream_format(output, "{\n  \"schema\": \"%s\",\n  \"version\": %d,\n",
			  CENSUS_JSON_SCHEMA, CENSUS_JSON_VERSION));
	try(info_write(&census->info, output));
	try(stream_text(output, "  \"memory\": ["));
	for (size_t i = 0; i < census->part_count; i++) {
		try(stream_text(output, i ? ",\n    {\"name\": " : "\n    {\"name\": "));
		try(stream_json_string(output, census->parts[i].name));
		try(stream_format(output, ", \"size\": %" PRIu64 "}", census->parts[i].size));
	}
	try(stream_text(output, "\n  ],\n  \"sizes\": ["));
	for (size_t i = 0; i < census->size_count; i++)
		try(stream_format(
			output,
			"%s\n    {\"allocator\": \"%s\", \"size\": %" PRIu64 ", \"above\": %" PRIu64
			", \"count\": %" PRIu64 ", \"total\": %" PRIu64 "}",
			i ? "," : "", allocators[census->sizes[i].native], census->sizes[i].size,
			census->sizes[i].above, census->sizes[i].count, census->sizes[i].total));
	try(stream_text(output, "\n  ],\n  \"items\": ["));
	for (size_t i = 0; i < census->item_count; i++) {
		try(stream_text(output, i ? ",\n" : "\n"));
		try(item_write(&census->items[i], output));
	}
	return stream_text(output, "\n  ]\n}\n");
}

/* A file being read. */
struct reading {
	const char *path;
	struct census *census;
};

static struct error *bad(const struct reading *reading, const char *what)
{
	return error_create(ERROR_FAILED, "%s is no census: %s", reading->path, what);
}

static struct error *missing(const struct reading *reading, const char *key)
{
	char text[96];

	snprintf(text, sizeof(text), "\"%s\" is missing, or of another kind", key);
	return bad(reading, text);
}

static struct error *number(const struct reading *reading, struct json_object *object,
			    const char *key, uint64_t *ret)
{
	int64_t found;

	if (!json_read_signed(object, key, &found))
		return missing(reading, key);
	/* The greatest stands for what is larger. */
	if (found < 0 || found == INT64_MAX)
		return bad(reading, "a number is negative, or too large");
	*ret = (uint64_t)found;
	return NULL;
}

/* A copy of a string; one with a NUL in it ends there. */
static struct error *string(const struct reading *reading, struct json_object *object,
			    const char *key, char **ret)
{
	const char *text;

	if (!json_read_text(object, key, &text))
		return missing(reading, key);
	*ret = strdup(text);
	return *ret ? NULL : error_create_errno(ERROR_FAILED, ENOMEM, "%s", reading->path);
}

/* UINT64_MAX: null, or it is not there. */
static struct error *number_or_null(const struct reading *reading, struct json_object *object,
				    const char *key, uint64_t *ret)
{
	*ret = UINT64_MAX;
	if (!json_has(object, key) || json_has_null(object, key))
		return NULL;
	return number(reading, object, key, ret);
}

/* What version 1 has not. */
static struct error *info_read_newer(const struct reading *reading, struct json_object *root)
{
	struct census_info *info = &reading->census->info;

	try(string(reading, root, "allocators_unread", &info->allocators_unread));
	try(string(reading, root, "objects_unread", &info->objects_unread));
	try(string(reading, root, "allocators_unknown", &info->allocators_unknown));
	try(number_or_null(reading, root, "unaccounted", &info->unaccounted));
	return number(reading, root, "malloc_vanished", &info->malloc_vanished);
}

static struct error *info_read(const struct reading *reading, struct json_object *root)
{
	struct census_info *info = &reading->census->info;
	const struct {
		const char *key;
		uint64_t *to;
	} numbers[] = {
		{"rss", &info->rss},
		{"rss_anonymous", &info->rss_anonymous},
		{"heaps", &info->heaps},
		{"arenas", &info->arenas},
		{"unstable_pools", &info->unstable_pools},
		{"reread_pools", &info->reread_pools},
		{"lost_arenas", &info->lost_arenas},
		{"malloc_unknown", &info->malloc_unknown},
	};
	uint64_t value;

	try(number(reading, root, "time_nanos", &value));
	info->time_nanos = (int64_t)value;
	try(number(reading, root, "pid", &value));
	if (value > INT32_MAX)
		return bad(reading, "the pid is too large");
	info->pid = (int32_t)value;
	try(number(reading, root, "python_version", &value));
	if (value > UINT32_MAX)
		return bad(reading, "the version is too large");
	info->python_version = (uint32_t)value;
	try(number_or_null(reading, root, "allocated_blocks", &info->allocated_blocks));
	info->unaccounted = UINT64_MAX;
	for (size_t i = 0; i < array_size(numbers); i++)
		try(number(reading, root, numbers[i].key, numbers[i].to));
	try(string(reading, root, "command", &info->command_line));
	try(string(reading, root, "host", &info->host));
	try(string(reading, root, "malloc_absent", &info->malloc_absent));
	return string(reading, root, "container", &info->container);
}

static struct error *item_read(const struct reading *reading, struct json_object *object)
{
	cleanup_free char *kind = NULL, *type = NULL, *part = NULL;
	struct census_item item = {.kind = CENSUS_KINDS};

	try(string(reading, object, "kind", &kind));
	try(string(reading, object, "type", &type));
	try(string(reading, object, "part", &part));
	try(number(reading, object, "count", &item.count));
	try(number(reading, object, "size", &item.size));
	for (unsigned i = 0; i < CENSUS_KINDS; i++)
		if (strcmp(census_kind_name(i), kind) == 0)
			item.kind = i;
	if (item.kind == CENSUS_KINDS)
		return bad(reading, "an item's kind is not known");
	item.type = type;
	item.part = part;
	return census_add_item(reading->census, &item);
}

static struct error *size_read(const struct reading *reading, struct json_object *object)
{
	struct census_size size;
	cleanup_free char *allocator = NULL;

	try(string(reading, object, "allocator", &allocator));
	size.native = strcmp(allocator, allocators[true]) == 0;
	if (!size.native && strcmp(allocator, allocators[false]) != 0)
		return bad(reading, "a size's allocator is not known");
	try(number(reading, object, "size", &size.size));
	try(number(reading, object, "above", &size.above));
	try(number(reading, object, "count", &size.count));
	try(number(reading, object, "total", &size.total));
	return census_add_size(reading->census, &size);
}

static struct error *part_read(const struct reading *reading, struct json_object *object)
{
	cleanup_free char *name = NULL;
	uint64_t size;

	try(string(reading, object, "name", &name));
	try(number(reading, object, "size", &size));
	return census_add_part(reading->census, name, size);
}

static struct error *
list_read(const struct reading *reading, struct json_object *root, const char *key,
	  struct error *(*read)(const struct reading *reading, struct json_object *object))
{
	struct json_object *list = json_get_array(root, key);

	if (!list)
		return missing(reading, key);
	for (size_t i = 0; i < json_length(list); i++)
		try(read(reading, json_at(list, i)));
	return NULL;
}

static struct error *census_read(const struct reading *reading, struct json_object *root)
{
	cleanup_free char *schema = NULL;
	uint64_t version;

	if (!json_object_is_type(root, json_type_object))
		return bad(reading, "not an object");
	try(string(reading, root, "schema", &schema));
	if (strcmp(schema, CENSUS_JSON_SCHEMA) != 0)
		return bad(reading, "its \"schema\" is not \"" CENSUS_JSON_SCHEMA "\"");
	try(number(reading, root, "version", &version));
	if (version < 1 || version > CENSUS_JSON_VERSION)
		return bad(reading, "it is of another version");
	try(info_read(reading, root));
	if (version > 1)
		try(info_read_newer(reading, root));
	try(list_read(reading, root, "memory", part_read));
	try(list_read(reading, root, "sizes", size_read));
	try(list_read(reading, root, "items", item_read));
	return census_finish(reading->census);
}

static struct error *text_read(const char *path, char **ret, size_t *ret_size)
{
	cleanup_file FILE *file = NULL;
	cleanup_free char *text = NULL;
	size_t size = 0, capacity = 1 << 16, got;
	FILE *from = stdin;

	if (strcmp(path, "-") != 0) {
		file = fopen(path, "re");
		if (!file)
			return error_create_errno(ERROR_FAILED, errno, "cannot open %s", path);
		from = file;
	}
	text = malloc(capacity);
	while (text && (got = fread(text + size, 1, capacity - size, from)) > 0) {
		char *larger;

		size += got;
		if (size > FILE_MAX)
			return error_create(ERROR_FAILED, "%s is no census: more than %u MiB", path,
					    FILE_MAX >> 20);
		if (size < capacity)
			continue;
		larger = realloc(text, capacity * 2);
		if (!larger)
			return error_create_errno(ERROR_FAILED, ENOMEM, "%s", path);
		text = larger;
		capacity *= 2;
	}
	if (!text)
		return error_create_errno(ERROR_FAILED, ENOMEM, "%s", path);
	if (ferror(from))
		return error_create_errno(ERROR_FAILED, errno, "cannot read %s", path);
	*ret = take(text);
	*ret_size = size;
	return NULL;
}

struct error *census_json_read(const char *path, struct census **ret)
{
	cleanup(census_cleanup) struct census *census = NULL;
	struct json_tokener *tokener;
	cleanup_free char *text = NULL;
	enum json_tokener_error status;
	struct reading reading;
	struct json_object *root;
	struct error *error;
	size_t size;

	try(text_read(path, &text, &size));
	try(census_create(&census));
	reading = (struct reading){path, census};
	tokener = json_tokener_new();
	if (!tokener)
		return error_create_errno(ERROR_FAILED, ENOMEM, "%s", path);
	root = json_tokener_parse_ex(tokener, text, (int)size);
	status = json_tokener_get_error(tokener);
	if (status == json_tokener_success)
		error = census_read(&reading, root);
	else
		error = error_create(ERROR_FAILED, "%s is no census: no JSON at byte %zu: %s", path,
				     json_tokener_get_parse_end(tokener),
				     status == json_tokener_continue
					     ? "it ends too early"
					     : json_tokener_error_desc(status));
	json_object_put(root);
	json_tokener_free(tokener);
	if (error)
		return error_advise(error,
				    "A census is a file that `tmbpf heap --json -o FILE` wrote.");
	*ret = take(census);
	return NULL;
}
