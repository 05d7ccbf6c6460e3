// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "support.h"
#include "base/cleanup.h"
#include "format/flame.h"
#include "format/stacks.h"
#include "snapshot/tables.h"
#include <stdlib.h>

/* Adds SIZE bytes to the traceback of NFRAME lines of one file, the most recent first. */
static void add(struct snapshot_builder *builder, const uint32_t *lines, uint32_t nframe,
		uint32_t total_nframe, uint64_t size)
{
	struct tables *tables = snapshot_builder_tables(builder);
	struct trace trace = {.count = 1, .size = size};
	uint32_t *frames = calloc(nframe + 1, sizeof(*frames));

	assert_non_null(frames);
	for (uint32_t i = 0; i < nframe; i++) {
		struct frame frame = {
			.filename = support_string(builder, "/srv/a.py"),
			.lineno = lines[i],
		};

		support_ok(tables_frame(tables, &frame, &frames[i]));
	}
	support_ok(tables_traceback(tables, frames, nframe, total_nframe, &trace.traceback));
	support_ok(snapshot_builder_trace(builder, &trace));
	free(frames);
}

static uint32_t node_line(const struct snapshot *snapshot, const struct flame_node *node)
{
	return snapshot->tables->frames[node->frame].lineno;
}

/* The place of PARENT's child of that KIND and, if it is a frame, of that LINE. */
static uint32_t child(const struct snapshot *snapshot, const struct flame *flame, uint32_t parent,
		      enum flame_kind kind, uint32_t line)
{
	for (uint32_t i = 1; i < flame->count; i++) {
		const struct flame_node *node = &flame->nodes[i];

		if (node->parent == parent && node->kind == kind &&
		    (kind != FLAME_FRAME || node_line(snapshot, node) == line))
			return i;
	}
	fail_msg("node %u has no child of kind %d and line %u", parent, (int)kind, line);
	return 0;
}

/* Each node's parent comes before it, and all of them add up to what SNAPSHOT holds. */
static void assert_whole(const struct flame *flame, const struct snapshot *snapshot,
			 const struct snapshot *base)
{
	struct snapshot_totals totals = snapshot_totals(snapshot);
	struct flame_node sum = {0};
	size_t smaller = 0;

	assert_int_equal(flame->nodes[0].kind, FLAME_ROOT);
	for (size_t i = 0; i < flame->count; i++) {
		const struct flame_node *node = &flame->nodes[i];

		assert_true(i == 0 || node->parent < i);
		assert_true(node->kind == FLAME_SMALLER || node->smaller == 0);
		assert_true(flame->nodes[node->parent].kind != FLAME_SMALLER);
		smaller += node->smaller;
		sum.size += node->size;
		sum.count += node->count;
		sum.old_size += node->old_size;
		sum.old_count += node->old_count;
	}
	assert_int_equal(smaller, flame->smaller + flame->deeper);
	assert_int_equal(sum.size, totals.size);
	assert_int_equal(sum.count, totals.count);
	totals = base ? snapshot_totals(base) : (struct snapshot_totals){0};
	assert_int_equal(sum.old_size, totals.size);
	assert_int_equal(sum.old_count, totals.count);
}

static void merge(const struct snapshot *snapshot, const struct snapshot *base, bool leaf_first,
		  struct flame *ret)
{
	cleanup(stacks_cleanup) struct stacks stacks = {0};

	support_ok(stacks_init(&stacks, snapshot, base));
	support_ok(flame_init(ret, &stacks, leaf_first));
	assert_whole(ret, snapshot, base);
}

static struct snapshot *three_stacks(struct tables *tables)
{
	struct snapshot_builder *builder;
	struct snapshot *snapshot;

	support_ok(snapshot_builder_create(tables, &builder));
	add(builder, (uint32_t[]){3, 2, 1}, 3, 3, 100);
	add(builder, (uint32_t[]){2, 1}, 2, 2, 10);
	add(builder, (uint32_t[]){3, 4, 1}, 3, 9, 5);
	support_ok(snapshot_builder_finish(builder, &snapshot));
	return snapshot;
}

static void test_callers_first(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = three_stacks(NULL);
	cleanup(flame_cleanup) struct flame flame = {0};
	uint32_t one, two, cut;

	(void)state;
	merge(snapshot, NULL, false, &flame);
	assert_int_equal(flame.count, 8);
	one = child(snapshot, &flame, 0, FLAME_FRAME, 1);
	two = child(snapshot, &flame, one, FLAME_FRAME, 2);
	assert_int_equal(flame.nodes[one].size, 0);
	assert_int_equal(flame.nodes[two].size, 10);
	assert_int_equal(flame.nodes[child(snapshot, &flame, two, FLAME_FRAME, 3)].size, 100);
	/* What was called by frames that were not kept is not called by the root. */
	cut = child(snapshot, &flame, 0, FLAME_CUT, 0);
	one = child(snapshot, &flame, cut, FLAME_FRAME, 1);
	two = child(snapshot, &flame, one, FLAME_FRAME, 4);
	assert_int_equal(flame.nodes[child(snapshot, &flame, two, FLAME_FRAME, 3)].size, 5);
}

