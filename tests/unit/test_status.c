// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What status and the live view print of a status object. */
#include "support.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view/group_text.h"
#include "view/status_text.h"

/* The lines that grow of STATUS, at most LIMIT. */
static char *growth(json_object *status, size_t limit)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	support_ok(status_print_growth(status, limit, file));
	assert_int_equal(fclose(file), 0);
	json_object_put(status);
	return text;
}

/* QUIET lines that are not known to grow, then GROWING ones: leak.py:1 and on. */
static json_object *status_of(int quiet, int growing)
{
	json_object *status = json_object_new_object(), *rows = json_object_new_array();

	for (int i = 0; i < quiet + growing; i++) {
		json_object *row = json_object_new_object();

		json_object_object_add(row, "grows", json_object_new_boolean(i >= quiet));
		json_object_object_add(row, "size", json_object_new_double(4096));
		json_object_object_add(row, "filename", json_object_new_string("leak.py"));
		json_object_object_add(row, "lineno", json_object_new_int(i - quiet + 1));
		json_object_object_add(row, "function", json_object_new_string("keep"));
		json_object_array_add(rows, row);
	}
	json_object_object_add(status, "growth", rows);
	return status;
}

static void test_heap_check(void **state)
{
	char *text = growth(status_of(0, 3), 2);

	(void)state;
	assert_non_null(strstr(text, "leak.py:1 keep\n"));
	assert_non_null(strstr(text, "leak.py:2 keep\n"));
	assert_null(strstr(text, "leak.py:3"));
	assert_non_null(strstr(text, "\nand 1 more line that grows\n"));
	free(text);
}

/* What does not grow takes no place of what does, however many lines there are. */
static void test_growth_among_others(void **state)
{
	char *text = growth(status_of(20, 1), 2);

	(void)state;
	assert_non_null(strstr(text, "leak.py:1 keep\n"));
	assert_null(strstr(text, "more line"));
	free(text);
}

static void test_growth_none(void **state)
{
	static const int counts[] = {0, 2, 20};

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		char *text = growth(status_of(counts[i], 0), 2);

		assert_string_equal(text, "no line is known to grow yet: too few windows\n");
		free(text);
	}
}

static void test_growth_none_in_time(void **state)
{
	json_object *status = status_of(2, 0);
	char *text;

	(void)state;
	json_object_object_add(status, "windows", json_object_new_int(3));
	text = growth(status, 2);
	assert_string_equal(text, "no line is known to grow\n");
	free(text);
}

/* The sessions of a group whose watcher was killed know of no losses, but there is a warning. */
static void test_group_warning(void **state)
{
	json_object *status = json_tokener_parse("{\"warning\": \"nobody watches\"}");
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	(void)state;
	assert_non_null(file);
	group_status_print_losses(status, file);
	assert_int_equal(fclose(file), 0);
	assert_string_equal(text, "  warning   nobody watches\n");
	json_object_put(status);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heap_check),    cmocka_unit_test(test_growth_among_others),
		cmocka_unit_test(test_growth_none),   cmocka_unit_test(test_growth_none_in_time),
		cmocka_unit_test(test_group_warning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
