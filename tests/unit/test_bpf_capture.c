// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A code object copied out whole: code_capture() of bpf/intern.h. */
#include "bpf_python.h"

/* A record taken apart. */
struct captured {
	const struct tmbpf_record_code *record;
	const uint8_t *filename, *name, *qualname, *table;
};

static const uint8_t *part(const uint8_t **cursor, __u32 size)
{
	const uint8_t *start = *cursor;

	*cursor += (size + 7) & ~7u;
	return start;
}

/* Captures the object at ADDRESS as code 7, and takes the record. */
static struct captured capture(uint64_t address)
{
	struct captured ret;
	const uint8_t *cursor;
	size_t size;

	assert_int_equal(code_capture(address, 7), 0);
	ret.record = emulation_ring_take(&size);
	assert_non_null(ret.record);
	assert_int_equal(ret.record->record.type, TMBPF_RECORD_CODE);
	assert_int_equal(ret.record->record.size, size);
	assert_int_equal(ret.record->id, 7);
	assert_int_equal(ret.record->address, address);
	cursor = (const uint8_t *)(ret.record + 1);
	ret.filename = part(&cursor, ret.record->filename.captured);
	ret.name = part(&cursor, ret.record->name.captured);
	ret.qualname = part(&cursor, ret.record->qualname.captured);
	ret.table = part(&cursor, ret.record->table_captured);
	/* No more and no less than its parts. */
	assert_int_equal(cursor - (const uint8_t *)ret.record, size);
	return ret;
}

static void assert_string(const struct tmbpf_string *string, const uint8_t *characters,
			  unsigned kind, const void *expected, __u32 length)
{
	assert_int_equal(string->kind, kind);
	assert_int_equal(string->length, length);
	assert_int_equal(string->captured, length * kind);
	assert_memory_equal(characters, expected, length * kind);
}

static void assert_unreadable(const struct tmbpf_string *string)
{
	assert_int_equal(string->kind, 0);
	assert_int_equal(string->captured, 0);
}

