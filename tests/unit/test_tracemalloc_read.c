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
#include "snapshot/tables.h"
#include <string.h>

#define PYTHON_3_9 0x030900f0

/* A pickle: START TRACES rows END. */
#define SNAPSHOT "\x8c\x0btracemalloc\x8c\x08Snapshot\x93)\x81}"
#define LIST     "\x8c\x06traces\x8c\x0btracemalloc\x8c\x07_Traces\x93)\x81}\x8c\x07_traces]"
#define LIMIT    "\x8c\x0ftraceback_limitK\x19"
#define START    "\x80\x04" SNAPSHOT "(" LIST
#define END      "sb" LIMIT "ub."
/* ("a.py", 7) and a traceback of it; memo 0 to 2. */
#define FRAME                                                                                      \
	"\x8c\x04"                                                                                 \
	"a.py\x94K\x07\x86\x94"
#define TRACEBACK FRAME "\x85\x94"
/* (0, 5, TRACEBACK) and with its total_nframe. */
#define OLD "K\x00K\x05" TRACEBACK "\x87"
#define NEW "(K\x00K\x05" TRACEBACK "K\x01t"

static struct error *read_bytes(const struct support_place *place, const void *data, size_t size,
				struct snapshot **ret)
{
	support_write(place->path, data, size);
	return tracemalloc_read(place->path, NULL, ret);
}

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
		       "\x8c\x06traces\x8c\x0btracemalloc\x8c\x07_Traces\x93)\x81}(\x8c\x07_traces]" OLD
		       "aub" LIMIT "ub."),
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

/* A pickle that is refused at the opcode between BEFORE and REST. */
struct refusal {
	const char *before;
	size_t before_size;
	const char *rest;
	size_t rest_size;
	const char *why;
};

#define REFUSED(before_, rest_, why_)                                                              \
	{                                                                                          \
		before_, sizeof(before_) - 1, rest_, sizeof(rest_) - 1, why_                       \
	}

static void assert_refused(const struct support_place *place, const struct refusal *refusal)
{
	size_t size = refusal->before_size + refusal->rest_size;
	cleanup_free uint8_t *bytes = malloc(size + 1);
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	char wanted[200];

	assert_non_null(bytes);
	memcpy(bytes, refusal->before, refusal->before_size);
	memcpy(bytes + refusal->before_size, refusal->rest, refusal->rest_size);
	snprintf(wanted, sizeof(wanted), "at byte %zu: %s", refusal->before_size, refusal->why);
	support_fails(read_bytes(place, bytes, size, &snapshot), ERROR_FAILED, wanted);
	assert_null(snapshot);
}

