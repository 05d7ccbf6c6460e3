// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* That Python loads what is written, and finds the same in it: tests/bats/offline.bats. */
#include "support.h"
#include "base/cleanup.h"
#include "base/output.h"
#include "format/tracemalloc.h"
#include "snapshot/tables.h"
#include <string.h>

#define PYTHON_3_8 0x030812f0
#define PYTHON_3_9 0x030900f0

static struct error *write_file(const char *path, const struct snapshot *snapshot, uint32_t version)
{
	cleanup(output_cleanup) struct output *output = NULL;

	try(output_create(path, &output));
	try(tracemalloc_write(snapshot, version, output));
	return output_commit(output);
}

/* One traceback without a frame, and one trace of it. */
static struct snapshot *one_trace(struct trace trace)
{
	struct snapshot_builder *builder;
	struct snapshot *snapshot;

	support_ok(snapshot_builder_create(NULL, &builder));
	support_ok(
		tables_traceback(snapshot_builder_tables(builder), NULL, 0, 0, &trace.traceback));
	support_ok(snapshot_builder_trace(builder, &trace));
	support_ok(snapshot_builder_finish(builder, &snapshot));
	return snapshot;
}

static void assert_pickle(const struct support_place *place, const struct snapshot *snapshot,
			  uint32_t version, const char *expected, size_t expected_size)
{
	cleanup_free uint8_t *data = NULL;
	size_t size;

	support_ok(write_file(place->path, snapshot, version));
	data = support_read(place->path, &size);
	assert_int_equal(size, expected_size);
	assert_memory_equal(data, expected, size);
}

/*
 * As `pickletools.dis` shows it, three blocks of 8 bytes in all: one of two bytes and two of three,
 * each tuple once, and the second of these out of the memo.
 */
#define HEAD                                                                                       \
	"\x80\x04\x8c\x0btracemalloc\x8c\x08Snapshot\x93)\x81}("                                   \
	"\x8c\x06traces\x8c\x0btracemalloc\x8c\x07_Traces\x93)\x81}(\x8c\x07_traces]"
#define FRAMES "\x8c\x09<unknown>\x94K\x00\x86\x94\x85\x94"
#define TAIL   "eub\x8c\x0ftraceback_limitK\x00ub."

static void test_opcodes(void **state)
{
	static const char old[] = HEAD "(K\x00K\x03" FRAMES "\x87\x94h\x03K\x00K\x02h\x02\x87" TAIL;
	static const char new[] = HEAD "((K\x00K\x03" FRAMES "K\x01t\x94h\x03"
				       "(K\x00K\x02h\x02K\x01t" TAIL;
	cleanup(snapshot_cleanup) struct snapshot *snapshot =
		one_trace((struct trace){.count = 3, .size = 8});

	assert_pickle(*state, snapshot, PYTHON_3_8, old, sizeof(old) - 1);
	assert_pickle(*state, snapshot, PYTHON_3_9, new, sizeof(new) - 1);
}

static void test_nothing(void **state)
{
	static const char empty[] = HEAD "ub\x8c\x0ftraceback_limitK\x00ub.";
	cleanup(snapshot_cleanup) struct snapshot *snapshot =
		one_trace((struct trace){.total_count = 3, .total_size = 8});

	assert_pickle(*state, snapshot, PYTHON_3_9, empty, sizeof(empty) - 1);
}

/* Memory of Python's is what a block costs, not the file: five bytes at most. */
static void test_many_blocks_are_small(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot =
		one_trace((struct trace){.count = 100000, .size = 100000 * 48 + 77});
	struct support_place *place = *state;
	cleanup_free uint8_t *data = NULL;
	size_t size;

	support_ok(write_file(place->path, snapshot, PYTHON_3_9));
	data = support_read(place->path, &size);
	assert_true(size < 100000 * 5 + 1000);
}

static void test_refused(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *many =
		one_trace((struct trace){.count = TRACEMALLOC_BLOCK_MAX + 1});
	cleanup(snapshot_cleanup) struct snapshot *none = one_trace((struct trace){.size = 1});
	cleanup(snapshot_cleanup) struct snapshot *good =
		one_trace((struct trace){.count = 1, .size = 1});
	struct support_place *place = *state;

	support_fails(write_file(place->path, many, PYTHON_3_9), ERROR_FAILED, "too many");
	support_fails(write_file(place->path, none, PYTHON_3_9), ERROR_FAILED, "in no block");
	support_fails(write_file(place->path, good, 0), ERROR_FAILED, "which Python");
	support_fails(write_file(place->path, good, 0x02071200), ERROR_FAILED, "3.6");
	assert_int_equal(support_entries(place->folder), 0);
	support_ok(write_file(place->path, good, PYTHON_3_9));
}

/* The version of the snapshot is what counts if none is named. */
static void test_version(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();
	struct support_place *place = *state;
	cleanup_free uint8_t *own = NULL;
	cleanup_free uint8_t *named = NULL;
	size_t own_size, named_size;

	support_ok(write_file(place->path, snapshot, 0));
	own = support_read(place->path, &own_size);
	support_ok(write_file(place->path, snapshot, snapshot->info.python_version));
	named = support_read(place->path, &named_size);
	assert_int_equal(own_size, named_size);
	assert_memory_equal(own, named, own_size);
	/* A byte that is no text is there as the surrogate U+DCFF; a lone one stays. */
	assert_non_null(memmem(own, own_size, "/srv/\xed\xb3\xbf\xed\xb3\xbfg\xc3\xb6.py", 16));
}

#define in_place(test)                                                                             \
	cmocka_unit_test_setup_teardown(test, support_place_make, support_place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_place(test_opcodes),
		in_place(test_nothing),
		in_place(test_many_blocks_are_small),
		in_place(test_refused),
		in_place(test_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