static void test_every_version(void **context)
{
	(void)context;
	for (unsigned minor = 6; minor <= 15; minor++) {
		static const uint8_t table[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
		struct captured got;
		uint64_t code;

		fake_start(minor, NULL);
		code = fake_code("/srv/app/main.py", "handle", 4321);
		memory_put_u64(code + cfg.code_linetable, fake_bytes(table, sizeof(table)));
		if (cfg.code_qualname != PYTHON_NO_OFFSET)
			memory_put_u64(code + cfg.code_qualname, fake_ascii("Server.handle"));
		got = capture(code);
		assert_int_equal(got.record->firstlineno, 4321);
		assert_string(&got.record->filename, got.filename, 1, "/srv/app/main.py", 16);
		assert_string(&got.record->name, got.name, 1, "handle", 6);
		if (minor < 11) {
			assert_unreadable(&got.record->qualname);
			assert_int_equal(got.record->firsttraceable, 0);
		} else {
			assert_string(&got.record->qualname, got.qualname, 1, "Server.handle", 13);
			assert_int_equal(got.record->firsttraceable, FAKE_PROLOGUE);
		}
		assert_int_equal(got.record->table_size, sizeof(table));
		assert_int_equal(got.record->table_captured, sizeof(table));
		assert_memory_equal(got.table, table, sizeof(table));
		host_lost_nothing();
	}
}

static void test_string_kinds(void **context)
{
	static const uint8_t latin[] = {'g', 0xf6, 0xff};
	static const uint16_t two[] = {0x20ac, 0xd800, 'x', 0xffff, 0};
	static const uint32_t four[] = {0x1f600, 0x10ffff};
	struct captured got;
	uint64_t code;

	(void)context;
	for (unsigned minor = 6; minor <= 15; minor++) {
		fake_start(minor, NULL);
		code = fake_code("f", "n", 1);
		memory_put_u64(code + cfg.code_filename, fake_string(1, false, latin, 3));
		memory_put_u64(code + cfg.code_name, fake_string(2, false, two, 5));
		if (cfg.code_qualname != PYTHON_NO_OFFSET)
			memory_put_u64(code + cfg.code_qualname, fake_string(4, false, four, 2));
		got = capture(code);
		assert_string(&got.record->filename, got.filename, 1, latin, 3);
		assert_string(&got.record->name, got.name, 2, two, 5);
		if (cfg.code_qualname != PYTHON_NO_OFFSET)
			assert_string(&got.record->qualname, got.qualname, 4, four, 2);
		memory_put_u64(code + cfg.code_name, fake_ascii(""));
		got = capture(code);
		assert_string(&got.record->name, got.name, 1, "", 0);
	}
}

static void test_long_strings(void **context)
{
	uint8_t text[3 * TMBPF_STRING_MAX];
	struct captured got;
	uint64_t code;

	(void)context;
	fake_start(12, NULL);
	code = fake_code("f", "n", 1);
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 100;
	memory_put_u64(code + cfg.code_filename, fake_string(1, true, text, TMBPF_STRING_MAX));
	memory_put_u64(code + cfg.code_name, fake_string(1, true, text, TMBPF_STRING_MAX + 1));
	memory_put_u64(code + cfg.code_qualname, fake_string(4, false, text, 300));
	got = capture(code);
	assert_string(&got.record->filename, got.filename, 1, text, TMBPF_STRING_MAX);
	/* The start of it, and how long it was. */
	assert_int_equal(got.record->name.length, TMBPF_STRING_MAX + 1);
	assert_int_equal(got.record->name.captured, TMBPF_STRING_MAX);
	assert_memory_equal(got.name, text, TMBPF_STRING_MAX);
	assert_int_equal(got.record->qualname.kind, 4);
	assert_int_equal(got.record->qualname.length, 300);
	assert_int_equal(got.record->qualname.captured, TMBPF_STRING_MAX);
	assert_memory_equal(got.qualname, text, TMBPF_STRING_MAX);
	host_lost_nothing();
}

static void test_damaged_strings(void **context)
{
	static const uint32_t states[] = {
		0,             /* nothing */
		3 | 8 | 16,    /* no such kind */
		7 | 8, 1 | 16, /* not compact: its characters are elsewhere */
	};
	struct captured got;
	uint64_t code, string;

	(void)context;
	fake_start(14, NULL);
	code = fake_code("f", "n", 1);
	string = fake_ascii("good");
	for (size_t i = 0; i < array_size(states); i++) {
		memory_put_u32(string + cfg.unicode_state, states[i] << cfg.unicode_kind_shift);
		memory_put_u64(code + cfg.code_name, string);
		got = capture(code);
		assert_unreadable(&got.record->name);
		assert_string(&got.record->filename, got.filename, 1, "f", 1);
	}
	fake_next = (fake_next + 2 * EMULATION_PAGE) & -(uint64_t)EMULATION_PAGE;
	string = fake_ascii("good");
	memory_put_u64(code + cfg.code_name, string);
	for (unsigned shift = 31; shift < 64; shift++) {
		memory_put_u64(string + cfg.unicode_length, 1ull << shift | 4);
		assert_unreadable(&capture(code).record->name);
	}
	/* It is gone altogether. */
	memory_unmap(string & -(uint64_t)EMULATION_PAGE, EMULATION_PAGE);
	got = capture(code);
	assert_unreadable(&got.record->name);
}

/* Each part may be missing, and the others are there all the same. */
static void test_unreadable_parts(void **context)
{
	static const uint64_t nowhere[] = {0, 8, 0xdead0000, UINT64_MAX - 3};
	struct captured got;
	uint64_t code;

	(void)context;
	fake_start(13, NULL);
	for (size_t i = 0; i < array_size(nowhere); i++) {
		code = fake_code("file", "name", 5);
		memory_put_u64(code + cfg.code_filename, nowhere[i]);
		got = capture(code);
		assert_unreadable(&got.record->filename);
		assert_string(&got.record->name, got.name, 1, "name", 4);
		code = fake_code("file", "name", 5);
		memory_put_u64(code + cfg.code_name, nowhere[i]);
		memory_put_u64(code + cfg.code_qualname, nowhere[i]);
		got = capture(code);
		assert_string(&got.record->filename, got.filename, 1, "file", 4);
		assert_unreadable(&got.record->name);
		assert_unreadable(&got.record->qualname);
		assert_int_equal(got.record->table_captured, 4);
	}
}

/* A header at the very end of the last page that is there. */
static void test_string_at_the_end(void **context)
{
	struct captured got;
	uint64_t code, string;

	(void)context;
	fake_start(11, NULL);
	code = fake_code("file", "name", 5);
	fake_next = (fake_next + EMULATION_PAGE) & -(uint64_t)EMULATION_PAGE;
	string = fake_next + EMULATION_PAGE - cfg.unicode_ascii_data - 8;
	memory_map(fake_next, EMULATION_PAGE);
	memory_put_u32(string + cfg.unicode_state, (1 | 8 | 16) << cfg.unicode_kind_shift);
	memory_put_u64(code + cfg.code_name, string);
	memory_put(string + cfg.unicode_ascii_data, "12345678", 8);
	memory_put_u64(string + cfg.unicode_length, 8);
	got = capture(code);
	assert_string(&got.record->name, got.name, 1, "12345678", 8);
	memory_put_u64(string + cfg.unicode_length, 9);
	assert_unreadable(&capture(code).record->name);
}

static void test_object_unreadable(void **context)
{
	struct captured got;

	(void)context;
	fake_start(12, NULL);
	got = capture(0xdead0000);
	assert_unreadable(&got.record->filename);
	assert_unreadable(&got.record->name);
	assert_unreadable(&got.record->qualname);
	assert_int_equal(got.record->firstlineno, 0);
	assert_int_equal(got.record->table_captured, 0);
}

static void test_large_tables(void **context)
{
	static uint8_t table[TMBPF_TABLE_MAX + 1000];
	static const uint32_t sizes[] = {
		0, 1, 8, TMBPF_TABLE_MAX - 1, TMBPF_TABLE_MAX, TMBPF_TABLE_MAX + 1, sizeof(table)};

	(void)context;
	for (size_t i = 0; i < sizeof(table); i++)
		table[i] = i * 7;
	for (size_t i = 0; i < array_size(sizes); i++) {
		__u32 most = sizes[i] < TMBPF_TABLE_MAX ? sizes[i] : TMBPF_TABLE_MAX;
		struct captured got;
		uint64_t code;

		fake_start(10, NULL);
		code = fake_code("file", "name", 5);
		memory_put_u64(code + cfg.code_linetable, fake_bytes(table, sizes[i]));
		got = capture(code);
		assert_int_equal(got.record->table_size, sizes[i]);
		assert_int_equal(got.record->table_captured, most);
		assert_memory_equal(got.table, table, most);
	}
}

/* The largest there can be: three strings and a table that are all too long. */
static void test_largest(void **context)
{
	static uint8_t table[TMBPF_TABLE_MAX + 1];
	struct captured got;
	uint64_t code, string;

	(void)context;
	fake_start(13, NULL);
	memset(table, 'x', sizeof(table));
	code = fake_code("file", "name", 5);
	string = fake_string(4, false, table, 2000);
	memory_put_u64(code + cfg.code_filename, string);
	memory_put_u64(code + cfg.code_name, string);
	memory_put_u64(code + cfg.code_qualname, string);
	memory_put_u64(code + cfg.code_linetable, fake_bytes(table, sizeof(table)));
	got = capture(code);
	assert_int_equal(got.record->record.size, CAPTURE_MAX);
	assert_int_equal(got.record->table_captured, TMBPF_TABLE_MAX);
	/* The next one does not see what is left of it. */
	got = capture(fake_code("f", "n", 6));
	assert_string(&got.record->filename, got.filename, 1, "f", 1);
	assert_int_equal(got.record->table_captured, 4);
}

/* A table that cannot be read is not an empty one: lines would be made up from it. */
static void test_table_unreadable(void **context)
{
	static const uint64_t nowhere[] = {0, 0xdead0000};
	struct captured got;
	uint64_t code, table;

	(void)context;
	fake_start(9, NULL);
	code = fake_code("file", "name", 5);
	for (size_t i = 0; i < array_size(nowhere); i++) {
		memory_put_u64(code + cfg.code_linetable, nowhere[i]);
		got = capture(code);
		assert_int_equal(got.record->table_captured, 0);
		assert_int_not_equal(got.record->table_size, 0);
	}
	table = fake_bytes("1234", 4);
	memory_put_u64(code + cfg.code_linetable, table);
	memory_put_u64(table + cfg.bytes_size, 1ull << 40);
	got = capture(code);
	assert_int_equal(got.record->table_captured, 0);
	assert_int_not_equal(got.record->table_size, 0);
	/* A size that fits, of bytes that are not there. */
	memory_put_u64(table + cfg.bytes_size, 1 << 20);
	got = capture(code);
	assert_int_equal(got.record->table_captured, 0);
	assert_int_equal(got.record->table_size, 1 << 20);
	assert_string(&got.record->name, got.name, 1, "name", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_version),     cmocka_unit_test(test_string_kinds),
		cmocka_unit_test(test_long_strings),      cmocka_unit_test(test_damaged_strings),
		cmocka_unit_test(test_unreadable_parts),  cmocka_unit_test(test_string_at_the_end),
		cmocka_unit_test(test_object_unreadable), cmocka_unit_test(test_large_tables),
		cmocka_unit_test(test_largest),           cmocka_unit_test(test_table_unreadable),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	emulation_reset();
	return failed;
}
