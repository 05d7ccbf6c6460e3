// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* JSON: what is built is printed as Unicode, and what is read may be anything. */
#include "support.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/json_read.h"
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What json_print() prints. */
static char *printed(const struct json *json)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	support_ok(json_print(json, file));
	assert_int_equal(fclose(file), 0);
	return text;
}

static void test_build(void **state)
{
	cleanup(json_deinit) struct json json;
	cleanup_free char *line = NULL;
	struct json_object *list, *object;

	(void)state;
	json_init(&json);
	json_number(&json, json.root, "most", UINT64_MAX);
	json_signed(&json, json.root, "least", INT64_MIN);
	json_real(&json, json.root, "half", 0.5);
	json_real(&json, json.root, "nan", 0.0 / 0.0);
	json_flag(&json, json.root, "flag", true);
	json_text(&json, json.root, "text", "a/b\"\n");
	json_text(&json, json.root, "none", NULL);
	json_text_or_null(&json, json.root, "empty", "");
	json_number_or_null(&json, json.root, "zero", 0);
	list = json_new_array(&json, json.root, "list");
	json_number(&json, list, NULL, 1);
	json_null(&json, list, NULL);
	object = json_new_object(&json, list, NULL);
	json_number(&json, object, "again", 1);
	json_number(&json, object, "again", 2);
	json_share(&json, json.root, "shared", object);
	support_ok(json_built(&json));
	support_ok(json_line(&json, &line));
	assert_string_equal(line, "{\"most\":18446744073709551615,\"least\":-9223372036854775808,"
				  "\"half\":0.5,\"nan\":null,\"flag\":true,\"text\":\"a/b\\\"\\n\","
				  "\"none\":null,\"empty\":null,\"zero\":null,"
				  "\"list\":[1,null,{\"again\":2}],\"shared\":{\"again\":2}}");
}

/* Whoever built a tree, what is printed of it is Unicode; what a tree holds is what was put in. */
static void test_text(void **state)
{
	static const char odd[] = "a\xff\xed\xb3\xbf\xc0\x80g\xc3\xb6\x1b";
	cleanup(json_cleanup) struct json_object *other = json_object_new_object();
	const struct json json = json_of(other);
	cleanup_free char *text = NULL, *line = NULL;
	cleanup(json_cleanup) struct json_object *again = NULL;

	(void)state;
	json_object_object_add(other, "odd", json_object_new_string(odd));
	text = printed(&json);
	assert_string_equal(
		text, "{\n  \"odd\": \"a\xef\xbf\xbd\xef\xbf\xbd\\u0000g\xc3\xb6\\u001b\"\n}\n");
	support_ok(json_line(&json, &line));
	assert_string_equal(line, "{\"odd\":\"a\xef\xbf\xbd\xef\xbf\xbd\\u0000g\xc3\xb6\\u001b\"}");
	again = json_parse(json_pack(other));
	assert_string_equal(json_get_text(again, "odd"), odd);
}

/* Without memory for a part, the whole is none. */
static void test_failed(void **state)
{
	cleanup(json_deinit) struct json json;
	struct json none = json_of(NULL);
	char *line = NULL;

	(void)state;
	json_init(&json);
	json_number(&json, json_new_array(&json, NULL, "list"), NULL, 1);
	support_fails(json_built(&json), ERROR_FAILED, "Cannot allocate memory");
	support_fails(json_line(&json, &line), ERROR_FAILED, "Cannot allocate memory");
	assert_null(line);
	support_fails(json_built(&none), ERROR_FAILED, "Cannot allocate memory");
	json_text(&none, none.root, "text", "x");
	support_fails(json_line(&none, &line), ERROR_FAILED, "Cannot allocate memory");
}

static void test_print(void **state)
{
	cleanup(json_deinit) struct json json, element;
	cleanup_free char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	(void)state;
	assert_non_null(file);
	json_init(&json);
	json_init(&element);
	json_number(&json, json.root, "size", 1);
	json_text(&element, element.root, "name", "\xff");
	support_ok(json_print_open(&json, "items", file));
	support_ok(json_print_element(&element, true, file));
	support_ok(json_print_element(&element, false, file));
	support_ok(json_print_close(file));
	assert_int_equal(fclose(file), 0);
	assert_string_equal(text,
			    "{\n  \"size\": 1,\n  \"items\":[\n    { \"name\": \"\xef\xbf\xbd\" }"
			    ",\n    { \"name\": \"\xef\xbf\xbd\" }\n  ]\n}\n");
}

