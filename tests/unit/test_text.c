// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Text as Python has it: what is shown of it, and numbers for people. */
#include "support.h"
#include "base/cleanup.h"
#include "base/text.h"
#include <locale.h>
#include <string.h>

static void test_decode(void **state)
{
	static const struct {
		const char *text;
		uint32_t code;
		size_t size;
	} cases[] = {
		{"a", 'a', 1},
		{"\xc3\xa9", 0xe9, 2},
		{"\xe2\x82\xac", 0x20ac, 3},
		{"\xf0\x9f\x98\x80", 0x1f600, 4},
		{"\xf4\x8f\xbf\xbf", 0x10ffff, 4},
		{"\xed\xa0\x80", 0xd800, 3},
		{"\xed\xbf\xbf", 0xdfff, 3},
		{"\xc0\x80", 0, 2},
		/* Too long, too large, cut off, out of place. */
		{"\xc1\xbf", TEXT_INVALID + 0xc1, 1},
		{"\xe0\x80\x80", TEXT_INVALID + 0xe0, 1},
		{"\xf0\x80\x80\x80", TEXT_INVALID + 0xf0, 1},
		{"\xf4\x90\x80\x80", TEXT_INVALID + 0xf4, 1},
		{"\xf8\x80\x80\x80", TEXT_INVALID + 0xf8, 1},
		{"\xe2\x82", TEXT_INVALID + 0xe2, 1},
		{"\xe2", TEXT_INVALID + 0xe2, 1},
		{"\xe2\x82z", TEXT_INVALID + 0xe2, 1},
		{"\x80", TEXT_INVALID + 0x80, 1},
		{"\xff", TEXT_INVALID + 0xff, 1},
	};

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++) {
		uint32_t code;

		assert_int_equal(text_decode(cases[i].text, &code), cases[i].size);
		assert_int_equal(code, cases[i].code);
	}
}

static void test_encode_is_the_inverse(void **state)
{
	(void)state;
	for (uint32_t code = 1; code <= 0x10ffff; code += code < 0x900 ? 1 : 251) {
		char buffer[5] = {0};
		size_t size = text_encode(code, buffer);
		uint32_t back;

		assert_int_equal(text_decode(buffer, &back), size);
		assert_int_equal(back, code);
	}
}

static void assert_displays(const char *text, const char *expected)
{
	cleanup_free char *shown = text_display(text);

	assert_non_null(shown);
	assert_string_equal(shown, expected);
}

static void test_display(void **state)
{
	(void)state;
	assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
	assert_displays("", "");
	assert_displays("/srv/g\xc3\xb6.py", "/srv/g\xc3\xb6.py");
	assert_displays("a\033[31m\n\t", "a\\x1b[31m\\x0a\\x09");
	assert_displays("\xed\xb3\xbf\xff\xc2\x85", "\\udcff\\xff\\x85");
	assert_displays("\xe2\x80\xae\xe2\x80\xa8", "\\u202e\\u2028");
	assert_displays("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
	assert_displays("\xf4\x8f\xbf\xbf", "\\U0010ffff");
	assert_displays("\xc0\x80", "\\x00");
	assert_non_null(setlocale(LC_CTYPE, "C"));
	assert_displays("g\xc3\xb6\xe2\x82\xac", "g\\xf6\\u20ac");
}

static void test_strict(void **state)
{
	static const char expected[] = "a\xef\xbf\xbd\xef\xbf\xbd\0\xc3\xb6";
	size_t size;
	cleanup_free char *strict = text_strict("a\xed\xa0\x80\xff\xc0\x80\xc3\xb6", &size);

	(void)state;
	assert_int_equal(size, sizeof(expected) - 1);
	assert_memory_equal(strict, expected, sizeof(expected));
}

static void test_width(void **state)
{
	(void)state;
	assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
	assert_int_equal(text_width("abc"), 3);
	assert_int_equal(text_width("\xe5\x87\xbd\xe6\x95\xb0"), 4);
	assert_int_equal(text_width("e\xcc\x81"), 1);
}

/* The expected texts are those of Python's tracemalloc._format_size(n, False). */
static void test_size(void **state)
{
	static const struct {
		uint64_t size;
		const char *text;
	} cases[] = {
		{0, "0 B"},
		{99, "99 B"},
		{10239, "10239 B"},
		{10240, "10.0 KiB"},
		{102399, "100.0 KiB"},
		{102400, "100 KiB"},
		{10485759, "10240 KiB"},
		{10485760, "10.0 MiB"},
		{1099511627776, "1024 GiB"},
		{10995116277760, "10.0 TiB"},
		{UINT64_MAX, "16777216 TiB"},
	};
	char buffer[TEXT_NUMBER_MAX];

	(void)state;
	for (size_t i = 0; i < array_size(cases); i++)
		assert_string_equal(text_size(cases[i].size, buffer), cases[i].text);
	assert_string_equal(text_average(153, 2, buffer), "76 B"); /* half to even, as in Python */
	assert_string_equal(text_average(155, 2, buffer), "78 B");
	assert_string_equal(text_average(7, 0, buffer), "0 B");
	assert_string_equal(text_share(1, 3, buffer), "33.3 %");
	assert_string_equal(text_share(1, 0, buffer), "-");
}

static void test_time(void **state)
{
	char buffer[TEXT_NUMBER_MAX];

	(void)state;
	assert_string_equal(text_time(1, buffer), "1970-01-01 00:00:00");
	assert_string_equal(text_time(1000000000999999999, buffer), "2001-09-09 01:46:40");
	assert_string_equal(text_time(INT64_MAX, buffer), "2262-04-11 23:47:16");
	assert_string_equal(text_time(0, buffer), "");
	assert_string_equal(text_time(INT64_MIN, buffer), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),  cmocka_unit_test(test_encode_is_the_inverse),
		cmocka_unit_test(test_display), cmocka_unit_test(test_strict),
		cmocka_unit_test(test_width),   cmocka_unit_test(test_size),
		cmocka_unit_test(test_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
