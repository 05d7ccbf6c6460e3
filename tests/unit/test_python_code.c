// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Strings of all kinds and code objects, sane and not. */
#include "support.h"
#include "memory_fake.h"
#include "base/cleanup.h"
#include "python/code.h"
#include "python/layout_table.h"
#include "python/python_internal.h"
#include <string.h>

#define CODE     0x10000
#define FILENAME 0x20000
#define NAME     0x30000
#define QUALNAME 0x40000
#define TABLE    0x50000

static const struct python_layout *layout_of(unsigned minor)
{
	const struct layout_entry *entry = python_layout_entry(0x03000000 | minor << 16);

	assert_non_null(entry);
	return &entry->layout;
}

static void decode(unsigned kind, const void *characters, uint64_t length, const char *expected)
{
	cleanup_free char *text = python_string_decode(kind, characters, length);

	assert_non_null(text);
	assert_string_equal(text, expected);
}

static void test_decode(void **state)
{
	static const uint32_t four[] = {'a', 0xe9, 0x20ac, 0x1f40d, 0x10ffff};
	static const uint32_t beyond[] = {0x110000};

	(void)state;
	decode(1, "plain", 5, "plain");
	decode(1, "", 0, "");
	decode(1, "caf\xe9", 4, "caf\xc3\xa9");
	decode(2, (const uint16_t[]){0x17e, 0x20ac}, 2, "\xc5\xbe\xe2\x82\xac");
	/* Lone surrogates stay what they are. */
	decode(2, (const uint16_t[]){0xdc80, 'x', 0xd800}, 3, "\xed\xb2\x80x\xed\xa0\x80");
	decode(4, four, 5, "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x8d\xf4\x8f\xbf\xbf");
	decode(1, "a\0b", 3,
	       "a\xc0\x80"
	       "b");
	assert_null(python_string_decode(4, (const uint8_t *)beyond, 1));
	assert_null(python_string_decode(3, (const uint8_t *)"abc", 1));
	assert_null(python_string_decode(0, (const uint8_t *)"", 0));
	assert_null(python_string_decode(1, (const uint8_t *)"", UINT64_MAX));
}

/* A str as MINOR lays it out; COMPACT false: a subclass' instance, characters elsewhere. */
static void string_put(struct memory_fake *fake, unsigned minor, uint64_t address, unsigned kind,
		       bool ascii, const void *characters, uint64_t length)
{
	const struct python_layout *layout = layout_of(minor);
	uint32_t state = kind << layout->unicode.kind_shift | 1u << layout->unicode.compact_shift |
			 (uint32_t)ascii << layout->unicode.ascii_shift;

	if (layout->unicode.ready_shift != PYTHON_NO_OFFSET)
		state |= 1u << layout->unicode.ready_shift;
	memory_fake_add(fake, address, 256 + length * kind);
	memory_fake_put_u64(fake, address + layout->unicode.length, length);
	memory_fake_put_u32(fake, address + layout->unicode.state, state);
	memory_fake_put(
		fake, address + (ascii ? layout->unicode.ascii_data : layout->unicode.compact_data),
		characters, length * kind);
}

static void code_put(struct memory_fake *fake, unsigned minor)
{
	const struct python_layout *layout = layout_of(minor);

	memory_fake_add(fake, CODE, layout->code.size);
	memory_fake_put_u64(fake, CODE + layout->code.filename, FILENAME);
	memory_fake_put_u64(fake, CODE + layout->code.name, NAME);
	if (layout->code.qualname != PYTHON_NO_OFFSET)
		memory_fake_put_u64(fake, CODE + layout->code.qualname, QUALNAME);
	memory_fake_put_u64(fake, CODE + layout->code.linetable, TABLE);
	memory_fake_put_u32(fake, CODE + layout->code.firstlineno, 42);
	if (layout->code.firsttraceable != PYTHON_NO_OFFSET)
		memory_fake_put_u32(fake, CODE + layout->code.firsttraceable, 7);
	string_put(fake, minor, FILENAME, 1, true, "/srv/app.py", 11);
	string_put(fake, minor, NAME, 2, false, (const uint16_t[]){0x3bb, 'x'}, 2);
	string_put(fake, minor, QUALNAME, 4, false, (const uint32_t[]){'K', '.', 0x1f40d}, 3);
	memory_fake_add(fake, TABLE, 64);
	memory_fake_put_u64(fake, TABLE + layout->bytes.size, 3);
	memory_fake_put(fake, TABLE + layout->bytes.data, "\x01\x02\x03", 3);
}

