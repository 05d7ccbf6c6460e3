// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Line tables. With TMBPF_LINES naming a file that tests/unit/lines.py wrote under some Python,
 * python_line() is held against that Python's own answers (tests/bats/lines.bats does so).
 */
#include "support.h"
#include "base/cleanup.h"
#include "python/code.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE(kind, table, first, index)                                                            \
	python_line(PYTHON_LINES_##kind, 0, (const uint8_t *)(table), sizeof(table) - 1, first,    \
		    index)

static void test_lnotab(void **state)
{
	(void)state;
	/* Objects/lnotab_notes.txt: address +0 line +1, +6 +1, +44 -2 */
	assert_int_equal(LINE(LNOTAB, "\x00\x01\x06\x01\x2c\xfe", 10, 0), 11);
	assert_int_equal(LINE(LNOTAB, "\x00\x01\x06\x01\x2c\xfe", 10, 5), 11);
	assert_int_equal(LINE(LNOTAB, "\x00\x01\x06\x01\x2c\xfe", 10, 6), 12);
	assert_int_equal(LINE(LNOTAB, "\x00\x01\x06\x01\x2c\xfe", 10, 49), 12);
	assert_int_equal(LINE(LNOTAB, "\x00\x01\x06\x01\x2c\xfe", 10, 50), 10);
	assert_int_equal(LINE(LNOTAB, "\x00\x01\x06\x01\x2c\xfe", 10, -1), 10);
	assert_int_equal(LINE(LNOTAB, "", 10, 4), 10);
	/* Half an entry at the end is none. */
	assert_int_equal(LINE(LNOTAB, "\x00\x01\x02", 10, 8), 11);
	/* Longer steps take several entries. */
	assert_int_equal(LINE(LNOTAB, "\xff\x00\x2d\x01", 1, 299), 1);
	assert_int_equal(LINE(LNOTAB, "\xff\x00\x2d\x01", 1, 300), 2);
}

static void test_linetable(void **state)
{
	(void)state;
	/* PEP 626: bytes of code, line; -128 belongs to no line. The index counts code units. */
	assert_int_equal(LINE(LINETABLE, "\x04\x01\x02\x80\x02\x02", 10, 0), 11);
	assert_int_equal(LINE(LINETABLE, "\x04\x01\x02\x80\x02\x02", 10, 1), 11);
	assert_int_equal(LINE(LINETABLE, "\x04\x01\x02\x80\x02\x02", 10, 2), -1);
	assert_int_equal(LINE(LINETABLE, "\x04\x01\x02\x80\x02\x02", 10, 3), 13);
	assert_int_equal(LINE(LINETABLE, "\x04\x01\x02\x80\x02\x02", 10, 4), -1);
	assert_int_equal(LINE(LINETABLE, "\x04\x01\x02\x80\x02\x02", 10, -1), 10);
	/* Entries of no code carry line steps that do not fit into one. */
	assert_int_equal(LINE(LINETABLE, "\x00\x7f\x02\x7f", 1, 0), 255);
	assert_int_equal(LINE(LINETABLE, "", 10, 0), -1);
	assert_int_equal(LINE(LINETABLE, "\x02\x01", 10, INT64_MAX), -1);
}

static void test_locations(void **state)
{
	/* One line 1 (2 units), no location (1), long form +200 (1), no columns -3 (8). */
	static const char table[] = "\xd9\x00\x01"
				    "\xf8"
				    "\xf0\x50\x06\x00\x01\x01"
				    "\xef\x07";

	(void)state;
	assert_int_equal(LINE(LOCATIONS, table, 10, 0), 11);
	assert_int_equal(LINE(LOCATIONS, table, 10, 3), 11);
	assert_int_equal(LINE(LOCATIONS, table, 10, 4), -1);
	assert_int_equal(LINE(LOCATIONS, table, 10, 6), 211);
	assert_int_equal(LINE(LOCATIONS, table, 10, 8), 208);
	assert_int_equal(LINE(LOCATIONS, table, 10, 23), 208);
	assert_int_equal(LINE(LOCATIONS, table, 10, 24), -1);
	assert_int_equal(LINE(LOCATIONS, table, 10, -2), 10);
	assert_int_equal(LINE(LOCATIONS, "", 10, 0), -1);
	/* A varint that the table's end cuts off, and one longer than any number. */
	LINE(LOCATIONS, "\xf0\x7f\x7f", 10, 0);
	LINE(LOCATIONS, "\xf0\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x3f", 10, 0);
}

