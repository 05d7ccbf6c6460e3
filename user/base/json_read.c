// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Trees of JSON: how they are read without trust in what is in them. */
#include "base/json_read.h"
#include <json-c/json.h>
#include <limits.h>

#define LEVELS_MOST 64

struct json_object *json_parse(const char *text)
{
	struct json_object *object = json_tokener_parse(text);

	if (json_object_is_type(object, json_type_object))
		return object;
	json_object_put(object);
	return NULL;
}

struct json_object *json_parse_any(const char *text, size_t size)
{
	struct json_tokener *tokener = json_tokener_new_ex(LEVELS_MOST);
	struct json_object *value = NULL;

	if (tokener && size <= INT_MAX)
		value = json_tokener_parse_ex(tokener, text, (int)size);
	if (tokener && json_tokener_get_error(tokener) != json_tokener_success)
		json_cleanup(&value);
	if (tokener)
		json_tokener_free(tokener);
	return value;
}

void json_cleanup(struct json_object **object)
{
	json_object_put(*object);
	*object = NULL;
}

/* The member KEY of OBJECT if it is of TYPE; or NULL. */
static struct json_object *member(struct json_object *object, const char *key, json_type type)
{
	struct json_object *value = NULL;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &value) || !json_object_is_type(value, type))
		return NULL;
	return value;
}

/* VALUE, not NULL, is an integer. */
static bool number_of(struct json_object *value, uint64_t *ret)
{
	if (json_object_get_int64(value) < 0)
		return false;
	*ret = json_object_get_uint64(value);
	return true;
}

bool json_read_number(struct json_object *object, const char *key, uint64_t *ret)
{
	struct json_object *value = member(object, key, json_type_int);

	return value && number_of(value, ret);
}

bool json_read_signed(struct json_object *object, const char *key, int64_t *ret)
{
	struct json_object *value = member(object, key, json_type_int);

	if (value)
		*ret = json_object_get_int64(value);
	return value;
}

bool json_read_real(struct json_object *object, const char *key, double *ret)
{
	struct json_object *value = member(object, key, json_type_double);

	if (!value)
		value = member(object, key, json_type_int);
	if (value)
		*ret = json_object_get_double(value);
	return value;
}

bool json_read_text(struct json_object *object, const char *key, const char **ret)
{
	struct json_object *value = member(object, key, json_type_string);

	if (value)
		*ret = json_object_get_string(value);
	return value;
}

uint64_t json_get_number(struct json_object *object, const char *key)
{
	uint64_t number = 0;

	json_read_number(object, key, &number);
	return number;
}

double json_get_real(struct json_object *object, const char *key, double without)
{
	json_read_real(object, key, &without);
	return without;
}

const char *json_get_text(struct json_object *object, const char *key)
{
	const char *text = "";

	json_read_text(object, key, &text);
	return text;
}

bool json_get_flag(struct json_object *object, const char *key)
{
	return json_object_get_boolean(member(object, key, json_type_boolean));
}

struct json_object *json_get_object(struct json_object *object, const char *key)
{
	return member(object, key, json_type_object);
}

struct json_object *json_get_array(struct json_object *object, const char *key)
{
	return member(object, key, json_type_array);
}

bool json_has(struct json_object *object, const char *key)
{
	return json_object_is_type(object, json_type_object) &&
	       json_object_object_get_ex(object, key, NULL);
}

bool json_has_null(struct json_object *object, const char *key)
{
	return json_has(object, key) && !json_object_object_get(object, key);
}

size_t json_length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

struct json_object *json_at(struct json_object *array, size_t index)
{
	return index < json_length(array) ? json_object_array_get_idx(array, index) : NULL;
}

const char *json_text_at(struct json_object *array, size_t index)
{
	struct json_object *value = json_at(array, index);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

uint64_t json_sum(struct json_object *object)
{
	uint64_t sum = 0, number;

	if (!json_object_is_type(object, json_type_object))
		return 0;
	json_object_object_foreach(object, name, value)
	{
		(void)name;
		if (json_object_is_type(value, json_type_int) && number_of(value, &number))
			sum += number;
	}
	return sum;
}
