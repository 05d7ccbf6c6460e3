// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What Python itself says to the same is compared in tests/bats/offline.bats. */
#include "support.h"
#include "base/cleanup.h"
#include "snapshot/filter.h"
#include "snapshot/statistics.h"
#include "snapshot/tables.h"

/* The results are those of Python's fnmatch.fnmatchcase(text, pattern). */
static const struct {
	const char *pattern, *text;
	bool matches;
} patterns[] = {
	{"", "", true},
	{"", "a", false},
	{"*", "", true},
	{"*", "/a/.b", true},
	{"a*c", "abcbc", true},
	{"a*c", "abcb", false},
	{"*a*b*", "xxaxxbxx", true},
	{"*a*b*", "xxbxxaxx", false},
	{"a**b", "ab", true},
	{"?", "", false},
	{"?", "\xe5\x87\xbd", true},
	{"??", "\xe5\x87\xbd", false},
	{"[abc]", "b", true},
	{"[!abc]", "b", false},
	{"[!abc]", "d", true},
	{"[]]", "]", true},
	{"[!]]", "]", false},
	{"[!]]", "x", true},
	{"[^a]", "^", true},
	{"[^a]", "b", false},
	{"[a-c]", "b", true},
	{"[c-a]", "b", false},
	{"[c-a]", "-", false},
	{"[!c-a]", "b", true},
	{"[a-]", "-", true},
	{"[-a]", "-", true},
	{"[a-c-e]", "-", true},
	{"[a-c-e]", "d", false},
	{"[a-c-e]", "e", true},
	{"[--a]", "A", true},
	{"[z-a-c]", "c", true},
	{"[z-a-c]", "b", false},
	{"[z-a!b]", "a", true},
	{"[z-a!b]", "b", false},
	{"[z-a!]", "b", true},
	{"[bz-a!]", "b", true},
	{"[!z-a!]", "!", false},
	{"[\xc3\xa0-\xc3\xbc]", "\xc3\xb6", true},
	{"[", "[", true},
	{"[abc", "[abc", true},
	{"[!", "[!", true},
	{"[]", "[]", true},
	{"[!]", "[!]", true},
	{"[]", "]", false},
	{"a\\*", "a\\b", true},
	{"a\\*", "a*", false},
	{"[\\]", "\\", true},
	{"[[:alpha:]]", "a]", true},
	{"[[:alpha:]]", "a", false},
	{"*.py", "/x/.hidden.py", true},
	{"*.py", "/x/y.pyc", false},
	{"*[!p]", "xp", false},
	{"*[!p]", "px", true},
	{"a\nb", "a\nb", true},
};

static void test_pattern(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(patterns); i++) {
		if (pattern_match(patterns[i].pattern, patterns[i].text) != patterns[i].matches)
			fail_msg("\"%s\" and \"%s\"", patterns[i].pattern, patterns[i].text);
	}
}

