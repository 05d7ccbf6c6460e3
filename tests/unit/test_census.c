// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Censuses of made-up heaps: types, owners, fields, and what malloc has. */
#include "support.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/output.h"
#include "format/census_json.h"
#include "snapshot/census.h"

static void item_add(struct census *census, enum census_kind kind, const char *type,
		     const char *part, uint64_t count, uint64_t size)
{
	const struct census_item item = {kind, (char *)type, (char *)part, count, size};

	support_ok(census_add_item(census, &item));
}

static struct census *census_new(void)
{
	struct census *census;

	support_ok(census_create(&census));
	census->info.command_line = strdup("python3 \xc3\xa4.py");
	census->info.host = strdup("h");
	census->info.container = strdup("");
	census->info.pid = 7;
	census->info.allocated_blocks = UINT64_MAX;
	census->info.malloc_vanished = 8192;
	census->info.allocators_unread = strdup("mimalloc, libx.so");
	census->info.objects_unread = strdup("mimalloc");
	census->info.allocators_unknown = strdup("raw: liby.so");
	census->info.unaccounted = 4096;
	return census;
}

/* Two types, one of them twice, as two classes of one name are. */
static struct census *census_some(void)
{
	struct census *census = census_new();

	item_add(census, CENSUS_OWNED, "dict", "keys", 3, 300);
	item_add(census, CENSUS_OBJECT, "dict", "", 3, 192);
	item_add(census, CENSUS_OBJECT, "m.C", "", 2, 100);
	item_add(census, CENSUS_OBJECT, "m.C", "", 1, 50);
	item_add(census, CENSUS_UNREFERENCED, "m.C", "", 1, 50);
	item_add(census, CENSUS_INDIRECT, "dict", "keys", 1, 16);
	item_add(census, CENSUS_UNOWNED, "", "", 1, 32);
	support_ok(census_add_size(census, &(struct census_size){64, 0, false, 3, 192}));
	support_ok(census_add_size(census, &(struct census_size){16, 0, false, 1, 16}));
	support_ok(census_add_size(census, &(struct census_size){2048, 1024, true, 2, 3000}));
	support_ok(census_add_part(census, "stacks", 4096));
	support_ok(census_finish(census));
	return census;
}

static void assert_row(const struct census_rows *rows, size_t i, const char *name, uint64_t count,
		       uint64_t size, uint64_t owned)
{
	assert_true(i < rows->count);
	assert_string_equal(rows->rows[i].name, name);
	assert_int_equal(rows->rows[i].count, count);
	assert_int_equal(rows->rows[i].size, size);
	assert_int_equal(rows->rows[i].owned, owned);
}

/* Of like items one is left, and sizes are in order. */
static void test_finish(void **state)
{
	cleanup(census_cleanup) struct census *census = census_some();

	(void)state;
	assert_int_equal(census->item_count, 6);
	assert_int_equal(census->size_count, 3);
	assert_int_equal(census->sizes[0].size, 16);
}

/* What census_some() is grouped to; its rows outlive it. */
static struct census_rows *some_rows(enum census_by by)
{
	cleanup(census_cleanup) struct census *census = census_some();
	struct census_rows *rows;

	support_ok(census_group(census, NULL, by, &rows));
	return rows;
}

static void test_by_part(void **state)
{
	cleanup(census_rows_cleanup) struct census_rows *rows = some_rows(CENSUS_BY_PART);

	(void)state;
	assert_int_equal(rows->count, 6);
	assert_row(rows, 0, "dict: keys", 3, 300, 0);
	assert_row(rows, 1, "dict", 3, 192, 0);
	assert_row(rows, 2, "m.C", 3, 150, 0);
	assert_row(rows, 3, "m.C, unreferenced", 1, 50, 0);
	assert_row(rows, 4, "(pymalloc: no object, no owner found)", 1, 32, 0);
	assert_row(rows, 5, "dict: behind keys", 1, 16, 0);
	assert_int_equal(rows->total_size, 740);
}