static void test_read(void **state)
{
	cleanup(json_cleanup) struct json_object *object = json_parse(
		"{\"number\": 18446744073709551615, \"real\": 0.5, \"text\": \"a\", \"flag\": true,"
		"\"object\": {\"a\": 1, \"b\": 2, \"c\": \"x\", \"d\": -1}, \"array\": [1, {}]}");
	const char *text;
	uint64_t number;
	double real;

	(void)state;
	assert_true(json_read_number(object, "number", &number));
	assert_true(number == UINT64_MAX);
	assert_true(json_read_real(object, "real", &real));
	assert_true(real == 0.5);
	assert_true(json_read_real(json_get_object(object, "object"), "b", &real));
	assert_true(real == 2);
	assert_true(json_read_text(object, "text", &text));
	assert_string_equal(text, "a");
	assert_true(json_get_flag(object, "flag"));
	assert_int_equal(json_length(json_get_array(object, "array")), 2);
	assert_non_null(json_at(json_get_array(object, "array"), 1));
	assert_null(json_at(json_get_array(object, "array"), 2));
	assert_int_equal(json_sum(json_get_object(object, "object")), 3);
}

/* A member that is absent, null or of another type is one answer, whatever is asked of whatever. */
static void test_read_others(void **state)
{
	static const char *const others[] = {"{}",
					     "{\"key\": null}",
					     "{\"key\": {\"key\": 1}}",
					     "{\"key\": [1]}",
					     "{\"key\": \"text\"}",
					     "{\"key\": true}",
					     "{\"key\": -1}",
					     "{\"key\": 1.5}",
					     "{\"key\": 1}"};

	(void)state;
	for (size_t i = 0; i <= array_size(others); i++) {
		cleanup(json_cleanup) struct json_object *object =
			i < array_size(others) ? json_parse(others[i]) : NULL;
		uint64_t number = 7;
		double real = 7;
		const char *text = "7";

		assert_int_equal(json_read_number(object, "key", &number), i == 8);
		assert_int_equal(number, i == 8 ? 1 : 7);
		assert_int_equal(json_read_real(object, "key", &real), i >= 6 && i <= 8);
		assert_true(i >= 6 && i <= 8 ? real != 7 : real == 7);
		assert_int_equal(json_read_text(object, "key", &text), i == 4);
		assert_string_equal(text, i == 4 ? "text" : "7");
		assert_int_equal(json_get_number(object, "key"), i == 8);
		assert_string_equal(json_get_text(object, "key"), i == 4 ? "text" : "");
		assert_int_equal(json_get_flag(object, "key"), i == 5);
		assert_int_equal(json_get_object(object, "key") != NULL, i == 2);
		assert_int_equal(json_length(json_get_array(object, "key")), i == 3);
		assert_int_equal(json_has(object, "key"), i >= 1 && i <= 8);
		assert_int_equal(json_has_null(object, "key"), i == 1);
		assert_int_equal(json_sum(object), i == 8);
		assert_int_equal(json_length(object), 0);
		assert_null(json_at(object, 0));
	}
}

static void test_parse_any(void **state)
{
	static const char text[] = "[\"a\", 1, -5]";
	cleanup(json_cleanup) struct json_object *array = json_parse_any(text, strlen(text));
	cleanup(json_cleanup) struct json_object *object = json_parse("{\"a\": -5}");
	char deep[200];
	int64_t number;

	(void)state;
	assert_int_equal(json_length(array), 3);
	assert_string_equal(json_text_at(array, 0), "a");
	assert_string_equal(json_text_at(array, 1), "");
	assert_string_equal(json_text_at(array, 3), "");
	assert_true(json_read_signed(object, "a", &number));
	assert_int_equal(number, -5);
	assert_false(json_read_signed(object, "b", &number));
	assert_null(json_parse_any(text, strlen(text) - 1));
	assert_null(json_parse_any("", 0));
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	assert_null(json_parse_any(deep, sizeof(deep)));
}

/* What is no object at all has no members. */
static void test_read_no_object(void **state)
{
	static const char *const none[] = {"", "null", "1", "\"a\"", "[1]", "{", "true"};

	(void)state;
	for (size_t i = 0; i < array_size(none); i++) {
		cleanup(json_cleanup) struct json_object *value = json_tokener_parse(none[i]);

		assert_null(json_parse(none[i]));
		assert_int_equal(json_get_number(value, "key"), 0);
		assert_false(json_has(value, "key"));
		assert_false(json_has_null(value, "key"));
		assert_int_equal(json_sum(value), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),     cmocka_unit_test(test_text),
		cmocka_unit_test(test_failed),    cmocka_unit_test(test_print),
		cmocka_unit_test(test_read),      cmocka_unit_test(test_read_others),
		cmocka_unit_test(test_parse_any), cmocka_unit_test(test_read_no_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