static void test_refused_opcodes(void **state)
{
	static const struct refusal refusals[] = {
		/* What runs code, in the ways of the usual exploits. */
		REFUSED("\x80\x04", "cos\nsystem\n(S'id'\ntR.", "opcode GLOBAL (0x63), which"),
		REFUSED("\x80\x04(", "S'id'\nios\nsystem\n.", "opcode STRING (0x53), which"),
		REFUSED("\x80\x04\x8c\x02os\x8c\x06system", "\x93\x8c\x02id\x85R.",
			"something else than tracemalloc's"),
		REFUSED("\x80\x04\x8c\x0btracemalloc\x8c\x05start", "\x93)R.",
			"something else than tracemalloc's"),
		REFUSED("\x80\x04\x8c\x0btracemalloc\x8c\x06traces", "\x93)\x81.",
			"something else than tracemalloc's"),
		REFUSED("\x80\x04\x8c\x08Snapshot\x8c\x0btracemalloc", "\x93)\x81.",
			"something else than tracemalloc's"),
		REFUSED("\x80\x04\x8c\x0btracemalloc\x8c\x08Snapshot\x93)", "R.",
			"opcode REDUCE (0x52), which"),
		REFUSED("\x80\x04" SNAPSHOT, "Pid\n.", "opcode PERSID (0x50), which"),
		REFUSED("\x80\x04" SNAPSHOT, "Q.", "opcode BINPERSID (0x51), which"),
		REFUSED("\x80\x04(", "ios\nsystem\n.", "opcode INST (0x69), which"),
		REFUSED("\x80\x04(", "o.", "opcode OBJ (0x6f), which"),
		REFUSED("\x80\x04\x8c\x0btracemalloc\x8c\x08Snapshot\x93)}", "\x92.",
			"opcode NEWOBJ_EX (0x92), which"),
		REFUSED("\x80\x04", "\x82\x01.", "opcode EXT1 (0x82), which"),
		REFUSED("\x80\x05", "\x97.", "opcode NEXT_BUFFER (0x97), which"),
		/* What is harmless, and needless. */
		REFUSED(START, "N.", "opcode NONE (0x4e), which"),
		REFUSED(START "K\x00", "0.", "opcode POP (0x30), which"),
		REFUSED(START "K\x00", "2.", "opcode DUP (0x32), which"),
		REFUSED(START "K\x00", "q\x00.", "opcode BINPUT (0x71), which"),
		REFUSED(START, "I5\n.", "opcode INT (0x49), which"),
		REFUSED(START, "G\0\0\0\0\0\0\0\0.", "opcode BINFLOAT (0x47), which"),
		REFUSED(START, "\x8b\x04\0\0\0\x01\0\0\0.", "opcode LONG4 (0x8b), which"),
		REFUSED(START, "\x80\x04.", "opcode PROTO (0x80), which"),
		REFUSED(START, "\xff", "0xff is no opcode"),
		REFUSED(START, "\0", "0x00 is no opcode"),
		/* The head and the end. */
		REFUSED("", "(lp0\n.", "it is no pickle"),
		REFUSED("", "\x80\x03}.", "a pickle of protocol 3"),
		REFUSED("", "\x80\x06}.", "a pickle of protocol 6"),
		REFUSED("\x80\x04", ".", "it ends with something else than a Snapshot"),
		REFUSED("\x80\x04"
			"K\x01",
			".", "it ends with something else than a Snapshot"),
		REFUSED("\x80\x04" SNAPSHOT, ".", "it ends with something else than a Snapshot"),
		REFUSED(START "sb" LIMIT "ub(", ".", "it ends with something else than a"),
		REFUSED(START "sb" LIMIT "ubK\x01", ".", "it ends with something else than a"),
		REFUSED(START "sb" LIMIT "u", ".", "it ends with something else than a Snapshot"),
		REFUSED(START "sb" LIMIT "ub", "..", "something follows its end"),
		REFUSED(START "sb" LIMIT "ub", ".\x80\x04.", "something follows its end"),
	};

	for (size_t i = 0; i < array_size(refusals); i++)
		assert_refused(*state, &refusals[i]);
}

