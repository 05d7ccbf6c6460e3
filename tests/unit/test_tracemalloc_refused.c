// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pickles that no Snapshot.dump() writes: each is refused, with where and why. */
#include "support.h"
#include "base/cleanup.h"
#include "pickle_bytes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static const struct refusal opcodes[] = {
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

static void test_refused_opcodes(void **state)
{
	for (size_t i = 0; i < array_size(opcodes); i++)
		assert_refused(*state, &opcodes[i]);
}

static const struct refusal values[] = {
	/* Numbers. */
	REFUSED(START, "J\xff\xff\xff\xff", "a negative number"),
	REFUSED(START, "J\0\0\0\x80", "a negative number"),
	REFUSED(START, "\x8a\x01\x80", "a negative number"),
	REFUSED(START, "\x8a\x09\0\0\0\0\0\0\0\0\x01", "a number of more than 64 bits"),
	REFUSED(START "\x8a\x05\0\0\0\0\x01K\x05" TRACEBACK, "\x87", "the domain 4294967296"),
	REFUSED(START "K\x00\x8a\x09\0\0\0\0\0\0\0\x80\0" TRACEBACK, "\x87",
		"a block of 9223372036854775808 bytes"),
	REFUSED(START "\x8c\x01x\x8a\x05\0\0\0\0\x01", "\x86", "the line number 4294967296"),
	REFUSED(START "(K\x00K\x05" TRACEBACK "\x8a\x05\0\0\0\0\x01", "t",
		"the total_nframe 4294967296"),
	REFUSED(START "(K\x00K\x05" TRACEBACK "K\x00", "t",
		"a traceback of 1 frames with 0 in all"),
	/* More than 63 bits together: of equal blocks, and of others. */
	REFUSED(START "(K\x00\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f" TRACEBACK "\x87\x94h\x03",
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
	REFUSED("\x80\x04", "\x95\xff\xff\xff\xff\xff\xff\xff\xff", "a frame of 184467440737"),
	REFUSED("\x80\x04\x95\x05\0\0\0\0\0\0\0", "\x8c\x0btracemalloc",
		"its frame ends at byte 16"),
	REFUSED("\x80\x04\x95\x68\0\0\0\0\0\0\0" SNAPSHOT "(" LIST "sb" LIMIT "ub", ".",
		"its frame ends at byte 115"),
};

static void test_refused_values(void **state)
{
	for (size_t i = 0; i < array_size(values); i++)
		assert_refused(*state, &values[i]);
}

static const struct refusal objects[] = {
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
	REFUSED(START "(K\x00K\x05" TRACEBACK "h\x02", "t", "a tuple whose total_nframe is"),
	REFUSED(START OLD "a(K\x00K\x05h\x02K\x01", "t", "a trace of 4 elements among those"),
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
	REFUSED("\x80\x04" SNAPSHOT "\x8c\x06traces]", "s", "an attribute that no Snapshot has"),
	REFUSED("\x80\x04" SNAPSHOT "\x8c\x0ftraceback_limit\x8a\x05\0\0\0\0\x01", "s",
		"an attribute that no Snapshot has"),
	REFUSED("\x80\x04" SNAPSHOT "(" LIMIT LIMIT, "u", "an attribute is there twice"),
	REFUSED("\x80\x04" SNAPSHOT "(\x8c\x0ftraceback_limit", "u",
		"an attribute without a value"),
	/* One that is not built yet: its state could come later. */
	REFUSED(START "s\x8c\x06traces\x8c\x0btracemalloc\x8c\x07_Traces\x93)", "\x81",
		"a second object of the same class"),
	REFUSED("\x80\x04" SNAPSHOT "\x8c\x06traces\x8c\x0btracemalloc\x8c\x07_Traces\x93)\x81",
		"s", "an attribute that no Snapshot has"),
	REFUSED("\x80\x04" SNAPSHOT LIMIT "s", "b", "an object with other attributes than"),
	REFUSED("\x80\x04" SNAPSHOT, "b", "an object with other attributes than its class"),
	REFUSED("\x80\x04}K\x01", "b", "an opcode for an object, and it is none"),
};

static void test_refused_objects(void **state)
{
	for (size_t i = 0; i < array_size(objects); i++)
		assert_refused(*state, &objects[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_place(test_refused_opcodes),
		in_place(test_refused_values),
		in_place(test_refused_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