/* Many stars and a text that does not match: a backtracking matcher would take for ever. */
static void test_pattern_is_quick(void **state)
{
	char text[2001];

	(void)state;
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = 'a';
	text[sizeof(text) - 1] = '\0';
	assert_false(pattern_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
	assert_true(pattern_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a", text));
}

static void add_trace(struct snapshot_builder *builder, const struct frame *frames, uint32_t nframe,
		      struct trace trace)
{
	struct tables *tables = snapshot_builder_tables(builder);
	uint32_t indexes[8];

	assert_true(nframe <= array_size(indexes));
	for (uint32_t i = 0; i < nframe; i++)
		support_ok(tables_frame(tables, &frames[i], &indexes[i]));
	support_ok(tables_traceback(tables, indexes, nframe, nframe, &trace.traceback));
	support_ok(snapshot_builder_trace(builder, &trace));
}

static struct snapshot *example(void)
{
	struct snapshot_builder *builder;
	struct snapshot *snapshot;
	struct frame frames[3];
	struct trace trace = {.count = 1, .size = 100};

	support_ok(snapshot_builder_create(NULL, &builder));
	frames[0] = (struct frame){support_string(builder, "/a.py"), support_string(builder, "f"),
				   1, 1};
	frames[1] = (struct frame){support_string(builder, "/b.pyc"), support_string(builder, "g"),
				   2, 1};
	frames[2] = frames[0];
	add_trace(builder, frames, 2, trace);     /* a:1 < b:2 */
	add_trace(builder, frames + 1, 2, trace); /* b:2 < a:1 */
	frames[0].lineno = 3;
	trace.domain = 5;
	trace.size = 50;
	add_trace(builder, frames, 3, trace); /* a:3 < b:2 < a:1 */
	support_ok(snapshot_builder_finish(builder, &snapshot));
	return snapshot;
}

static struct statistics *statistics_of(const struct snapshot *snapshot,
					struct statistics_options options)
{
	struct statistics *statistics;

	support_ok(statistics_create(snapshot, &options, &statistics));
	return statistics;
}

static void assert_item(const struct snapshot *snapshot, const struct statistics *statistics,
			size_t i, const char *filename, uint32_t lineno, uint64_t size,
			uint64_t count)
{
	const struct statistic *item = &statistics->items[i];

	assert_true(i < statistics->count);
	assert_string_equal(tables_filename(snapshot->tables,
					    &snapshot->tables->frames[item->frame]),
			    filename);
	if (lineno)
		assert_int_equal(snapshot->tables->frames[item->frame].lineno, lineno);
	assert_int_equal(item->size, size);
	assert_int_equal(item->count, count);
}

static void test_group_by(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = example();
	struct statistics *statistics;

	(void)state;
	/* Equal sizes and counts: the place that sorts last comes first. */
	statistics = statistics_of(snapshot, (struct statistics_options){0});
	assert_int_equal(statistics->count, 3);
	assert_item(snapshot, statistics, 0, "/b.pyc", 2, 100, 1);
	assert_item(snapshot, statistics, 1, "/a.py", 1, 100, 1);
	assert_item(snapshot, statistics, 2, "/a.py", 3, 50, 1);
	assert_int_equal(statistics->trace_size, 250);
	statistics_destroy(statistics);

	statistics =
		statistics_of(snapshot, (struct statistics_options){.group_by = GROUP_BY_FILENAME});
	assert_int_equal(statistics->count, 2);
	assert_item(snapshot, statistics, 0, "/a.py", 0, 150, 2);
	assert_item(snapshot, statistics, 1, "/b.pyc", 0, 100, 1);
	statistics_destroy(statistics);

	statistics =
		statistics_of(snapshot, (struct statistics_options){.group_by = GROUP_BY_FUNCTION});
	assert_int_equal(statistics->count, 2);
	assert_item(snapshot, statistics, 0, "/a.py", 0, 150, 2);
	statistics_destroy(statistics);

	statistics = statistics_of(snapshot,
				   (struct statistics_options){.group_by = GROUP_BY_TRACEBACK});
	assert_int_equal(statistics->count, 3);
	/* Compared from the oldest frame on: b:2 is the larger. */
	assert_item(snapshot, statistics, 0, "/a.py", 1, 100, 1);
	statistics_destroy(statistics);
	statistics_destroy(NULL);
}

static void test_cumulative(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = example();
	struct statistics_options options = {.group_by = GROUP_BY_FILENAME, .cumulative = true};
	struct statistics *statistics = statistics_of(snapshot, options);

	(void)state;
	/* The third trace has /a.py twice, and counts twice. */
	assert_item(snapshot, statistics, 0, "/a.py", 0, 300, 4);
	assert_item(snapshot, statistics, 1, "/b.pyc", 0, 250, 3);
	assert_int_equal(statistics->trace_size, 250);
	statistics_destroy(statistics);
	options.group_by = GROUP_BY_TRACEBACK;
	support_fails(statistics_create(snapshot, &options, &statistics), ERROR_USAGE,
		      "cumulatively");
}

/* One trace of one frame over and over, which counts SIZE bytes for each. */
static struct error *cumulate(uint64_t size, uint32_t nframe, struct statistics **ret)
{
	struct statistics_options options = {.cumulative = true};
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	struct snapshot_builder *builder;
	struct trace trace = {.count = 1, .size = size};
	struct frame frames[8];

	support_ok(snapshot_builder_create(NULL, &builder));
	for (uint32_t i = 0; i < nframe; i++)
		frames[i] = (struct frame){.filename = support_string(builder, "/a.py")};
	add_trace(builder, frames, nframe, trace);
	support_ok(snapshot_builder_finish(builder, &snapshot));
	return statistics_create(snapshot, &options, ret);
}

static void test_cumulative_sums_are_bounded(void **state)
{
	struct statistics *statistics;

	(void)state;
	support_ok(cumulate(INT64_MAX / 7, 7, &statistics));
	assert_true(statistics->items[0].size == INT64_MAX / 7 * 7);
	statistics_destroy(statistics);
	support_fails(cumulate(INT64_MAX / 7 + 1, 7, &statistics), ERROR_FAILED, "63 bits");
}

static uint64_t filtered_size(const struct snapshot *snapshot, const struct filter *filters,
			      size_t count)
{
	cleanup(snapshot_cleanup) struct snapshot *filtered = NULL;

	support_ok(snapshot_filter(snapshot, filters, count, &filtered));
	assert_ptr_equal(filtered->tables, snapshot->tables);
	assert_string_equal(filtered->info.mode, snapshot->info.mode);
	return snapshot_totals(filtered).size;
}

static void test_filters(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = example();
	struct filter filters[2] = {{.inclusive = true, .pattern = "/a.py"}};

	(void)state;
	assert_int_equal(filtered_size(snapshot, filters, 0), 250);
	assert_int_equal(filtered_size(snapshot, filters, 1), 150);
	filters[0].lineno = 3;
	filters[0].has_lineno = true;
	assert_int_equal(filtered_size(snapshot, filters, 1), 50);
	filters[0].inclusive = false;
	assert_int_equal(filtered_size(snapshot, filters, 1), 200);
	/* ".pyc" is ".py", in names and in patterns. */
	filters[0] = (struct filter){.inclusive = true, .pattern = "/b.py"};
	assert_int_equal(filtered_size(snapshot, filters, 1), 100);
	filters[0].pattern = "/a.pyc";
	assert_int_equal(filtered_size(snapshot, filters, 1), 150);
	filters[0].all_frames = true;
	filters[0].pattern = "/b*";
	assert_int_equal(filtered_size(snapshot, filters, 1), 250);
	filters[0].inclusive = false;
	assert_int_equal(filtered_size(snapshot, filters, 1), 0);
	/* Any inclusive one, and each exclusive one. */
	filters[0] = (struct filter){.inclusive = true, .pattern = "/b.py"};
	filters[1] = (struct filter){
		.inclusive = true, .pattern = "/a.py", .lineno = 1, .has_lineno = true};
	assert_int_equal(filtered_size(snapshot, filters, 2), 200);
	filters[1].inclusive = false;
	assert_int_equal(filtered_size(snapshot, filters, 2), 100);
}

static void test_domains(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = example();
	struct filter filter = {.inclusive = true, .domain = 5, .has_domain = true};

	(void)state;
	assert_int_equal(filtered_size(snapshot, &filter, 1), 50);
	filter.inclusive = false;
	assert_int_equal(filtered_size(snapshot, &filter, 1), 200);
	filter.pattern = "/a.py";
	assert_int_equal(filtered_size(snapshot, &filter, 1), 200);
	filter.inclusive = true;
	assert_int_equal(filtered_size(snapshot, &filter, 1), 50);
}

/* A line that is in two functions, as that of a generator expression is, is of neither. */
static void test_several_functions(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup(statistics_cleanup) struct statistics *statistics = NULL;
	struct snapshot_builder *builder;
	struct trace trace = {.count = 1, .size = 100};
	struct frame frame = {.lineno = 1};

	(void)state;
	support_ok(snapshot_builder_create(NULL, &builder));
	frame.filename = support_string(builder, "/a.py");
	for (size_t i = 0; i < 3; i++) {
		frame.lineno = i < 2 ? 1 : 2;
		frame.name = support_string(builder, i == 0 ? "f" : "f.<locals>.<genexpr>");
		add_trace(builder, &frame, 1, trace);
	}
	support_ok(snapshot_builder_finish(builder, &snapshot));
	statistics = statistics_of(snapshot, (struct statistics_options){0});
	assert_item(snapshot, statistics, 0, "/a.py", 1, 200, 2);
	assert_true(statistics->items[0].several_functions);
	assert_item(snapshot, statistics, 1, "/a.py", 2, 100, 1);
	assert_false(statistics->items[1].several_functions);
}

static void test_nothing_held(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct statistics *statistics = statistics_of(snapshot, (struct statistics_options){0});

	(void)state;
	/*
	 * The example has a trace of which nothing is held. Its frame is of a place not known, and
	 * so is, to Python, the trace that has no frame at all: the two are one group.
	 */
	for (size_t i = 0; i < statistics->count; i++)
		assert_true(statistics->items[i].count > 0);
	assert_int_equal(statistics->count, 3);
	assert_item(snapshot, statistics, 2, "<unknown>", 0, 9, 2);
	assert_int_equal(statistics->trace_count, 7);
	statistics_destroy(statistics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pattern),
		cmocka_unit_test(test_pattern_is_quick),
		cmocka_unit_test(test_group_by),
		cmocka_unit_test(test_cumulative),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_domains),
		cmocka_unit_test(test_nothing_held),
		cmocka_unit_test(test_several_functions),
		cmocka_unit_test(test_cumulative_sums_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