static void test_refused_values(void **state)
{
	static const struct refusal refusals[] = {
		/* Numbers. */
		REFUSED(START, "J\xff\xff\xff\xff", "a negative number"),
		REFUSED(START, "J\0\0\0\x80", "a negative number"),
		REFUSED(START, "\x8a\x01\x80", "a negative number"),
		REFUSED(START, "\x8a\x09\0\0\0\0\0\0\0\0\x01", "a number of more than 64 bits"),
		REFUSED(START "\x8a\x05\0\0\0\0\x01K\x05" TRACEBACK, "\x87",
			"the domain 4294967296"),
		REFUSED(START "K\x00\x8a\x09\0\0\0\0\0\0\0\x80\0" TRACEBACK, "\x87",
			"a block of 9223372036854775808 bytes"),
		REFUSED(START "\x8c\x01x\x8a\x05\0\0\0\0\x01", "\x86",
			"the line number 4294967296"),
		REFUSED(START "(K\x00K\x05" TRACEBACK "\x8a\x05\0\0\0\0\x01", "t",
			"the total_nframe 4294967296"),
		REFUSED(START "(K\x00K\x05" TRACEBACK "K\x00", "t",
			"a traceback of 1 frames with 0 in all"),
		/* More than 63 bits together: of equal blocks, and of others. */
		REFUSED(START "(K\x00\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f" TRACEBACK
			      "\x87\x94h\x03",
			"e", "the sizes add up to more than 63 bits"),
		REFUSED(START "(K\x00\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f" TRACEBACK
			      "\x87\x94K\x00K\x01h\x02\x87h\x03",
			"e", "the sizes of all traces exceed 63 bits"),
		/* Strings. */
		REFUSED(START, "\x8c\x01\x80", "byte 0 of a string is no UTF-8"),
		REFUSED(START,
			"\x8c\x02"
			"a\xc3",
			"byte 1 of a string is no UTF-8"),
		REFUSED(START, "\x8c\x02\xc0\x80", "byte 0 of a string is no UTF-8"),
		REFUSED(START, "\x8c\x03\xe0\x9f\xbf", "byte 0 of a string is no UTF-8"),
		REFUSED(START, "\x8c\x04\xf4\x90\x80\x80", "byte 0 of a string is no UTF-8"),
		REFUSED(START, "\x8c\x05\xf8\x88\x80\x80\x80", "byte 0 of a string is no UTF-8"),
		REFUSED(START, "X\x01\x00\x10\x00", "a string of 1048577 bytes"),
		REFUSED(START, "\x8d\0\0\0\0\0\0\0\x10", "a string of 1152921504606846976 bytes"),
		REFUSED(START, "\x8d\xff\xff\xff\xff\xff\xff\xff\xff",
			"a string of 18446744073709551615 bytes"),
		/* The memo. */
		REFUSED(START, "h\x00", "memo 0 of 0 is referred to"),
		REFUSED(START OLD, "j\x03\0\0\0", "memo 3 of 3 is referred to"),
		REFUSED(START OLD, "j\xff\xff\xff\xff", "memo 4294967295 of 3 is referred to"),
		REFUSED(START "\x94", "h\x00", "memo 0 is nothing that a Snapshot has twice"),
		REFUSED(START "K\x05\x94", "h\x00", "memo 0 is nothing that a Snapshot has twice"),
		REFUSED(START "(", "\x94", "an opcode for 1 values, and there are 0"),
		/* Frames of the pickle. */
		REFUSED("\x80\x04\x95\x20\0\0\0\0\0\0\0", "\x95\x10\0\0\0\0\0\0\0",
			"a frame within a frame"),
		REFUSED("\x80\x04", "\x95\xff\xff\xff\xff\xff\xff\xff\xff",
			"a frame of 184467440737"),
		REFUSED("\x80\x04\x95\x05\0\0\0\0\0\0\0", "\x8c\x0btracemalloc",
			"its frame ends at byte 16"),
		REFUSED("\x80\x04\x95\x68\0\0\0\0\0\0\0" SNAPSHOT "(" LIST "sb" LIMIT "ub", ".",
			"its frame ends at byte 115"),
	};

	for (size_t i = 0; i < array_size(refusals); i++)
		assert_refused(*state, &refusals[i]);
}