/* What is no object is one row, whether or not somebody looked for its owners. */
static void test_by_type(void **state)
{
	cleanup(census_rows_cleanup) struct census_rows *rows = some_rows(CENSUS_BY_TYPE);

	(void)state;
	assert_int_equal(rows->count, 4);
	assert_row(rows, 0, "(no object)", 5, 348, 0);
	assert_row(rows, 1, "dict", 3, 192, 0);
	assert_row(rows, 2, "m.C", 3, 150, 0);
	assert_row(rows, 3, "m.C, unreferenced", 1, 50, 0);
	assert_int_equal(rows->total_size, 740);
}

static void test_by_owner(void **state)
{
	cleanup(census_rows_cleanup) struct census_rows *rows = some_rows(CENSUS_BY_OWNER);

	(void)state;
	assert_int_equal(rows->count, 4);
	assert_row(rows, 0, "dict", 3, 508, 316);
	assert_row(rows, 1, "m.C", 3, 150, 0);
	assert_int_equal(rows->total_size, 740);
}

static void test_by_size(void **state)
{
	cleanup(census_rows_cleanup) struct census_rows *rows = some_rows(CENSUS_BY_SIZE);

	(void)state;
	assert_int_equal(rows->count, 3);
	assert_row(rows, 0, "malloc: above 1024 B, up to 2048 B", 2, 3000, 0);
	assert_row(rows, 1, "64 B", 3, 192, 0);
}

/* By how much they changed, as compare_to() has it: what came, what went, what stayed. */
static void test_compared(void **state)
{
	cleanup(census_cleanup) struct census *old = census_some(), *new = census_new();
	cleanup(census_rows_cleanup) struct census_rows *rows = NULL;

	(void)state;
	item_add(new, CENSUS_OBJECT, "dict", "", 3, 192);
	item_add(new, CENSUS_OBJECT, "m.C", "", 8, 400);
	item_add(new, CENSUS_OBJECT, "list", "", 1, 56);
	support_ok(census_finish(new));
	support_ok(census_group(new, old, CENSUS_BY_PART, &rows));
	assert_int_equal(rows->count, 7);
	assert_row(rows, 0, "dict: keys", 0, 0, 0);
	assert_int_equal(rows->rows[0].size_before, 300);
	assert_row(rows, 1, "m.C", 8, 400, 0);
	assert_int_equal(rows->rows[1].count_before, 3);
	assert_row(rows, 2, "list", 1, 56, 0);
	assert_row(rows, 6, "dict", 3, 192, 0);
	assert_int_equal(rows->rows[6].size_before, 192);
}

static void test_empty(void **state)
{
	cleanup(census_cleanup) struct census *census = census_new();
	cleanup(census_rows_cleanup) struct census_rows *rows = NULL;

	(void)state;
	support_ok(census_finish(census));
	support_ok(census_group(census, census, CENSUS_BY_OWNER, &rows));
	assert_int_equal(rows->count, 0);
}

static void test_too_much(void **state)
{
	cleanup(census_cleanup) struct census *census = census_new();

	(void)state;
	item_add(census, CENSUS_OBJECT, "a", "", 1, INT64_MAX);
	item_add(census, CENSUS_OBJECT, "b", "", 1, 1);
	support_fails(census_finish(census), ERROR_FAILED, "2^63");
}

static void census_save(const struct census *census, const char *path)
{
	cleanup(output_cleanup) struct output *output = NULL;

	support_ok(output_create(path, &output));
	support_ok(census_json_write(census, output));
	support_ok(output_commit(output));
}

static void test_json(void **state)
{
	char *folder = support_folder();
	cleanup_free char *path = support_path(folder, "census.json");
	cleanup_free char *again = support_path(folder, "again.json");
	cleanup(census_cleanup) struct census *census = census_some(), *read = NULL;
	cleanup_free uint8_t *one = NULL, *two = NULL;
	size_t size_one, size_two;

	(void)state;
	census_save(census, path);
	support_ok(census_json_read(path, &read));
	assert_int_equal(read->item_count, census->item_count);
	assert_int_equal(read->size_count, 3);
	assert_string_equal(read->parts[0].name, "stacks");
	assert_string_equal(read->info.command_line, census->info.command_line);
	assert_true(read->info.allocated_blocks == UINT64_MAX);
	assert_int_equal(read->info.malloc_vanished, 8192);
	assert_string_equal(read->info.allocators_unread, "mimalloc, libx.so");
	assert_string_equal(read->info.objects_unread, "mimalloc");
	assert_string_equal(read->info.allocators_unknown, "raw: liby.so");
	assert_int_equal(read->info.unaccounted, 4096);
	census_save(read, again);
	one = support_read(path, &size_one);
	two = support_read(again, &size_two);
	assert_int_equal(size_one, size_two);
	assert_memory_equal(one, two, size_one);
	support_folder_remove(folder);
}

