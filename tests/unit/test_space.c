// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From addresses to arenas and blocks; labels of blocks. */
#include "support.h"

#include <stdlib.h>

#include "python/heap/arenas.h"
#include "python/heap/marks.h"
#include "python/python.h"
#include "python/heap/space.h"

#define ARENAS 300

/* Arenas of 256 KiB wherever a page begins, as up to 3.9, or aligned ones of 1 MiB. */
static void space_check(uint32_t arena_bits, uint32_t pool_size, bool aligned)
{
	struct python python = {
		.heap = {.arena_bits = arena_bits, .pool_size = pool_size, .alignment = 16}};
	struct python_arena arenas[ARENAS];
	struct python_arenas heap = {.list = arenas, .count = ARENAS};
	struct python_heaps heaps = {&heap, 1};
	uint64_t address = 0x7f0000000000, size = 1ULL << arena_bits;
	struct python_space *space;

	srand(7);
	for (size_t i = 0; i < ARENAS; i++) {
		uint64_t gap =
			(uint64_t)(rand() % 3) * (aligned ? size : 4096 * (uint64_t)(rand() % 50));

		address += gap;
		arenas[i] = (struct python_arena){.address = address};
		address += size;
	}
	support_ok(python_space_create(&python, &heaps, &space));
	assert_int_equal(python_space_arena(space, arenas[0].address - 1), PYTHON_NO_ARENA);
	assert_int_equal(python_space_arena(space, 0), PYTHON_NO_ARENA);
	assert_int_equal(python_space_arena(space, UINT64_MAX), PYTHON_NO_ARENA);
	for (uint32_t i = 0; i < ARENAS; i++) {
		assert_int_equal(python_space_arena(space, arenas[i].address), i);
		assert_int_equal(python_space_arena(space, arenas[i].address + size - 1), i);
		if (i + 1 == ARENAS || arenas[i + 1].address > arenas[i].address + size)
			assert_int_equal(python_space_arena(space, arenas[i].address + size),
					 PYTHON_NO_ARENA);
	}
	python_space_destroy(space);
}

/* The longest row of units in use: no search can be longer. */
static uint32_t longest_search(const struct python_space *space)
{
	uint32_t longest = 0, row = 0;

	for (uint32_t i = 0; i < 2 * (space->unit_mask + 1); i++) {
		if (!space->units[i & space->unit_mask].number)
			row = 0;
		else if (++row > longest)
			longest = row;
	}
	return longest;
}

/* A target that lays its arenas where their numbers have the same last bits slows no search. */
static void test_chosen_arenas(void **state)
{
	enum { COUNT = 4096 };
	struct python python = {.heap = {.arena_bits = 20, .pool_size = 16384, .alignment = 16}};
	static struct python_arena arenas[COUNT];
	struct python_arenas heap = {.list = arenas, .count = COUNT};
	struct python_heaps heaps = {&heap, 1};
	struct python_space *space;

	(void)state;
	for (uint64_t i = 0; i < COUNT; i++)
		arenas[i].address = ((i + 1) << 14 << 20) + (1 << 20);
	support_ok(python_space_create(&python, &heaps, &space));
	/* A quarter full, with the numbers thrown about: rows of twenty, not of thousands. */
	assert_in_range(longest_search(space), 1, COUNT / 8);
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(python_space_arena(space, arenas[i].address), i);
	python_space_destroy(space);
}

static void test_arenas(void **state)
{
	(void)state;
	space_check(18, 4096, false);
	space_check(20, 16384, false);
	space_check(20, 16384, true);
}

static void test_blocks(void **state)
{
	struct python python = {.heap = {.arena_bits = 20, .pool_size = 16384, .alignment = 16}};
	struct python_arena arena = {.address = 0x10001000}; /* its first pool is at 0x10004000 */
	struct python_arenas heap = {.list = &arena, .count = 1};
	struct python_heaps heaps = {&heap, 1};
	struct python_space_block block;
	struct python_space *space;
	const uint64_t pool = 0x10004000, last = pool + 62 * 16384;

	(void)state;
	support_ok(python_space_create(&python, &heaps, &space));
	assert_false(python_space_block(space, pool + 48, &block));
	python_space_pool_set(space, pool, 96);
	python_space_pool_set(space, last, 512);
	python_space_pool_set(space, 0x7000, 16);
	assert_false(python_space_block(space, pool + 47, &block));
	for (uint64_t i = 0; i < (16384 - 48) / 96; i++) {
		assert_true(python_space_block(space, pool + 48 + i * 96 + 95, &block));
		assert_int_equal(block.arena, 0);
		assert_int_equal(block.size, 96);
		assert_int_equal(block.granule, (pool + 48 + i * 96 - arena.address) / 16);
	}
	/* Behind the last block there is no room for another one. */
	assert_false(python_space_block(space, pool + 16383, &block));
	assert_true(python_space_block(space, last + 48 + 512, &block));
	assert_int_equal(block.granule, (last + 48 + 512 - arena.address) / 16);
	assert_false(python_space_block(space, pool + 16384 + 48, &block));
	python_space_destroy(space);
}

static void test_marks(void **state)
{
	struct python_marks marks;
	uint16_t expected[2][4096] = {0};
	unsigned int count = 0;

	(void)state;
	support_ok(python_marks_init(&marks, 3, 4096));
	srand(11);
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t arena = (uint32_t)rand() % 2, granule = (uint32_t)rand() % 4096;

		support_ok(python_marks_set(&marks, arena, granule));
		expected[arena][granule] = 1;
	}
	/* Not before they are counted. */
	assert_null(python_marks_label(&marks, 0, 0));
	support_ok(python_marks_count(&marks));
	for (uint32_t i = 0; i < 2 * 4096; i++) {
		uint16_t *label = python_marks_label(&marks, i / 4096, i % 4096);

		assert_int_equal(label != NULL, expected[i / 4096][i % 4096]);
		if (label)
			*label = expected[i / 4096][i % 4096] = (uint16_t)++count;
	}
	for (uint32_t i = 0; i < 2 * 4096; i++) {
		uint16_t *label = python_marks_label(&marks, i / 4096, i % 4096);

		if (label)
			assert_int_equal(*label, expected[i / 4096][i % 4096]);
	}
	assert_true(count > 1000);
	assert_null(python_marks_label(&marks, 2, 5));
	python_marks_deinit(&marks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arenas),
		cmocka_unit_test(test_chosen_arenas),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
