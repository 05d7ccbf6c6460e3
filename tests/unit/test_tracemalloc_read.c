// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Reading what Python dumped, by bytes written out as `pickletools.dis` shows them. That it is the
 * same in Python is shown by tests/oracle/roundtrip.
 */
#include "support.h"
#include "base/cleanup.h"
#include "base/output.h"
#include "format/pickle_machine.h"
#include "format/tracemalloc.h"
#include "pickle_bytes.h"
#include "snapshot/tables.h"
#include <string.h>

#define PYTHON_3_9 0x030900f0

static const char *filename(const struct snapshot *snapshot, size_t trace, uint32_t frame)
{
	return tables_filename(snapshot->tables,
			       tables_traceback_frame(snapshot->tables,
						      snapshot->traces[trace].traceback, frame));
}

static uint32_t lineno(const struct snapshot *snapshot, size_t trace, uint32_t frame)
{
	return tables_traceback_frame(snapshot->tables, snapshot->traces[trace].traceback, frame)
		->lineno;
}

/* One block of 5 bytes in domain 0, by line 7 of a.py. */
static void assert_the_row(const struct snapshot *snapshot)
{
	const struct trace *trace = snapshot->traces;
	const struct traceback *traceback;

	assert_int_equal(snapshot->trace_count, 1);
	traceback = &snapshot->tables->tracebacks[trace->traceback];
	assert_int_equal(trace->domain, 0);
	assert_int_equal(trace->count, 1);
	assert_int_equal(trace->size, 5);
	assert_int_equal(trace->total_count, 1);
	assert_int_equal(trace->total_size, 5);
	assert_int_equal(traceback->nframe, 1);
	assert_int_equal(traceback->total_nframe, 1);
	assert_string_equal(filename(snapshot, 0, 0), "a.py");
	assert_int_equal(lineno(snapshot, 0, 0), 7);
	assert_int_equal(snapshot->info.traceback_limit, 25);
}

struct pickle {
	const char *bytes;
	size_t size;
};

#define PICKLE(bytes_)                                                                             \
	{                                                                                          \
		bytes_, sizeof(bytes_) - 1                                                         \
	}

/* The same snapshot in whatever ways the opcodes allow. */
static void test_each_opcode(void **state)
{
	static const struct pickle pickles[] = {
		PICKLE(START OLD "a" END),
		PICKLE(START NEW "a" END),
		PICKLE("\x80\x05" SNAPSHOT "(" LIST NEW "a" END),
		PICKLE(START "(" NEW "e" END),
		PICKLE(START "(e(" OLD "e" END),
		PICKLE(START "(" OLD "\x94"
			     "e" END),
		/* The limit first, and by itself; all attributes of _Traces at once. */
		PICKLE("\x80\x04" SNAPSHOT "(" LIMIT LIST OLD "asbub."),
		PICKLE("\x80\x04" SNAPSHOT LIMIT "s" LIST OLD "asbsb."),
		PICKLE("\x80\x04" SNAPSHOT "("
		       "\x8c\x06traces\x8c\x0btracemalloc\x8c\x07_Traces\x93)\x81}("
		       "\x8c\x07_traces]" OLD "aub" LIMIT "ub."),
		/* Classes' module from the memo. */
		PICKLE("\x80\x04\x8c\x0btracemalloc\x94\x8c\x08Snapshot\x93)\x81}"
		       "(\x8c\x06tracesh\x00\x8c\x07_Traces\x93)\x81}\x8c\x07_traces]"
		       "K\x00K\x05\x8c\x04"
		       "a.pyK\x07\x86\x85\x87"
		       "a" END),
		/* Numbers. */
		PICKLE(START "M\x00\x00J\x05\x00\x00\x00" TRACEBACK "\x87"
			     "a" END),
		PICKLE(START "\x8a\x00\x8a\x01\x05" TRACEBACK "\x87"
			     "a" END),
		PICKLE(START "K\x00\x8a\x0a\x05\0\0\0\0\0\0\0\0\0" TRACEBACK "\x87"
			     "a" END),
		/* Strings. */
		PICKLE(START "K\x00K\x05X\x04\0\0\0"
			     "a.pyK\x07\x86\x85\x87"
			     "a" END),
		PICKLE(START "K\x00K\x05\x8d\x04\0\0\0\0\0\0\0"
			     "a.pyK\x07\x86\x85\x87"
			     "a" END),
		/* Tuples with a mark, and out of the memo. */
		PICKLE(START "(K\x00K\x05((\x8c\x04"
			     "a.pyK\x07ttt"
			     "a" END),
		PICKLE(START "K\x00K\x05"
			     "\x8c\x04"
			     "a.py\x94K\x07\x86\x85\x87"
			     "a" END),
		/* Frames of the pickle: all of it, an empty one, none around a part. */
		PICKLE("\x80\x04\x95\x73\0\0\0\0\0\0\0" SNAPSHOT "(" LIST OLD "a" END),
		PICKLE("\x80\x04\x95\0\0\0\0\0\0\0\0" SNAPSHOT "(" LIST OLD "a" END),
		PICKLE("\x80\x04\x95\x1c\0\0\0\0\0\0\0" SNAPSHOT "(" LIST OLD "a" END),
	};

	for (size_t i = 0; i < array_size(pickles); i++) {
		cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;

		support_ok(read_bytes(*state, pickles[i].bytes, pickles[i].size, &snapshot));
		assert_the_row(snapshot);
	}
}