/* One of version 1 does not say what came later. */
static void test_json_older(void **state)
{
	static const char text[] =
		"{\"schema\": \"tmbpf-census\", \"version\": %d, \"time_nanos\": 1, \"pid\": 7, "
		"\"command\": \"c\", \"host\": \"h\", \"container\": \"\", "
		"\"malloc_absent\": \"\", "
		"\"python_version\": 51053296, \"rss\": 1, \"rss_anonymous\": 1, \"heaps\": 1, "
		"\"arenas\": 1, \"allocated_blocks\": null, \"unstable_pools\": 0, "
		"\"reread_pools\": 0, \"lost_arenas\": 0, \"malloc_unknown\": 4096, "
		"\"memory\": [], \"sizes\": [], \"items\": []}";
	char *folder = support_folder();
	cleanup_free char *path = support_path(folder, "census.json");
	struct census *read;
	char one[1024];

	(void)state;
	snprintf(one, sizeof(one), text, 1);
	support_write(path, one, strlen(one));
	support_ok(census_json_read(path, &read));
	assert_int_equal(read->info.malloc_unknown, 4096);
	assert_int_equal(read->info.malloc_vanished, 0);
	assert_null(read->info.allocators_unread);
	assert_true(read->info.unaccounted == UINT64_MAX);
	census_destroy(read);
	snprintf(one, sizeof(one), text, 2);
	support_write(path, one, strlen(one));
	support_fails(census_json_read(path, &read), ERROR_FAILED, "allocators_unread");
	support_folder_remove(folder);
}

static void assert_refused(const char *folder, const char *text, const char *what)
{
	cleanup_free char *path = support_path(folder, "bad.json");
	struct census *census;

	support_write(path, text, strlen(text));
	support_fails(census_json_read(path, &census), ERROR_FAILED, what);
}

static void test_json_refused(void **state)
{
	char *folder = support_folder();
	cleanup_free char *path = support_path(folder, "census.json");
	cleanup_free char *missing = support_path(folder, "missing.json");
	cleanup(census_cleanup) struct census *census = census_some();
	cleanup_free char *text = NULL;
	struct census *read;
	unsigned int refused = 0;
	uint8_t *data;
	size_t size;

	(void)state;
	support_fails(census_json_read(missing, &read), ERROR_FAILED, "missing.json");
	assert_refused(folder, "", "ends too early");
	assert_refused(folder, "{\"schema\": \"tmbpf", "ends too early");
	assert_refused(folder, "nonsense", "at byte 1");
	assert_refused(folder, "[1, 2]", "not an object");
	assert_refused(folder, "{}", "\"schema\" is missing");
	assert_refused(folder, "{\"schema\": \"else\"}", "\"tmbpf-census\"");
	assert_refused(folder, "{\"schema\": \"tmbpf-census\", \"version\": 3}", "version");
	/* Each word of a good one in turn. */
	census_save(census, path);
	data = support_read(path, &size);
	for (size_t at = 0; at < size; at++) {
		if (data[at] != '"' && (data[at] < '0' || data[at] > '9'))
			continue;
		text = calloc(1, size + 1);
		assert_non_null(text);
		memcpy(text, data, size);
		text[at] = data[at] == '"' ? '[' : '-';
		support_write(path, text, size);
		free(take(text));
		{
			struct error *error = census_json_read(path, &read);

			/* What it makes of it may be a census still: of another name. */
			if (!error)
				census_destroy(read);
			refused += error != NULL;
			error_destroy(error);
		}
	}
	/* Each quote that is none any more, to begin with. */
	assert_true(refused > 100);
	free(data);
	support_folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finish),     cmocka_unit_test(test_by_part),
		cmocka_unit_test(test_by_type),    cmocka_unit_test(test_by_owner),
		cmocka_unit_test(test_by_size),    cmocka_unit_test(test_compared),
		cmocka_unit_test(test_empty),      cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_json),       cmocka_unit_test(test_json_refused),
		cmocka_unit_test(test_json_older),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
