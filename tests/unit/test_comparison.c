// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What Python itself says to the same is compared in tests/oracle/snapshots. */
#include "support.h"
#include "base/cleanup.h"
#include "snapshot/comparison.h"
#include "snapshot/merge.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"

struct held {
	uint32_t lineno;
	uint64_t count, size;
};

/* A snapshot of "/a.py" on TABLES: what the lines of HELD, up to line 0, hold. */
static struct snapshot *holding(struct tables *tables, const struct held *held)
{
	struct snapshot_builder *builder;
	struct snapshot *snapshot;

	support_ok(snapshot_builder_create(tables, &builder));
	for (; held->lineno; held++) {
		struct trace trace = {.count = held->count, .size = held->size};
		struct frame frame = {support_string(builder, "/a.py"), 0, held->lineno, 0};
		uint32_t index;

		support_ok(tables_frame(tables, &frame, &index));
		support_ok(tables_traceback(tables, &index, 1, 1, &trace.traceback));
		support_ok(snapshot_builder_trace(builder, &trace));
	}
	support_ok(snapshot_builder_finish(builder, &snapshot));
	return snapshot;
}

struct expected {
	int64_t lineno;
	int64_t size_diff, count_diff;
	bool grows;
};

static void assert_differences(const struct tables *tables, const struct comparison *comparison,
			       const struct expected *expected, size_t count)
{
	assert_int_equal(comparison->count, count);
	for (size_t i = 0; i < count; i++) {
		const struct difference *item = &comparison->items[i];

		assert_int_equal(tables->frames[item->frame].lineno, expected[i].lineno);
		assert_true(item->size_diff == expected[i].size_diff);
		assert_true(item->count_diff == expected[i].count_diff);
		assert_int_equal(item->grows, expected[i].grows);
	}
}

static void test_two(void **state)
{
	static const struct held old[] = {{1, 2, 20}, {2, 1, 500}, {3, 4, 40}, {5, 1, 7}, {0}};
	static const struct held new[] = {{1, 3, 60}, {3, 4, 40}, {4, 1, 40}, {5, 2, 7}, {0}};
	/* By |size_diff|, size, |count_diff|, count, place, all descending. */
	static const struct expected expected[] = {
		{2, -500, -1, false}, {1, 40, 1, true}, {4, 40, 1, true},
		{3, 0, 0, false},     {5, 0, 1, false},
	};
	cleanup(tables_cleanup) struct tables *tables = NULL;
	cleanup(comparison_cleanup) struct comparison *comparison = NULL;
	struct statistics_options options = {0};
	struct snapshot *snapshots[2];

	(void)state;
	support_ok(tables_create(&tables));
	snapshots[0] = holding(tables, old);
	snapshots[1] = holding(tables, new);
	support_ok(comparison_create((const struct snapshot *const *)snapshots, 2, &options,
				     &comparison));
	assert_differences(tables, comparison, expected, array_size(expected));
	assert_int_equal(comparison->values[comparison->items[0].values].size, 500);
	assert_int_equal(comparison->values[comparison->items[0].values + 1].size, 0);
	assert_int_equal(comparison->totals[0].size, 567);
	assert_int_equal(comparison->totals[1].count, 10);
	snapshot_destroy(snapshots[0]);
	snapshot_destroy(snapshots[1]);
}

/* What grows in each step comes first, however little. */
static void test_three(void **state)
{
	static const struct held first[] = {{1, 1, 10}, {2, 1, 10}, {3, 1, 1000}, {0}};
	static const struct held second[] = {{1, 2, 20}, {2, 1, 5}, {4, 1, 1}, {5, 1, 9}, {0}};
	static const struct held third[] = {{1, 3, 30}, {2, 9, 900}, {4, 1, 2}, {0}};
	static const struct expected expected[] = {
		{1, 20, 2, true},   {4, 2, 1, true},  {3, -1000, -1, false},
		{2, 890, 8, false}, {5, 0, 0, false},
	};
	cleanup(tables_cleanup) struct tables *tables = NULL;
	cleanup(comparison_cleanup) struct comparison *comparison = NULL;
	struct statistics_options options = {0};
	struct snapshot *snapshots[3];

	(void)state;
	support_ok(tables_create(&tables));
	snapshots[0] = holding(tables, first);
	snapshots[1] = holding(tables, second);
	snapshots[2] = holding(tables, third);
	support_ok(comparison_create((const struct snapshot *const *)snapshots, 3, &options,
				     &comparison));
	assert_differences(tables, comparison, expected, array_size(expected));
	for (size_t i = 0; i < 3; i++)
		snapshot_destroy(snapshots[i]);
}

