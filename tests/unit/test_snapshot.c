// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support.h"
#include "base/cleanup.h"
#include "snapshot/tables.h"
#include <string.h>

static void test_strings(void **state)
{
	cleanup(tables_cleanup) struct tables *tables = NULL;
	uint32_t one, other, part, with_nul;

	(void)state;
	support_ok(tables_create(&tables));
	support_ok(tables_string(tables, "", 0, &one));
	assert_int_equal(one, 0);
	support_ok(tables_string(tables, "app.py", 6, &one));
	support_ok(tables_string(tables, "app.pyc", 6, &other));
	assert_int_equal(one, other);
	support_ok(tables_string(tables, "app.py", 3, &part));
	assert_int_not_equal(one, part);
	support_ok(tables_string(tables, "a\0b", 3, &with_nul));
	support_ok(tables_string(tables, "a\0b", 3, &other));
	assert_int_equal(with_nul, other);
	assert_string_equal(tables->strings[one], "app.py");
	assert_string_equal(tables->strings[part], "app");
	assert_string_equal(tables->strings[with_nul], "a\xc0\x80"
						       "b");
	assert_int_equal(tables->string_count, 4);
}

static void test_tracebacks(void **state)
{
	cleanup(tables_cleanup) struct tables *tables = NULL;
	struct frame first = {0, 0, 1, 0}, second = {0, 0, 2, 0};
	uint32_t frames[3], one, other;

	(void)state;
	support_ok(tables_create(&tables));
	support_ok(tables_frame(tables, &first, &frames[0]));
	support_ok(tables_frame(tables, &second, &frames[1]));
	support_ok(tables_frame(tables, &first, &frames[2]));
	assert_int_equal(frames[0], frames[2]);
	support_ok(tables_traceback(tables, frames, 2, 2, &one));
	support_ok(tables_traceback(tables, frames, 2, 2, &other));
	assert_int_equal(one, other);
	support_ok(tables_traceback(tables, frames, 2, 3, &other));
	assert_int_not_equal(one, other);
	support_ok(tables_traceback(tables, frames, 1, 1, &one));
	support_ok(tables_traceback(tables, frames + 2, 1, 1, &other));
	assert_int_equal(one, other);
	assert_int_equal(tables_traceback_frame(tables, one, 0)->lineno, 1);
}

/* What has no frame is line 0 of "<unknown>", as tracemalloc has it. */
static void test_no_frame(void **state)
{
	cleanup(tables_cleanup) struct tables *tables = NULL;
	uint32_t none, other;

	(void)state;
	support_ok(tables_create(&tables));
	support_ok(tables_traceback(tables, NULL, 0, 0, &none));
	support_ok(tables_traceback(tables, NULL, 0, 1, &other));
	assert_int_equal(none, other);
	assert_int_equal(tables->tracebacks[none].nframe, 1);
	assert_int_equal(tables->tracebacks[none].total_nframe, 1);
	assert_true(tables_frame_unknown(tables, tables_traceback_frame(tables, none, 0)));
	support_ok(tables_traceback(tables, NULL, 0, 7, &other));
	assert_int_equal(tables->tracebacks[other].total_nframe, 7);
}

static void test_ranks(void **state)
{
	/* In Python's order of (filename, lineno). */
	static const struct {
		const char *filename;
		size_t size;
		uint32_t lineno;
	} ordered[] = {
		{"", 0, 5},
		{"a", 1, 9},
		{"a\0", 2, 1},
		{"a\0b", 3, 1},
		{"a\1", 2, 1},
		{"ab", 2, 1},
		{"b", 1, 1},
		{"b", 1, 2},
		{"b", 1, UINT32_MAX},
		{"\xc3\xa9", 2, 1},
		{"\xed\xb3\xbf", 3, 1},
		{"\xee\x80\x80", 3, 1},
		{"\xf0\x90\x80\x80", 4, 1},
	};
	enum { COUNT = array_size(ordered) };
	cleanup(tables_cleanup) struct tables *tables = NULL;
	cleanup_free uint32_t *ranks = NULL;
	uint32_t indexes[COUNT], named;

	(void)state;
	support_ok(tables_create(&tables));
	for (size_t i = COUNT; i-- > 0;) {
		struct frame frame = {.lineno = ordered[i].lineno};

		support_ok(tables_string(tables, ordered[i].filename, ordered[i].size,
					 &frame.filename));
		support_ok(tables_frame(tables, &frame, &indexes[i]));
		frame.firstlineno = 1;
		support_ok(tables_frame(tables, &frame, &named));
	}
	support_ok(tables_rank_frames(tables, &ranks));
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(ranks[indexes[i]], i);
	/* The function makes no other place. */
	assert_int_equal(ranks[named], ranks[indexes[0]]);
}