static void test_leaf_first(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = three_stacks(NULL);
	cleanup(flame_cleanup) struct flame flame = {0};
	uint32_t three, two, one;

	(void)state;
	merge(snapshot, NULL, true, &flame);
	three = child(snapshot, &flame, 0, FLAME_FRAME, 3);
	two = child(snapshot, &flame, three, FLAME_FRAME, 2);
	assert_int_equal(flame.nodes[child(snapshot, &flame, two, FLAME_FRAME, 1)].size, 100);
	one = child(snapshot, &flame, child(snapshot, &flame, three, FLAME_FRAME, 4), FLAME_FRAME,
		    1);
	assert_int_equal(flame.nodes[child(snapshot, &flame, one, FLAME_CUT, 0)].size, 5);
	two = child(snapshot, &flame, 0, FLAME_FRAME, 2);
	assert_int_equal(flame.nodes[child(snapshot, &flame, two, FLAME_FRAME, 1)].size, 10);
}

static void test_difference(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *old = three_stacks(NULL);
	cleanup(snapshot_cleanup) struct snapshot *new = NULL;
	cleanup(flame_cleanup) struct flame flame = {0};
	struct snapshot_builder *builder;
	uint32_t one, two;

	(void)state;
	support_ok(snapshot_builder_create(old->tables, &builder));
	add(builder, (uint32_t[]){2, 1}, 2, 2, 70);
	add(builder, (uint32_t[]){9}, 1, 1, 1000);
	support_ok(snapshot_builder_finish(builder, &new));
	merge(new, old, false, &flame);
	assert_int_equal(flame.nodes[child(new, &flame, 0, FLAME_FRAME, 9)].size, 1000);
	one = child(new, &flame, 0, FLAME_FRAME, 1);
	two = child(new, &flame, one, FLAME_FRAME, 2);
	assert_int_equal(flame.nodes[two].size, 70);
	assert_int_equal(flame.nodes[two].old_size, 10);
	/* One that vanished. */
	two = child(new, &flame, two, FLAME_FRAME, 3);
	assert_int_equal(flame.nodes[two].size, 0);
	assert_int_equal(flame.nodes[two].old_size, 100);
}

static void test_bounded(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup(flame_cleanup) struct flame flame = {0};
	struct snapshot_builder *builder;
	uint32_t rest;

	(void)state;
	support_ok(snapshot_builder_create(NULL, &builder));
	for (uint32_t i = 0; i < FLAME_NODE_MAX + 999; i++)
		add(builder, &i, 1, 1, i + 1);
	support_ok(snapshot_builder_finish(builder, &snapshot));
	merge(snapshot, NULL, false, &flame);
	/* The root is one of those that are kept, and the smallest ones are not. */
	assert_int_equal(flame.smaller, 1000);
	assert_int_equal(flame.count, FLAME_NODE_MAX + 1);
	rest = child(snapshot, &flame, 0, FLAME_SMALLER, 0);
	assert_int_equal(flame.nodes[rest].smaller, 1000);
	assert_int_equal(flame.nodes[rest].count, 1000);
	assert_int_equal(flame.nodes[rest].size, 1000 * 1001 / 2);
	assert_int_equal(flame.nodes[1].size, FLAME_NODE_MAX + 999);
}

static void test_deep(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup(flame_cleanup) struct flame flame = {0};
	static uint32_t lines[65535];
	struct snapshot_builder *builder;

	(void)state;
	for (uint32_t i = 0; i < array_size(lines); i++)
		lines[i] = i;
	support_ok(snapshot_builder_create(NULL, &builder));
	add(builder, lines, array_size(lines), array_size(lines), 64);
	support_ok(snapshot_builder_finish(builder, &snapshot));
	merge(snapshot, NULL, false, &flame);
	assert_int_equal(flame.deeper, 1);
	assert_int_equal(flame.smaller, 0);
	assert_int_equal(flame.count, 1 + FLAME_DEPTH_MAX + 1);
}

static void test_chance(void **state)
{
	(void)state;
	for (unsigned int seed = 0; seed < 20; seed++) {
		cleanup(snapshot_cleanup) struct snapshot *snapshot =
			support_snapshot_random(seed, seed * 100);
		cleanup(flame_cleanup) struct flame callers = {0}, leaves = {0};

		merge(snapshot, NULL, false, &callers);
		merge(snapshot, snapshot, true, &leaves);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_callers_first), cmocka_unit_test(test_leaf_first),
		cmocka_unit_test(test_difference),    cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_deep),          cmocka_unit_test(test_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