#define assert_trace(snapshot, index, domain_, count_, size_, lineno_)                             \
	do {                                                                                       \
		assert_int_equal((snapshot)->traces[index].domain, domain_);                       \
		assert_int_equal((snapshot)->traces[index].count, count_);                         \
		assert_int_equal((snapshot)->traces[index].size, size_);                           \
		assert_int_equal((snapshot)->traces[index].total_count, count_);                   \
		assert_int_equal((snapshot)->traces[index].total_size, size_);                     \
		assert_int_equal(lineno(snapshot, index, 0), lineno_);                             \
	} while (0)

/* Equal blocks in a row are one trace, whether they are the same tuple or not; others are not. */
static void test_runs(void **state)
{
	static const char bytes[] = START
		"(" NEW "\x94h\x03h\x03(K\x00K\x05h\x02K\x01t"
		"(K\x00K\x06h\x02K\x01th\x03(K\x01K\x05h\x02K\x01t(K\x00K\x05h\x02K\x09te(h\x03"
		"e" END;
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;

	support_ok(read_bytes(*state, bytes, sizeof(bytes) - 1, &snapshot));
	assert_int_equal(snapshot->trace_count, 6);
	assert_trace(snapshot, 0, 0, 4, 20, 7);
	assert_trace(snapshot, 1, 0, 1, 6, 7);
	assert_trace(snapshot, 2, 0, 1, 5, 7);
	assert_trace(snapshot, 3, 1, 1, 5, 7);
	assert_trace(snapshot, 4, 0, 1, 5, 7);
	assert_int_equal(snapshot->tables->tracebacks[snapshot->traces[4].traceback].total_nframe,
			 9);
	assert_trace(snapshot, 5, 0, 1, 5, 7);
	assert_int_equal(snapshot->traces[0].traceback, snapshot->traces[5].traceback);
}

static void test_nothing(void **state)
{
	static const char bytes[] = START END;
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;

	support_ok(read_bytes(*state, bytes, sizeof(bytes) - 1, &snapshot));
	assert_int_equal(snapshot->trace_count, 0);
	assert_int_equal(snapshot->info.traceback_limit, 25);
	/* What a pickle does not say is not made up. */
	assert_int_equal(snapshot->info.python_version, 0);
	assert_int_equal(snapshot->info.pid, 0);
	assert_true(snapshot->info.coverage < 0);
	assert_string_equal(snapshot->info.mode, "");
}

