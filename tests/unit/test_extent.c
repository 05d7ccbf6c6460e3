// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which words of objects of each kind may refer to something. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "python/heap/extent.h"
#include "python/python.h"

#define FLAG_INT   (1u << 24)
#define FLAG_BYTES (1u << 27)

enum { INT_TYPE = 0x1000, TUPLE_TYPE = 0x2000, CODE_TYPE = 0x3000, OTHER_TYPE = 0x4000 };

static struct python python;
static const struct python_extent_reader reader = {
	.python = &python,
	.leaf_types = {INT_TYPE},
	.tuple_type = TUPLE_TYPE,
	.code_type = CODE_TYPE,
};

static void start(uint32_t version)
{
	python = (struct python){.version = version};
	python.layout.bytes.data = 32;
	python.layout.unicode.state = 32;
	python.layout.unicode.compact_shift = 5;
	python.layout.unicode.ascii_shift = 6;
	python.layout.unicode.compact_data = 56;
}

/*
 * The extent in a block of SIZE bytes with an object of TYPE at byte 16, whose word at 16 is ITEMS
 * and the one at 32 STATE.
 */
static struct python_extent extent_of(const struct python_type *type, uint64_t size, int64_t items,
				      uint32_t state)
{
	static const struct python_object object = {.type = 0, .offset = 16};
	struct python_extent extent;
	uint8_t block[512] = {0};

	memcpy(block + 16 + 16, &items, sizeof(items));
	memcpy(block + 16 + 32, &state, sizeof(state));
	python_extent_find(&reader, type, &object, block, size < 512 ? (uint32_t)size : 512, size,
			   &extent);
	return extent;
}

static void check(struct python_extent extent, uint64_t hole, uint64_t hole_end, uint64_t end,
		  uint64_t most)
{
	assert_int_equal(extent.hole, hole);
	assert_int_equal(extent.hole_end, hole_end);
	assert_int_equal(extent.end, end);
	assert_int_equal(extent.most, most);
}

static void test_leaf(void **state)
{
	const struct python_type type = {
		.address = INT_TYPE, .basicsize = 24, .itemsize = 4, .flags = FLAG_INT};

	(void)state;
	start(0x030b0000);
	check(extent_of(&type, 64, 3, 0), 0, 0, 0, 0);
}

/* The digits are skipped; behind them lies the dict, up to 3.11. */
static void test_int(void **state)
{
	struct python_type type = {
		.address = OTHER_TYPE, .basicsize = 32, .itemsize = 4, .flags = FLAG_INT};

	(void)state;
	start(0x030b0000);
	check(extent_of(&type, 80, 3, 0), 40, 56, 64, 64);
	check(extent_of(&type, 80, -3, 0), 40, 56, 64, 64);
	/* A count that no block has room for. */
	check(extent_of(&type, 80, INT64_MIN, 0), 40, 80, 80, 80);
	start(0x030c0000);
	type.basicsize = 24;
	check(extent_of(&type, 80, 3 << 3 | 2, 0), 40, 56, 56, 56);
	check(extent_of(&type, 80, -1, 0), 40, 80, 80, 80);
}

static void test_bytes(void **state)
{
	const struct python_type type = {
		.address = OTHER_TYPE, .basicsize = 41, .itemsize = 1, .flags = FLAG_BYTES};

	(void)state;
	start(0x030b0000);
	check(extent_of(&type, 96, 20, 0), 40, 72, 80, 80);
	check(extent_of(&type, 1 << 20, 500000, 0), 40, 500056, 500064, 500064);
}

static void test_str(void **state)
{
	const struct python_type type = {.address = OTHER_TYPE, .basicsize = 80, .is_str = true};

	(void)state;
	start(0x030b0000);
	check(extent_of(&type, 112, 5, 1 << 5 | 1 << 6), 0, 0, 0, 0);
	check(extent_of(&type, 112, 5, 1 << 5), 72, 72, 72, 72);
	check(extent_of(&type, 112, 5, 0), 96, 96, 96, 96);
}

static void test_items(void **state)
{
	struct python_type type = {.address = TUPLE_TYPE, .basicsize = 24, .itemsize = 8};

	(void)state;
	start(0x030b0000);
	check(extent_of(&type, 80, 3, 0), 64, 64, 64, 64);
	check(extent_of(&type, 80, 50, 0), 80, 80, 80, 80);
	/*
	 * Nothing says how many items a generator has, nor what an instance of a class derived from
	 * tuple has behind them.
	 */
	type.address = OTHER_TYPE;
	check(extent_of(&type, 80, 3, 0), 64, 64, 64, 80);
	check(extent_of(&type, 80, 0, 0), 40, 40, 40, 80);
	/* Code is no words. */
	type.address = CODE_TYPE;
	check(extent_of(&type, 80, 3, 0), 40, 40, 40, 40);
	type = (struct python_type){.address = OTHER_TYPE, .basicsize = 24, .itemsize = 4};
	check(extent_of(&type, 80, 3, 0), 40, 40, 40, 40);
}

static void test_plain(void **state)
{
	struct python_type type = {.address = OTHER_TYPE, .basicsize = 40};

	(void)state;
	start(0x030d0000);
	check(extent_of(&type, 64, 3, 0), 56, 56, 56, 56);
	/* More than there is. */
	check(extent_of(&type, 32, 3, 0), 32, 32, 32, 32);
	type.has_inline_values = true;
	check(extent_of(&type, 128, 3, 0), 128, 128, 128, 128);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_leaf),  cmocka_unit_test(test_int),
		cmocka_unit_test(test_bytes), cmocka_unit_test(test_str),
		cmocka_unit_test(test_items), cmocka_unit_test(test_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
