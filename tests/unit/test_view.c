// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Tables, reports and JSON, as they are printed. */
#include "support.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "format/json_groups.h"
#include "snapshot/comparison.h"
#include "snapshot/statistics.h"
#include "snapshot/tables.h"
#include "view/difference.h"
#include "view/place.h"
#include "view/python_text.h"
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
		   "lost: tracebacks not kept: 17\n"
		   "lost: none_of_these: 0\n"
		   "selected: 65.0 KiB in 7 blocks\n"
		   "\n");
}

/* What a file that Python dumped says of itself: nothing but the traceback limit. */
static void test_head_not_known(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	struct snapshot_builder *builder;
	struct statistics *statistics;
	struct page page;

	(void)state;
	support_ok(snapshot_builder_create(NULL, &builder));
	snapshot_builder_info(builder)->traceback_limit = 10;
	support_ok(snapshot_builder_finish(builder, &snapshot));
	statistics = statistics_of(snapshot, GROUP_BY_LINENO);
	page_open(&page);
	support_ok(report_print_head(snapshot, statistics, false, page.file));
	page_close(&page, "process and Python version not known, up to 10 frames\n"
			  "held: 0 B in 0 blocks\n"
			  "coverage and losses not known\n"
			  "\n");
	snapshot->info.pid = 5;
	snapshot->info.coverage = 1;
	page_open(&page);
	support_ok(report_print_head(snapshot, statistics, false, page.file));
	page_close(&page, "pid 5\n"
			  "Python version not known, up to 10 frames\n"
			  "held: 0 B in 0 blocks\n"
			  "coverage: 100.0 % of allocations, nothing lost\n"
			  "\n");
	statistics_destroy(statistics);
}

/* Knows two lines of one file. */
static char *line_read(void *context, size_t snapshot, const char *filename, uint32_t lineno)
{
	(void)context;
	if (strcmp(filename, "/srv/app.py") != 0 || lineno == 7)
		return NULL;
	return lineno == 40 ? strdup("put(\"\033\")") : snapshot == 0 ? strdup("") : NULL;
}

static const struct source_lines lines = {line_read, NULL};

static void groups_are(const struct snapshot *snapshot, enum group_by group_by, size_t limit,
		       const char *expected)
{
	cleanup(statistics_cleanup) struct statistics *statistics =
		statistics_of(snapshot, group_by);
	struct page page;

	page_open(&page);
	support_ok(report_print_groups(snapshot, statistics, limit, &lines, page.file));
	page_close(&page, expected);
}

static void test_groups(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();

	(void)state;
	groups_are(snapshot, GROUP_BY_LINENO, 2,
		   "    size   share  count   average  place\n"
		   "64.0 KiB  98.5 %      1  64.0 KiB  /srv/app.py:40 handle\n"
		   "                                     put(\"\\x1b\")\n"
		   "  1000 B   1.5 %      4     250 B  /srv/app.py:12 Cache.put\n"
		   "\n"
		   "1 more not shown: 9 B in 2 blocks; --limit 0 shows all\n");
	groups_are(snapshot, GROUP_BY_FUNCTION, 1,
		   "    size   share  count   average  place\n"
		   "64.0 KiB  98.5 %      1  64.0 KiB  handle (/srv/app.py:33)\n"
		   "\n"
		   "2 more not shown: 1009 B in 6 blocks; --limit 0 shows all\n");
	groups_are(snapshot, GROUP_BY_FILENAME, SIZE_MAX,
		   "    size    share  count   average  place\n"
		   "65.0 KiB  100.0 %      5  13.0 KiB  /srv/app.py\n"
		   "     9 B    0.0 %      2       4 B  <unknown>\n");
	groups_are(snapshot, GROUP_BY_TRACEBACK, 1,
		   "64.0 KiB (98.5 %) in 1 block, 64.0 KiB on average\n"
		   "  (128 older frames were not kept)\n"
		   "  File \"/srv/\\udcff\\xffg\xc3\xb6.py\", line 7, in \xe5\x87\xbd\n"
		   "  File \"/srv/app.py\", line 40, in handle\n"
		   "    put(\"\\x1b\")\n"
		   "\n"
		   "3 more not shown: 1009 B in 6 blocks; --limit 0 shows all\n");
}

static void test_python(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct statistics *statistics = statistics_of(snapshot, GROUP_BY_LINENO);
	struct page page;

	(void)state;
	page_open(&page);
	support_ok(python_print_statistics(snapshot->tables, statistics, 2, page.file));
	page_close(&page, "/srv/app.py:40: size=64.0 KiB, count=1, average=64.0 KiB\n"
			  "/srv/app.py:12: size=1000 B, count=4, average=250 B\n");
	statistics_destroy(statistics);
	statistics = statistics_of(snapshot, GROUP_BY_FILENAME);
	page_open(&page);
	support_ok(python_print_statistics(snapshot->tables, statistics, 9, page.file));
	page_close(&page, "/srv/app.py:0: size=65.0 KiB, count=5, average=13.0 KiB\n"
			  "<unknown>:0: size=9 B, count=2, average=4 B\n");
	statistics_destroy(statistics);
	/* A traceback goes by its oldest frame. */
	statistics = statistics_of(snapshot, GROUP_BY_TRACEBACK);
	page_open(&page);
	support_ok(python_print_statistics(snapshot->tables, statistics, 1, page.file));
	page_close(&page, "/srv/\\udcff\\xffg\xc3\xb6.py:7: size=64.0 KiB, count=1, "
			  "average=64.0 KiB\n");
	statistics_destroy(statistics);
}

