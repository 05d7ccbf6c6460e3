// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Trees of JSON: how they are built and printed. */
#include "base/json.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <math.h>
#include <string.h>

void json_init(struct json *json)
{
	json->root = json_object_new_object();
	json->failed = !json->root;
}

void json_deinit(struct json *json)
{
	json_object_put(json->root);
}

struct json json_of(struct json_object *object)
{
	return (struct json){.root = object, .failed = !object};
}

struct error *json_built(const struct json *json)
{
	return json->failed ? error_create_errno(ERROR_FAILED, ENOMEM, "JSON output") : NULL;
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
	size_t length = text ? strlen(text) : 0;

	if (text && length <= INT_MAX)
		value = json_object_new_string_len(text, (int)length);
	json_put(json, to, key, value, !text);
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
	json_text(json, to, key, *text ? text : NULL);
}

void json_number_or_null(struct json *json, struct json_object *to, const char *key,
			 uint64_t number)
{
	if (number > 0)
		json_number(json, to, key, number);
	else
		json_null(json, to, key);
}

void json_share(struct json *json, struct json_object *to, const char *key,
		struct json_object *value)
{
	json_put(json, to, key, json_object_get(value), true);
}

struct json_object *json_new_object(struct json *json, struct json_object *to, const char *key)
{
	return json_put(json, to, key, json_object_new_object(), false);
}

struct json_object *json_new_array(struct json *json, struct json_object *to, const char *key)
{
	return json_put(json, to, key, json_object_new_array(), false);
}

/*
 * json-c writes the bytes of a string as they are, but for what JSON has to escape. The result has
 * U+FFFD for those that are no Unicode; a NUL as Python's UTF-8 has it (base/text.h) is escaped.
 */
static char *strict_copy(const char *text)
{
	/* At most three bytes stand for one. */
	char *strict = malloc(strlen(text) * 3 + 1), *to = strict;

	if (!strict)
		return NULL;
	while (*text) {
		uint32_t code;

		text += text_decode(text, &code);
		if (code & TEXT_INVALID || (code >= 0xd800 && code < 0xe000))
			code = 0xfffd;
		if (code == 0)
			to = stpcpy(to, "\\u0000");
		else
			to += text_encode(code, to);
	}
	*to = '\0';
	return strict;
}

/* The tree as text, by json-c's FLAGS; malloc'd. */
static struct error *json_string(const struct json *json, int flags, char **ret)
{
	const char *text = NULL;

	if (!json->failed)
		text = json_object_to_json_string_ext(json->root,
						      flags | JSON_C_TO_STRING_NOSLASHESCAPE);
	*ret = text ? strict_copy(text) : NULL;
	return *ret ? NULL : error_create_errno(ERROR_FAILED, ENOMEM, "JSON output");
}

static struct error *json_written(int result)
{
	return result < 0 ? error_create_errno(ERROR_FAILED, errno, "cannot write JSON") : NULL;
}

struct error *json_line(const struct json *json, char **ret)
{
	return json_string(json, JSON_C_TO_STRING_PLAIN, ret);
}

const char *json_pack(struct json_object *object)
{
	return json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN);
}

struct error *json_print(const struct json *json, FILE *file)
{
	cleanup_free char *text = NULL;

	try(json_string(json, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_PRETTY, &text));
	return json_written(fprintf(file, "%s\n", text));
}

struct error *json_print_open(const struct json *json, const char *key, FILE *file)
{
	cleanup_free char *text = NULL;

	try(json_string(json, JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_PRETTY, &text));
	/* Without the "\n}" that ends the object. */
	return json_written(fprintf(file, "%.*s,\n  \"%s\":[", (int)strlen(text) - 2, text, key));
}

struct error *json_print_element(const struct json *json, bool first, FILE *file)
{
	cleanup_free char *text = NULL;

	try(json_string(json, JSON_C_TO_STRING_SPACED, &text));
	return json_written(fprintf(file, "%s\n    %s", first ? "" : ",", text));
}

struct error *json_print_close(FILE *file)
{
	return json_written(fputs("\n  ]\n}\n", file));
}