/* Three processes side by side: what differs most comes first, nothing grows. And all together. */
static void test_processes(void **state)
{
	static const struct held first[] = {{1, 1, 10}, {2, 1, 10}, {3, 5, 1000}, {0}};
	static const struct held second[] = {{1, 2, 20}, {2, 1, 10}, {4, 1, 1}, {0}};
	static const struct held third[] = {{1, 9, 900}, {2, 1, 10}, {4, 1, 2}, {0}};
	static const struct expected expected[] = {
		{3, 1000, 5, false},
		{1, 890, 8, false},
		{4, 2, 1, false},
		{2, 0, 0, false},
	};
	cleanup(tables_cleanup) struct tables *tables = NULL;
	cleanup(comparison_cleanup) struct comparison *comparison = NULL;
	cleanup(snapshot_cleanup) struct snapshot *sum = NULL;
	struct statistics_options options = {0};
	struct snapshot *snapshots[3];
	struct snapshot_totals totals;

	(void)state;
	support_ok(tables_create(&tables));
	snapshots[0] = holding(tables, first);
	snapshots[1] = holding(tables, second);
	snapshots[2] = holding(tables, third);
	for (int i = 0; i < 3; i++) {
		snapshots[i]->info.pid = 10 + i;
		snapshots[i]->info.rss = 100;
		snapshots[i]->info.coverage = i == 1 ? 0.5 : 1;
		snapshots[i]->info.traceback_limit = 25;
		support_ok(snapshot_info_loss(&snapshots[i]->info, "ring_full", "text", 2));
	}
	support_ok(comparison_create((const struct snapshot *const *)snapshots, 3, &options,
				     &comparison));
	comparison_set_side_by_side(comparison);
	assert_differences(tables, comparison, expected, array_size(expected));
	support_ok(snapshot_merge((const struct snapshot *const *)snapshots, 3, &sum));
	totals = snapshot_totals(sum);
	assert_int_equal(totals.size, 1020 + 31 + 912);
	assert_int_equal(totals.count, 7 + 4 + 11);
	assert_int_equal(sum->trace_count, 4);
	assert_int_equal(sum->info.pid, 0);
	assert_int_equal(sum->info.rss, 300);
	assert_int_equal(sum->info.traceback_limit, 25);
	assert_true(sum->info.coverage == 0.5);
	assert_true(sum->info.peak_unmeasured);
	assert_int_equal(sum->info.loss_count, 1);
	assert_int_equal(sum->info.losses[0].count, 6);
	for (size_t i = 0; i < 3; i++)
		snapshot_destroy(snapshots[i]);
}

static void test_refused(void **state)
{
	static const struct held nothing[] = {{0}};
	static const struct held much[] = {{1, 1, INT64_MAX}, {0}};
	cleanup(tables_cleanup) struct tables *tables = NULL;
	cleanup(tables_cleanup) struct tables *others = NULL;
	struct statistics_options options = {0};
	struct comparison *comparison;
	struct snapshot *snapshots[2];

	(void)state;
	support_ok(tables_create(&tables));
	support_ok(tables_create(&others));
	snapshots[0] = holding(tables, nothing);
	snapshots[1] = holding(others, nothing);
	support_fails(comparison_create((const struct snapshot *const *)snapshots, 1, &options,
					&comparison),
		      ERROR_USAGE, "two snapshots");
	support_fails(comparison_create((const struct snapshot *const *)snapshots, 2, &options,
					&comparison),
		      ERROR_FAILED, "tables of their own");
	snapshot_destroy(snapshots[1]);
	snapshots[1] = holding(tables, much);
	support_ok(comparison_create((const struct snapshot *const *)snapshots, 2, &options,
				     &comparison));
	assert_true(comparison->items[0].size_diff == INT64_MAX);
	comparison_destroy(comparison);
	comparison_destroy(NULL);
	snapshot_destroy(snapshots[0]);
	snapshot_destroy(snapshots[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two),
		cmocka_unit_test(test_three),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