static void test_refused(void **state)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *builder = NULL;
	struct frame frame = {.filename = 1};
	struct trace trace = {.traceback = 0};
	uint32_t index = 77, no_frame = 0;
	struct tables *tables;

	(void)state;
	support_ok(snapshot_builder_create(NULL, &builder));
	tables = snapshot_builder_tables(builder);
	support_fails(tables_frame(tables, &frame, &index), ERROR_FAILED,
		      "string that is not there");
	support_fails(tables_traceback(tables, &no_frame, 1, 1, &index), ERROR_FAILED,
		      "frame that is not there");
	support_fails(tables_traceback(tables, &no_frame, 1, 0, &index), ERROR_FAILED,
		      "1 frames with 0");
	assert_int_equal(index, 77);
	support_fails(snapshot_builder_trace(builder, &trace), ERROR_FAILED,
		      "traceback that is not there");
}

/* Two snapshots on the same tables: equal tracebacks have one index, and one outlives the other. */
static void test_shared_tables(void **state)
{
	cleanup(tables_cleanup) struct tables *tables = NULL;
	cleanup(snapshot_cleanup) struct snapshot *one = NULL;
	struct snapshot_builder *builder;
	struct snapshot *other;
	struct trace trace = {.count = 1, .size = 10};

	(void)state;
	support_ok(tables_create(&tables));
	support_ok(snapshot_builder_create(tables, &builder));
	support_ok(tables_traceback(tables, NULL, 0, 0, &trace.traceback));
	support_ok(snapshot_builder_trace(builder, &trace));
	support_ok(snapshot_builder_finish(builder, &one));
	support_ok(snapshot_builder_create(tables, &builder));
	support_ok(snapshot_builder_finish(builder, &other));
	assert_ptr_equal(one->tables, other->tables);
	snapshot_destroy(other);
	tables_release(take(tables));
	assert_string_equal(
		tables_filename(one->tables,
				tables_traceback_frame(one->tables, one->traces[0].traceback, 0)),
		"<unknown>");
}

static void test_traces_add_up(void **state)
{
	cleanup(snapshot_builder_cleanup) struct snapshot_builder *builder = NULL;
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	struct trace trace = {
		.count = 1, .size = 10, .total_count = 3, .total_size = INT64_MAX / 2};
	struct snapshot_totals totals;

	(void)state;
	support_ok(snapshot_builder_create(NULL, &builder));
	support_ok(
		tables_traceback(snapshot_builder_tables(builder), NULL, 0, 0, &trace.traceback));
	support_ok(snapshot_builder_sum(builder, &trace));
	support_ok(snapshot_builder_sum(builder, &trace));
	trace.domain = 1;
	support_fails(snapshot_builder_sum(builder, &trace), ERROR_FAILED, "exceed");
	trace.total_size = 1;
	support_ok(snapshot_builder_sum(builder, &trace));
	support_ok(snapshot_builder_finish(take(builder), &snapshot));
	assert_int_equal(snapshot->trace_count, 2);
	assert_int_equal(snapshot->traces[0].count, 2);
	assert_int_equal(snapshot->traces[0].size, 20);
	assert_int_equal(snapshot->traces[0].total_count, 6);
	assert_int_equal(snapshot->traces[1].domain, 1);
	totals = snapshot_totals(snapshot);
	assert_int_equal(totals.count, 3);
	assert_int_equal(totals.size, 30);
	assert_int_equal(totals.total_count, 9);
	assert_int_equal(totals.total_size, INT64_MAX / 2 * 2 + 1);
}

/* A file of tracemalloc's has a trace for each block, in an order that is kept. */
static void test_traces_apart(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	struct snapshot_builder *builder;
	struct trace trace = {.count = 1, .size = 10};

	(void)state;
	support_ok(snapshot_builder_create(NULL, &builder));
	support_ok(
		tables_traceback(snapshot_builder_tables(builder), NULL, 0, 0, &trace.traceback));
	for (trace.size = 3; trace.size > 0; trace.size--)
		support_ok(snapshot_builder_trace(builder, &trace));
	support_ok(snapshot_builder_finish(builder, &snapshot));
	assert_int_equal(snapshot->trace_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(snapshot->traces[i].size, 3 - i);
}

static void test_losses_add_up(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct snapshot_info *info = &snapshot->info;

	(void)state;
	support_ok(snapshot_info_loss(info, "stack_table_full", "", 3));
	assert_int_equal(info->loss_count, 2);
	assert_int_equal(info->losses[0].count, 20);
	support_ok(snapshot_info_loss(info, "stack_table_full", "", UINT64_MAX));
	assert_true(info->losses[0].count == UINT64_MAX);
}

static void test_version(void **state)
{
	static const struct {
		uint32_t hexversion;
		const char *text;
	} cases[] = {
		{0x030b02f0, "3.11.2"}, {0x030f00a2, "3.15.0a2"}, {0x030e00c1, "3.14.0rc1"},
		{0x03060ff0, "3.6.15"}, {0x030d00b3, "3.13.0b3"}, {0, ""},
	};
	char buffer[32];

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		snapshot_python_version(cases[i].hexversion, buffer, sizeof(buffer));
		assert_string_equal(buffer, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),       cmocka_unit_test(test_tracebacks),
		cmocka_unit_test(test_no_frame),      cmocka_unit_test(test_ranks),
		cmocka_unit_test(test_refused),       cmocka_unit_test(test_shared_tables),
		cmocka_unit_test(test_traces_add_up), cmocka_unit_test(test_traces_apart),
		cmocka_unit_test(test_losses_add_up), cmocka_unit_test(test_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