static void test_code(void **state)
{
	unsigned minor;

	(void)state;
	for (minor = 6; minor <= 15; minor++) {
		const struct python_layout *layout = layout_of(minor);
		cleanup(memory_fake_deinit) struct memory_fake fake;
		cleanup(python_code_deinit) struct python_code code = {0};

		memory_fake_init(&fake);
		code_put(&fake, minor);
		support_ok(python_code_read(&fake.process.memory, layout, CODE, &code));
		assert_string_equal(code.filename, "/srv/app.py");
		assert_string_equal(code.name, "\xce\xbbx");
		if (minor >= 11) {
			assert_string_equal(code.qualname, "K.\xf0\x9f\x90\x8d");
			assert_int_equal(code.firsttraceable, 7);
		} else {
			assert_null(code.qualname);
			assert_int_equal(code.firsttraceable, 0);
		}
		assert_int_equal(code.firstlineno, 42);
		assert_int_equal(code.table_size, 3);
		assert_memory_equal(code.table, "\x01\x02\x03", 3);
	}
}

/* One field of an otherwise sane code object's parts set to VALUE: refused, with TEXT. */
static void code_refused(uint64_t address, uint64_t value, const char *text)
{
	cleanup(memory_fake_deinit) struct memory_fake fake;
	struct python_code code;

	memory_fake_init(&fake);
	code_put(&fake, 11);
	memory_fake_put_u64(&fake, address, value);
	support_fails(python_code_read(&fake.process.memory, layout_of(11), CODE, &code),
		      ERROR_FAILED, text);
}

static void test_code_hostile(void **state)
{
	const struct python_layout *layout = layout_of(11);

	(void)state;
	code_refused(CODE + layout->code.filename, 0xdead0000, "nothing at 0xdead0000");
	code_refused(CODE + layout->code.filename, UINT64_MAX - 3, "beyond all addresses");
	code_refused(NAME + layout->unicode.length, 65537, "over 65536 characters");
	code_refused(NAME + layout->unicode.length, UINT64_MAX, "no valid kind");
	code_refused(NAME + layout->unicode.length, 4000, "nothing at");
	code_refused(NAME + layout->unicode.state, 0, "no valid kind");
	code_refused(NAME + layout->unicode.state, UINT64_MAX, "no valid kind");
	code_refused(QUALNAME + layout->unicode.compact_data, 0x00110000, "beyond U+10FFFF");
	code_refused(TABLE + layout->bytes.size, (16 << 20) + 1, "a line table of 16777217 bytes");
	code_refused(TABLE + layout->bytes.size, UINT64_MAX, "a line table of");
}

/* An instance of a subclass of str has its characters at a pointer. */
static void test_code_subclass(void **state)
{
	const struct python_layout *layout = layout_of(12);
	cleanup(memory_fake_deinit) struct memory_fake fake;
	cleanup(python_code_deinit) struct python_code code = {0};

	(void)state;
	memory_fake_init(&fake);
	code_put(&fake, 12);
	memory_fake_put_u32(&fake, FILENAME + layout->unicode.state,
			    1u << layout->unicode.kind_shift | 1u << layout->unicode.ascii_shift);
	memory_fake_put_u64(&fake, FILENAME + layout->unicode.compact_data, 0x60000);
	memory_fake_add(&fake, 0x60000, 11);
	memory_fake_put(&fake, 0x60000, "elsewhere.p", 11);
	support_ok(python_code_read(&fake.process.memory, layout, CODE, &code));
	assert_string_equal(code.filename, "elsewhere.p");
}