/* COUNT snapshots on one tables; SIZES[i][j] bytes at line j + 1 of a.py in the Ith. */
static void compared_make(size_t count, const uint64_t sizes[][3], struct compared *compared)
{
	struct tables *tables;

	support_ok(tables_create(&tables));
	for (size_t i = 0; i < count; i++) {
		struct snapshot_builder *builder;
		struct snapshot *snapshot;
		struct snapshot_info *info;

		support_ok(snapshot_builder_create(tables, &builder));
		info = snapshot_builder_info(builder);
		info->pid = i == 0 ? 0 : 100 + (int32_t)i;
		info->time_nanos = (int64_t)i * 60000000000;
		info->command_line = strdup(i == 0 ? "" : "python3 a.py");
		info->traceback_limit = 25;
		for (uint32_t j = 0; j < 3; j++) {
			struct frame frame = {support_string(builder, "/srv/app.py"), 0, j + 39, 0};
			struct trace trace = {.size = sizes[i][j], .count = sizes[i][j] / 10};
			uint32_t index;

			support_ok(tables_frame(tables, &frame, &index));
			support_ok(tables_traceback(tables, &index, 1, 1, &trace.traceback));
			if (sizes[i][j] > 0)
				support_ok(snapshot_builder_trace(builder, &trace));
		}
		support_ok(snapshot_builder_finish(builder, &snapshot));
		compared[i] = (struct compared){i == 0 ? "a\033" : "b", snapshot};
	}
	tables_release(tables);
}

static struct comparison *comparison_of(const struct compared *compared, size_t count,
					enum group_by group_by)
{
	struct statistics_options options = {.group_by = group_by};
	const struct snapshot *snapshots[3];
	struct comparison *comparison;

	for (size_t i = 0; i < count; i++)
		snapshots[i] = compared[i].snapshot;
	support_ok(comparison_create(snapshots, count, &options, &comparison));
	return comparison;
}

static void compared_free(const struct compared *compared, size_t count)
{
	for (size_t i = 0; i < count; i++)
		snapshot_destroy((struct snapshot *)compared[i].snapshot);
}

static void test_difference(void **state)
{
	static const uint64_t sizes[][3] = {{1000, 20480, 30}, {0, 40960, 30}};
	struct compared compared[2];
	struct comparison *comparison;
	struct page page;

	(void)state;
	compared_make(2, sizes, compared);
	comparison = comparison_of(compared, 2, GROUP_BY_LINENO);
	page_open(&page);
	support_ok(difference_print_head(compared, comparison, false, page.file));
	page_close(
		&page,
		"     file   pid  frames  taken (UTC)          held\n"
		"old  a\\x1b    -      25  -                    21.0 KiB in 2151 blocks\n"
		"new  b      101      25  1970-01-01 00:01:00  40.0 KiB in 4099 blocks\n"
		"command (new): python3 a.py\n"
		"held: 21.0 KiB -> 40.0 KiB (+19.0 KiB, +90.6 %) in 2151 -> 4099 blocks (+1948)\n");
	page_open(&page);
	support_ok(difference_print_groups(compared, compared->snapshot->tables, comparison, 9,
					   &lines, page.file));
	page_close(&page, "size_diff    change      size  count_diff  count  place\n"
			  "+20.0 KiB  +100.0 %  40.0 KiB       +2048   4096  /srv/app.py:40\n"
			  "                                                    put(\"\\x1b\")\n"
			  "  -1000 B      gone       0 B        -100      0  /srv/app.py:39\n"
			  "\n"
			  "1 unchanged\n");
	page_open(&page);
	support_ok(difference_print_groups(compared, compared->snapshot->tables, comparison, 1,
					   NULL, page.file));
	page_close(&page, "size_diff    change      size  count_diff  count  place\n"
			  "+20.0 KiB  +100.0 %  40.0 KiB       +2048   4096  /srv/app.py:40\n"
			  "\n"
			  "1 more not shown: -1000 B in -100 blocks; --limit 0 shows all\n"
			  "1 unchanged\n");
	page_open(&page);
	support_ok(python_print_differences(compared->snapshot->tables, comparison, 9, page.file));
	page_close(&page,
		   "/srv/app.py:40: size=40.0 KiB (+20.0 KiB), count=4096 (+2048), average=10 B\n"
		   "/srv/app.py:39: size=0 B (-1000 B), count=0 (-100)\n"
		   "/srv/app.py:41: size=30 B (+0 B), count=3 (+0), average=10 B\n");
	page_open(&page);
	support_ok(difference_print_growth(compared->snapshot->tables, comparison, 9, page.file));
	page_close(&page, "  +20.0 KiB /srv/app.py:40\n");
	comparison_destroy(comparison);
	comparison = comparison_of(compared, 2, GROUP_BY_TRACEBACK);
	page_open(&page);
	support_ok(difference_print_groups(compared, compared->snapshot->tables, comparison, 1,
					   NULL, page.file));
	page_close(&page, "+20.0 KiB (+100.0 %): 20.0 KiB -> 40.0 KiB; count 4096 (+2048)\n"
			  "  File \"/srv/app.py\", line 40\n"
			  "\n"
			  "1 more not shown: -1000 B in -100 blocks; --limit 0 shows all\n"
			  "1 unchanged\n");
	comparison_destroy(comparison);
	compared_free(compared, 2);
}