static void test_refused_objects(void **state)
{
	static const struct refusal refusals[] = {
		/* Tuples. */
		REFUSED(START "(", "t", "a tuple that is no frame, traceback or trace"),
		REFUSED("\x80\x04(", "t", "a tuple that is no frame, traceback or trace"),
		REFUSED(START ")", "\x85", "a tuple that is no frame, traceback or trace"),
		REFUSED(START "\x8c\x01xK\x01K\x01", "\x87", "a frame of 3 elements"),
		REFUSED(START "\x8c\x01x", "\x85", "a frame of 1 elements"),
		REFUSED(START "\x8c\x01x\x8c\x01x", "\x86", "a tuple whose line number is no"),
		REFUSED(START FRAME "K\x01", "\x86", "a traceback with something else than frames"),
		REFUSED(START TRACEBACK, "\x85", "a tuple that is no frame, traceback or trace"),
		REFUSED(START "K\x00K\x05", "\x86", "a trace of 2 elements"),
		REFUSED(START "(K\x00K\x05" TRACEBACK "K\x01K\x01", "t", "a trace of 5 elements"),
		REFUSED(START "K\x00K\x05" FRAME, "\x87", "a trace without a size and a traceback"),
		REFUSED(START "K\x00" TRACEBACK "K\x05", "\x87", "a trace without a size and a"),
		REFUSED(START "K\x00K\x05)", "\x87", "a trace without a size and a traceback"),
		REFUSED(START "(K\x00K\x05" TRACEBACK "h\x02", "t",
			"a tuple whose total_nframe is"),
		REFUSED(START OLD "a(K\x00K\x05h\x02K\x01", "t",
			"a trace of 4 elements among those"),
		REFUSED(START NEW "aK\x00K\x05h\x02", "\x87", "a trace of 3 elements among those"),
		/* The stack, which marks divide. */
		REFUSED(START "K\x00(K\x05" TRACEBACK, "\x87", "an opcode for 3 values, and there"),
		REFUSED(START OLD "(", "a", "an opcode for 1 values, and there are 0"),
		REFUSED(START OLD "(" OLD, "a", "an opcode for a list, and there is none"),
		REFUSED("\x80\x04", "e", "an opcode that needs a mark, and there is none"),
		REFUSED(START "((((", "(", "more than 5 marks within each other"),
		/* The list. */
		REFUSED(START, "]", "a second list"),
		REFUSED(START "K\x01", "a", "a list with something else than traces"),
		REFUSED(START TRACEBACK, "a", "a list with something else than traces"),
		REFUSED(START "(" OLD "h\x00", "e", "a list with something else than traces"),
		REFUSED("\x80\x04}" OLD, "a", "an opcode for a list, and it is none"),
		/* Objects and attributes. */
		REFUSED("\x80\x04}}", "}", "a third dict"),
		REFUSED("\x80\x04" SNAPSHOT "\x8c\x0btracemalloc\x8c\x08Snapshot\x93)", "\x81",
			"a second object of the same class"),
		REFUSED("\x80\x04\x8c\x0btracemalloc\x8c\x08Snapshot\x93K\x01", "\x81",
			"an object of no class, or made with arguments"),
		REFUSED("\x80\x04\x8c\x08Snapshot)", "\x81", "an object of no class, or made with"),
		REFUSED("\x80\x04" SNAPSHOT "\x8c\x0ftraceback_limit)", "s",
			"an attribute that no Snapshot has"),
		REFUSED("\x80\x04" SNAPSHOT "\x8c\x08__dict__K\x01", "s",
			"an attribute that no Snapshot has"),
		REFUSED("\x80\x04" SNAPSHOT "\x8c\x06traces]", "s",
			"an attribute that no Snapshot has"),
		REFUSED("\x80\x04" SNAPSHOT "\x8c\x0ftraceback_limit\x8a\x05\0\0\0\0\x01", "s",
			"an attribute that no Snapshot has"),
		REFUSED("\x80\x04" SNAPSHOT "(" LIMIT LIMIT, "u", "an attribute is there twice"),
		REFUSED("\x80\x04" SNAPSHOT "(\x8c\x0ftraceback_limit", "u",
			"an attribute without a value"),
		/* One that is not built yet: its state could come later. */
		REFUSED(START "s\x8c\x06traces\x8c\x0btracemalloc\x8c\x07_Traces\x93)", "\x81",
			"a second object of the same class"),
		REFUSED("\x80\x04" SNAPSHOT
			"\x8c\x06traces\x8c\x0btracemalloc\x8c\x07_Traces\x93)\x81",
			"s", "an attribute that no Snapshot has"),
		REFUSED("\x80\x04" SNAPSHOT LIMIT "s", "b", "an object with other attributes than"),
		REFUSED("\x80\x04" SNAPSHOT, "b", "an object with other attributes than its class"),
		REFUSED("\x80\x04}K\x01", "b", "an opcode for an object, and it is none"),
	};

	for (size_t i = 0; i < array_size(refusals); i++)
		assert_refused(*state, &refusals[i]);
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

/* A string that is larger than the window, and the last that is no more than the limit. */
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

#define in_place(test)                                                                             \
	cmocka_unit_test_setup_teardown(test, support_place_make, support_place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_place(test_each_opcode),
		in_place(test_runs),
		in_place(test_nothing),
		in_place(test_names),
		in_place(test_refused_opcodes),
		in_place(test_refused_values),
		in_place(test_refused_objects),
		in_place(test_deep),
		in_place(test_deepest),
		in_place(test_long_name),
		in_place(test_a_million_of_one),
		in_place(test_round_trip),
		in_place(test_truncated_anywhere),
		in_place(test_flipped_bits),
		in_place(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