static void test_header(void **state)
{
	const struct python_layout *layout = layout_of(11);
	uint8_t header[72] = {0};
	unsigned kind = 0;
	uint64_t length = 0;
	uint32_t offset = 0;

	(void)state;
	header[16] = 5;
	header[32] = 1 << 2 | 1 << 5 | 1 << 6 | 1 << 7; /* kind 1, compact, ASCII, ready */
	assert_true(python_string_header(layout, header, sizeof(header), &kind, &length, &offset));
	assert_int_equal(kind, 1);
	assert_int_equal(length, 5);
	assert_int_equal(offset, 48);
	header[32] = 2 << 2 | 1 << 5 | 1 << 7;
	assert_true(python_string_header(layout, header, sizeof(header), &kind, &length, &offset));
	assert_int_equal(kind, 2);
	assert_int_equal(offset, 72);
	/* Too little of it; not compact; not ready; ASCII of two bytes. */
	assert_false(python_string_header(layout, header, 71, &kind, &length, &offset));
	header[32] = 2 << 2 | 1 << 7;
	assert_false(python_string_header(layout, header, sizeof(header), &kind, &length, &offset));
	header[32] = 2 << 2 | 1 << 5;
	assert_false(python_string_header(layout, header, sizeof(header), &kind, &length, &offset));
	header[32] = 2 << 2 | 1 << 5 | 1 << 6 | 1 << 7;
	assert_false(python_string_header(layout, header, sizeof(header), &kind, &length, &offset));
}

static void version_is(const char *text, uint32_t expected)
{
	uint32_t version = 0;

	assert_true(python_version_parse(text, &version));
	assert_int_equal(version, expected);
}

static void test_version(void **state)
{
	static const char *const wrong[] = {
		"",        "3",         "3.",         "3.8",     "3.8.",
		"3.8.x",   "3.8.1 ",    "x3.8.1",     "3.256.1", "3.8.999999999999",
		"3.8.1rc", "3.8.1rc16", "3.8.1beta1", "3..1",    "-3.8.1"};
	uint32_t version;
	char text[24];
	size_t i;

	(void)state;
	version_is("3.8.18", 0x030812f0);
	version_is("3.10.0rc2", 0x030a00c2);
	version_is("3.9.0a6+", 0x030900a6);
	version_is("3.15.0b1", 0x030f00b1);
	for (i = 0; i < array_size(wrong); i++)
		assert_false(python_version_parse(wrong[i], &version));
	python_version_text(0x030b02f0, text);
	assert_string_equal(text, "3.11.2");
	python_version_text(0x030f00c2, text);
	assert_string_equal(text, "3.15.0rc2");
	python_version_text(0xffffffff, text);
	assert_true(strlen(text) < sizeof(text));
}

/* The offsets that were measured on running interpreters, independently of the table's script. */
static void test_table(void **state)
{
	static const uint32_t lasti[] = {120, 104, 104, 104, 96, 56, 56, 56, 56, 56};
	static const uint32_t filename[] = {96, 96, 104, 104, 104, 112, 112, 112, 112, 112};
	static const uint32_t firstlineno[] = {36, 36, 40, 40, 40, 72, 68, 68, 68, 68};
	static const uint32_t linetable[] = {112, 112, 120, 120, 120, 136, 136, 136, 136, 136};
	unsigned minor;

	(void)state;
	assert_int_equal(layout_count, 10);
	for (minor = 6; minor <= 15; minor++) {
		const struct python_layout *layout = layout_of(minor);

		assert_int_equal(layout->frame.lasti, lasti[minor - 6]);
		assert_int_equal(layout->code.filename, filename[minor - 6]);
		assert_int_equal(layout->code.name, filename[minor - 6] + 8);
		assert_int_equal(layout->code.firstlineno, firstlineno[minor - 6]);
		assert_int_equal(layout->code.linetable, linetable[minor - 6]);
		assert_int_equal(layout->unicode.ascii_data, minor <= 11 ? 48 : 40);
		assert_int_equal(layout->bytes.data, 32);
		assert_int_equal(layout->tstate.next, 8);
		assert_int_equal(layout->tstate.interp, 16);
		assert_true(layout->frame.size <= 128);
	}
	assert_null(python_layout_entry(0x03050000));
	assert_null(python_layout_entry(0x03100000));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),       cmocka_unit_test(test_code),
		cmocka_unit_test(test_code_hostile), cmocka_unit_test(test_code_subclass),
		cmocka_unit_test(test_header),       cmocka_unit_test(test_version),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("code objects", tests, NULL, NULL);
}
