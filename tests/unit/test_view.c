// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Tables, reports and JSON, as they are printed. */
#include "support.h"
#include "base/cleanup.h"
#include "format/json.h"
#include "snapshot/statistics.h"
#include "view/report.h"
#include "view/table.h"
#include <json-c/json.h>
#include <locale.h>
#include <string.h>

/* What a test prints to FILE is TEXT once the file is closed. */
struct page {
	FILE *file;
	char *text;
	size_t size;
};

static void page_open(struct page *page)
{
	page->file = open_memstream(&page->text, &page->size);
	assert_non_null(page->file);
}

static void page_close(struct page *page, const char *expected)
{
	assert_int_equal(fclose(page->file), 0);
	if (strcmp(page->text, expected) != 0)
		fail_msg("printed:\n%s\nexpected:\n%s", page->text, expected);
	free(page->text);
}

static void test_table(void **state)
{
	static const struct table_column columns[] = {
		{"size", true}, {"name", false}, {"place", false}};
	static const char *const rows[][3] = {
		{"1", "\xe5\x87\xbd\xe6\x95\xb0", "x"}, {"12345", "ab", "\033y"}, {"", "", ""}};
	cleanup(table_cleanup) struct table *table = NULL;
	struct page page;

	(void)state;
	assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
	support_ok(table_create(columns, array_size(columns), &table));
	page_open(&page);
	table_print(table, page.file, true);
	page_close(&page, "");
	for (size_t i = 0; i < array_size(rows); i++)
		support_ok(table_row(table, rows[i]));
	support_ok(table_note(table, "a note"));
	page_open(&page);
	table_print(table, page.file, false);
	page_close(&page, " size  name  place\n"
			  "    1  \xe5\x87\xbd\xe6\x95\xb0  x\n"
			  "12345  ab    \\x1by\n"
			  "             \n"
			  "             a note\n");
	page_open(&page);
	table_print(table, page.file, true);
	assert_int_equal(fclose(page.file), 0);
	assert_memory_equal(page.text, "\033[1m size  name  place\033[0m\n", 26);
	free(page.text);
	table_destroy(NULL);
}

static struct statistics *statistics_of(const struct snapshot *snapshot, enum group_by group_by)
{
	struct statistics_options options = {.group_by = group_by};
	struct statistics *statistics;

	support_ok(statistics_create(snapshot, &options, &statistics));
	return statistics;
}

static void test_head(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	cleanup(statistics_cleanup) struct statistics *statistics =
		statistics_of(snapshot, GROUP_BY_LINENO);
	struct page page;

	(void)state;
	page_open(&page);
	support_ok(report_print_head(snapshot, statistics, true, page.file));
	page_close(&page,
		   "pid 4711: python3 -c 'print(\"=\")'\\x0a\\xff, on host\n"
		   "CPython 3.11.2, exact, up to 25 frames, traced for 12.3 s, "
		   "until 2025-11-21 00:00:00 UTC\n"
		   "held: 65.0 KiB in 7 blocks, current 121 KiB, peak 229 KiB, RSS 9419 MiB\n"
		   "coverage: 30.0 % of allocations (each caller of the refill function is "
		   "attributed)\n"
		   "lost: 17 tracebacks not kept\n"
		   "lost: 0 none_of_these\n"
		   "selected: 65.0 KiB in 7 blocks\n"
		   "\n");
}

static void test_groups(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct statistics *statistics = statistics_of(snapshot, GROUP_BY_LINENO);
	struct page page;

	(void)state;
	page_open(&page);
	support_ok(report_print_groups(snapshot, statistics, 2, page.file));
	page_close(&page, "    size   share  count   average  place\n"
			  "64.0 KiB  98.5 %      1  64.0 KiB  /srv/app.py:40 handle\n"
			  "  1000 B   1.5 %      4     250 B  /srv/app.py:12 Cache.put\n"
			  "\n"
			  "1 more not shown: 9 B in 2 blocks; --limit says how many are\n");
	statistics_destroy(statistics);
	statistics = statistics_of(snapshot, GROUP_BY_FUNCTION);
	page_open(&page);
	support_ok(report_print_groups(snapshot, statistics, 1, page.file));
	assert_int_equal(fclose(page.file), 0);
	assert_non_null(strstr(page.text, "  handle (/srv/app.py:33)\n"));
	free(page.text);
	statistics_destroy(statistics);
	statistics = statistics_of(snapshot, GROUP_BY_TRACEBACK);
	page_open(&page);
	support_ok(report_print_groups(snapshot, statistics, 1, page.file));
	assert_int_equal(fclose(page.file), 0);
	assert_non_null(strstr(page.text, "  /srv/app.py:40 handle\n"));
	assert_non_null(strstr(page.text, "    /srv/\\udcff\\xffg\xc3\xb6.py:7 \xe5\x87\xbd\n"));
	assert_non_null(strstr(page.text, "    and 128 older frames\n"));
	free(page.text);
	statistics_destroy(statistics);
}

static void test_json(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	cleanup(statistics_cleanup) struct statistics *statistics =
		statistics_of(snapshot, GROUP_BY_TRACEBACK);
	cleanup(json_deinit) struct json json;
	struct json_object *object, *parsed, *info;
	struct page page;

	(void)state;
	json_init(&json);
	json_snapshot_info(&json, json_new_object(&json, json.root, "snapshot"), &snapshot->info);
	json_statistics(&json, json.root, snapshot, statistics, 1);
	json_real(&json, json.root, "nan", 0.0 / 0.0);
	page_open(&page);
	support_ok(json_print(&json, page.file));
	assert_int_equal(fclose(page.file), 0);
	parsed = json_tokener_parse(page.text);
	free(page.text);
	assert_non_null(parsed);
	assert_true(json_object_object_get_ex(parsed, "snapshot", &info));
	assert_true(json_object_object_get_ex(info, "command_line", &object));
	assert_string_equal(json_object_get_string(object),
			    "python3 -c 'print(\"=\")'\n\xef\xbf\xbd");
	assert_true(json_object_object_get_ex(info, "losses", &object));
	assert_int_equal(json_object_array_length(object), 2);
	assert_true(json_object_object_get_ex(parsed, "groups_left_out", &object));
	assert_int_equal(json_object_get_int(object), 3);
	assert_true(json_object_object_get_ex(parsed, "nan", &object));
	assert_null(object);
	assert_true(json_object_object_get_ex(parsed, "statistics", &object));
	assert_int_equal(json_object_array_length(object), 1);
	object = json_object_array_get_idx(object, 0);
	assert_true(json_object_object_get_ex(object, "traceback", &info));
	assert_int_equal(json_object_array_length(info), 2);
	assert_true(json_object_object_get_ex(object, "total_nframe", &info));
	assert_int_equal(json_object_get_int(info), 130);
	json_object_put(parsed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