/* Names as Python may have them, among these the words that a pickle needs for itself. */
static void test_names(void **state)
{
	static const char bytes[] = START "K\x00K\x05("
					  "\x8c\x00K\x01\x86"
					  "\x8c\x05"
					  "a\x00"
					  "b\x00\x00K\x02\x86"
					  "\x8c\x06\xed\xa0\xbd\xed\xb2\xa9K\x03\x86"
					  "\x8c\x04\xf0\x9f\x92\xa9K\x04\x86"
					  "\x8c\x06tracesK\x05\x86"
					  "\x8c\x0btracemalloc\x94K\x06\x86"
					  "h\x00K\x07\x86"
					  "\x8c\x08Snapshot\x8a\x05\xff\xff\xff\xff\x00\x86"
					  "t\x87"
					  "a" END;
	static const char *const names[] = {
		"",
		"a\xc0\x80\x62\xc0\x80\xc0\x80",
		"\xed\xa0\xbd\xed\xb2\xa9",
		"\xf0\x9f\x92\xa9",
		"traces",
		"tracemalloc",
		"tracemalloc",
		"Snapshot",
	};
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;

	support_ok(read_bytes(*state, bytes, sizeof(bytes) - 1, &snapshot));
	assert_int_equal(snapshot->trace_count, 1);
	for (uint32_t i = 0; i < array_size(names); i++) {
		assert_string_equal(filename(snapshot, 0, i), names[i]);
		assert_int_equal(lineno(snapshot, 0, i), i < 7 ? i + 1 : UINT32_MAX);
	}
}

/* COUNT times PIECE between BEFORE and AFTER. */
static uint8_t *repeat(const char *before, size_t before_size, const char *piece, size_t piece_size,
		       size_t count, const char *after, size_t after_size, size_t *ret_size)
{
	uint8_t *bytes = malloc(before_size + piece_size * count + after_size);

	assert_non_null(bytes);
	memcpy(bytes, before, before_size);
	for (size_t i = 0; i < count; i++)
		memcpy(bytes + before_size + i * piece_size, piece, piece_size);
	memcpy(bytes + before_size + piece_size * count, after, after_size);
	*ret_size = before_size + piece_size * count + after_size;
	return bytes;
}

#define REPEAT(before, piece, count, after, ret_size)                                              \
	repeat(before, sizeof(before) - 1, piece, sizeof(piece) - 1, count, after,                 \
	       sizeof(after) - 1, ret_size)

static void test_deep(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup_free uint8_t *more = NULL;
	cleanup_free uint8_t *stack = NULL;
	size_t size;

	more = REPEAT(START FRAME "K\x00K\x05(", "h\x01", TRACEMALLOC_DEPTH_MAX + 1,
		      "t\x87"
		      "a" END,
		      &size);
	support_fails(read_bytes(*state, more, size, &snapshot), ERROR_FAILED,
		      "more than 65535 frames in a traceback");
	stack = REPEAT(START, "K\x00", MACHINE_STACK_MAX + 1, END, &size);
	support_fails(read_bytes(*state, stack, size, &snapshot), ERROR_FAILED,
		      "more than 131072 values at a time");
}

static void test_deepest(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup_free uint8_t *bytes = NULL;
	size_t size;

	bytes = REPEAT(START "K\x00K\x05(" FRAME, "h\x01", TRACEMALLOC_DEPTH_MAX - 1,
		       "t\x87"
		       "a" END,
		       &size);
	support_ok(read_bytes(*state, bytes, size, &snapshot));
	assert_int_equal(snapshot->trace_count, 1);
	assert_int_equal(snapshot->tables->tracebacks[0].nframe, TRACEMALLOC_DEPTH_MAX);
	assert_int_equal(snapshot->tables->frame_count, 1);
}

/* A string that is larger than the buffer, and the last that is no more than the limit. */
static void test_long_name(void **state)
{
	static const char before[] = START "K\x00K\x05X\x00\x00\x10\x00";
	static const char after[] = "K\x07\x86\x85\x87"
				    "a" END;
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup_free uint8_t *bytes = NULL;
	size_t size;

	bytes = repeat(before, sizeof(before) - 1, "n", 1, MACHINE_TEXT_MAX, after,
		       sizeof(after) - 1, &size);
	support_ok(read_bytes(*state, bytes, size, &snapshot));
	assert_int_equal(strlen(filename(snapshot, 0, 0)), MACHINE_TEXT_MAX);
	assert_int_equal(lineno(snapshot, 0, 0), 7);
}

/* A million blocks of one tuple are one trace. */
static void test_a_million_of_one(void **state)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup_free uint8_t *bytes = NULL;
	size_t size;

	/* Elements within one mark are at most as many as the stack has room for. */
	bytes = REPEAT(START OLD "\x94"
				 "a",
		       "h\x03"
		       "a",
		       1000000, END, &size);
	support_ok(read_bytes(*state, bytes, size, &snapshot));
	assert_int_equal(snapshot->trace_count, 1);
	assert_trace(snapshot, 0, 0, 1000001, 5000005, 7);
}