/* Whatever the table holds: no read outside of it (the sanitizers watch), and an end. */
static void test_random(void **state)
{
	unsigned seed = 1, i, j;

	(void)state;
	for (i = 0; i < 20000; i++) {
		size_t size = rand_r(&seed) % 40;
		cleanup_free uint8_t *table = malloc(size ? size : 1);
		int64_t index = (int)(rand_r(&seed) % 600) - 3;

		assert_non_null(table);
		for (j = 0; j < size; j++)
			table[j] = rand_r(&seed);
		python_line(PYTHON_LINES_LNOTAB, 0, table, size, 1, index);
		python_line(PYTHON_LINES_LINETABLE, 0, table, size, 1, index);
		python_line(PYTHON_LINES_LOCATIONS, 0, table, size, 1, index);
		python_line(PYTHON_LINES_LOCATIONS, 0, table, size, INT32_MAX, INT64_MAX);
	}
}

struct fixture {
	enum python_lines kind;
	int firstlineno;
	uint8_t *table;
	size_t size;
	unsigned codes, checked;
};

static void code_parse(char *line, struct fixture *fixture)
{
	char kind[16];
	int at = 0;
	char *hex;

	assert_int_equal(sscanf(line, "code %15s %d %n", kind, &fixture->firstlineno, &at), 2);
	if (!strcmp(kind, "lnotab"))
		fixture->kind = PYTHON_LINES_LNOTAB;
	else if (!strcmp(kind, "linetable"))
		fixture->kind = PYTHON_LINES_LINETABLE;
	else if (!strcmp(kind, "locations"))
		fixture->kind = PYTHON_LINES_LOCATIONS;
	else
		fail_msg("no such kind: %s", kind);
	hex = line + at;
	free(fixture->table);
	fixture->table = malloc(strlen(hex) + 1);
	assert_non_null(fixture->table);
	for (fixture->size = 0; sscanf(hex, "%2hhx", &fixture->table[fixture->size]) == 1; hex += 2)
		fixture->size++;
	fixture->codes++;
}

static void at_check(const char *line, struct fixture *fixture)
{
	int64_t index;
	int expected, got;

	assert_int_equal(sscanf(line, "at %" SCNd64 " %d", &index, &expected), 2);
	got = python_line(fixture->kind, 0, fixture->table, fixture->size, fixture->firstlineno,
			  index);
	if (got != expected)
		fail_msg("code object %u, index %" PRId64 ": Python says %d, we %d", fixture->codes,
			 index, expected, got);
	fixture->checked++;
}

static void test_fixture(void **state)
{
	const char *path = getenv("TMBPF_LINES");
	struct fixture fixture = {0};
	cleanup_free char *line = NULL;
	cleanup_file FILE *file = NULL;
	size_t size = 0;

	(void)state;
	file = fopen(path, "r");
	assert_non_null(file);
	while (getline(&line, &size, file) > 0) {
		if (!strncmp(line, "code ", 5))
			code_parse(line, &fixture);
		else
			at_check(line, &fixture);
	}
	free(fixture.table);
	assert_true(fixture.codes > 100);
	assert_true(fixture.checked > 1000);
	print_message("# %u lines of %u code objects\n", fixture.checked, fixture.codes);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lnotab),
		cmocka_unit_test(test_linetable),
		cmocka_unit_test(test_locations),
		cmocka_unit_test(test_random),
	};
	static const struct CMUnitTest fixture[] = {cmocka_unit_test(test_fixture)};

	if (getenv("TMBPF_LINES"))
		return cmocka_run_group_tests_name("lines of a Python", fixture, NULL, NULL);
	return cmocka_run_group_tests_name("lines", tests, NULL, NULL);
}