static void test_differences(void **state)
{
	static const uint64_t sizes[][3] = {{1000, 0, 30}, {2000, 10, 30}, {1500, 20, 30}};
	struct compared compared[3];
	struct comparison *comparison;
	struct page page;

	(void)state;
	compared_make(3, sizes, compared);
	comparison = comparison_of(compared, 3, GROUP_BY_LINENO);
	page_open(&page);
	support_ok(difference_print_groups(compared, compared->snapshot->tables, comparison, 9,
					   NULL, page.file));
	page_close(&page,
		   "size 1  size 2  size 3  size_diff  count_diff  grows      place\n"
		   "   0 B    10 B    20 B      +20 B          +2  each step  /srv/app.py:40\n"
		   "1000 B  2000 B  1500 B     +500 B         +50             /srv/app.py:39\n"
		   "\n"
		   "1 unchanged\n");
	comparison_destroy(comparison);
	compared_free(compared, 3);
}

/* The document that was printed to PAGE; to be put back. */
static struct json_object *page_parse(struct page *page)
{
	struct json_object *parsed;

	assert_int_equal(fclose(page->file), 0);
	parsed = json_tokener_parse(page->text);
	free(page->text);
	assert_non_null(parsed);
	return parsed;
}

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(object, key, &value));
	return value;
}

static void test_json(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	cleanup(statistics_cleanup) struct statistics *statistics =
		statistics_of(snapshot, GROUP_BY_TRACEBACK);
	struct json_object *parsed, *info, *items;
	struct page page;

	(void)state;
	page_open(&page);
	support_ok(json_print_statistics(snapshot, statistics, 1, page.file));
	parsed = page_parse(&page);
	info = member(parsed, "snapshot");
	assert_string_equal(json_object_get_string(member(info, "command_line")),
			    "python3 -c 'print(\"=\")'\n\xef\xbf\xbd");
	assert_int_equal(json_object_array_length(member(info, "losses")), 2);
	assert_int_equal(json_object_get_int(member(parsed, "groups_left_out")), 3);
	items = member(parsed, "statistics");
	assert_int_equal(json_object_array_length(items), 1);
	items = json_object_array_get_idx(items, 0);
	assert_int_equal(json_object_array_length(member(items, "traceback")), 2);
	assert_int_equal(json_object_get_int(member(items, "total_nframe")), 130);
	json_object_put(parsed);
	/* None at all. */
	page_open(&page);
	support_ok(json_print_statistics(snapshot, statistics, 0, page.file));
	parsed = page_parse(&page);
	assert_int_equal(json_object_array_length(member(parsed, "statistics")), 0);
	json_object_put(parsed);
}

static void test_json_differences(void **state)
{
	static const uint64_t sizes[][3] = {{1000, 0, 30}, {2000, 10, 30}, {1500, 20, 30}};
	struct compared compared[3];
	struct comparison *comparison;
	struct json_object *parsed, *item;
	struct json json;
	struct page page;

	(void)state;
	compared_make(3, sizes, compared);
	comparison = comparison_of(compared, 3, GROUP_BY_LINENO);
	json_differences_init(&json);
	json_real(&json, json.root, "nan", 0.0 / 0.0);
	page_open(&page);
	support_ok(json_print_differences(&json, compared->snapshot->tables, comparison, 2,
					  page.file));
	parsed = page_parse(&page);
	assert_null(member(parsed, "nan"));
	assert_int_equal(json_object_get_int(member(parsed, "size_diff")), 520);
	assert_int_equal(json_object_get_int(member(parsed, "groups_left_out")), 1);
	item = json_object_array_get_idx(member(parsed, "differences"), 1);
	assert_int_equal(json_object_get_int(member(item, "size")), 1500);
	assert_int_equal(json_object_get_int(member(item, "count_diff")), 50);
	assert_false(json_object_get_boolean(member(item, "grows")));
	assert_int_equal(json_object_array_length(member(item, "values")), 3);
	json_object_put(parsed);
	json_deinit(&json);
	comparison_destroy(comparison);
	compared_free(compared, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_head_not_known),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_python),
		cmocka_unit_test(test_difference),
		cmocka_unit_test(test_differences),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_differences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