static struct error *write_file(const char *path, const struct snapshot *snapshot)
{
	cleanup(output_cleanup) struct output *output = NULL;

	try(output_create(path, &output));
	try(tracemalloc_write(snapshot, PYTHON_3_9, output));
	return output_commit(output);
}

/* What was read is written the same. */
static void test_round_trip(void **state)
{
	struct support_place *place = *state;

	for (unsigned int seed = 0; seed < 20; seed++) {
		cleanup(snapshot_cleanup) struct snapshot *snapshot =
			seed == 0 ? support_snapshot() : support_snapshot_random(seed, seed * 5);
		cleanup(snapshot_cleanup) struct snapshot *again = NULL;
		cleanup(snapshot_cleanup) struct snapshot *third = NULL;
		cleanup_free uint8_t *first = NULL;
		cleanup_free uint8_t *second = NULL;
		size_t first_size, second_size;

		support_ok(write_file(place->path, snapshot));
		support_ok(tracemalloc_read(place->path, NULL, &again));
		assert_int_equal(snapshot_totals(again).size, snapshot_totals(snapshot).size);
		assert_int_equal(snapshot_totals(again).count, snapshot_totals(snapshot).count);
		support_ok(write_file(place->path, again));
		first = support_read(place->path, &first_size);
		support_ok(tracemalloc_read(place->path, NULL, &third));
		support_same(again, third);
		support_ok(write_file(place->path, third));
		second = support_read(place->path, &second_size);
		assert_int_equal(second_size, first_size);
		assert_memory_equal(second, first, first_size);
	}
}

/* A pickle with whatever there is: another snapshot's, in frames. */
static uint8_t *sample(const struct support_place *place, size_t *ret_size)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = support_snapshot();

	support_ok(write_file(place->path, snapshot));
	return support_read(place->path, ret_size);
}

static void test_truncated_anywhere(void **state)
{
	struct support_place *place = *state;
	size_t size;
	cleanup_free uint8_t *bytes = sample(place, &size);
	struct snapshot *snapshot = NULL;

	support_fails(read_bytes(place, bytes, 0, &snapshot), ERROR_FAILED, "is empty");
	for (size_t i = 1; i < size; i++) {
		char wanted[64];

		snprintf(wanted, sizeof(wanted), "at byte %zu: it ends there", i);
		support_fails(read_bytes(place, bytes, i, &snapshot), ERROR_FAILED, wanted);
	}
	assert_null(snapshot);
	support_ok(read_bytes(place, bytes, size, &snapshot));
	snapshot_destroy(snapshot);
}

/* Whatever comes of it, it ends, and says where it failed. */
static void test_flipped_bits(void **state)
{
	struct support_place *place = *state;
	size_t size, refused = 0, read = 0;
	cleanup_free uint8_t *bytes = sample(place, &size);

	for (size_t i = 0; i < size * 8; i++) {
		struct snapshot *snapshot = NULL;
		struct error *error;

		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		error = read_bytes(place, bytes, size, &snapshot);
		bytes[i / 8] ^= (uint8_t)(1 << i % 8);
		if (error) {
			assert_non_null(strstr(error_message(error), "at byte "));
			assert_null(snapshot);
			refused++;
		} else {
			read++;
		}
		error_destroy(error);
		snapshot_destroy(snapshot);
	}
	/* Letters of names may be any, most others may not. */
	assert_true(refused > read);
	assert_true(read > 0);
}

static void test_no_file(void **state)
{
	const struct support_place *place = *state;
	struct snapshot *snapshot = NULL;

	support_fails(tracemalloc_read(place->path, NULL, &snapshot), ERROR_FAILED, "No such file");
	support_fails(tracemalloc_read(place->folder, NULL, &snapshot), ERROR_FAILED,
		      "Is a directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_place(test_each_opcode),  in_place(test_runs),
		in_place(test_nothing),      in_place(test_names),
		in_place(test_deep),         in_place(test_deepest),
		in_place(test_long_name),    in_place(test_a_million_of_one),
		in_place(test_round_trip),   in_place(test_truncated_anywhere),
		in_place(test_flipped_bits), in_place(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
