// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* pymalloc's array of arenas where malloc does not say how long it is. */
#include "support.h"

#include <string.h>

#include "base/cleanup.h"
#include "memory_fake.h"
#include "python/heap/arenas.h"
#include "python/python.h"

#define DATA     0x600000 /* usedpools, and the word that leads to the array */
#define ARRAY    0x7f0000001000ULL
#define ARENA(i) (0x7f1000000000ULL + ((uint64_t)(i) << 20))
#define POOL     16384
#define CLASSES  32
#define ELEMENT  48

struct world {
	struct memory_fake fake;
	struct image image;
	struct image_segment segment;
	struct python python;
	uint64_t length;
};

static void put(struct world *world, uint64_t i, unsigned word, uint64_t value)
{
	memory_fake_put_u64(&world->fake, ARRAY + i * ELEMENT + 8 * word, value);
}

/* Element I is an arena, with a pool or two in use. */
static void arena_put(struct world *world, uint64_t i, uint64_t address)
{
	put(world, i, 0, address);
	put(world, i, 1, address + 2 * POOL);
	put(world, i, 2, 62 | 64ULL << 32);
	for (unsigned word = 3; word < 6; word++)
		put(world, i, word, 0);
}

/* An array of LENGTH: the elements for which USED holds are arenas, the others on a list. */
static void world_init(struct world *world, uint64_t length, bool (*used)(uint64_t i))
{
	uint64_t last = 0;

	*world = (struct world){.length = length};
	memory_fake_init(&world->fake);
	memory_fake_add(&world->fake, DATA, 0x1000);
	memory_fake_add(&world->fake, ARRAY, 0x10000);
	memory_fake_add(&world->fake, ARENA(0), POOL);
	world->segment =
		(struct image_segment){.address = DATA, .memory_size = 0x1000, .writable = true};
	world->image = (struct image){
		.path = (char *)"made-up", .segments = &world->segment, .segment_count = 1};
	world->python = (struct python){
		.process = &world->fake.process,
		.image = &world->image,
		.heap = {.alignment = 16,
			 .pool_size = POOL,
			 .arena_bits = 20,
			 .usedpools = DATA + 0x100,
			 .interp_obmalloc = PYTHON_NO_OFFSET},
		.malloc = {.other = true},
	};
	memory_fake_put_u64(&world->fake, DATA + 0x20, ARRAY);
	for (uint64_t i = 0; i < CLASSES; i++)
		memory_fake_put_u64(&world->fake, DATA + 0x100 + 16 * i,
				    i ? DATA + 0x100 + 16 * i - 16 : ARENA(0));
	for (uint64_t i = length; i-- > 0;) {
		if (used(i)) {
			arena_put(world, i, ARENA(i));
			continue;
		}
		put(world, i, 5, 0x1234); /* prevarena of one that is no arena means nothing */
		put(world, i, 4, last ? ARRAY + last * ELEMENT : 0);
		last = i;
	}
}

static void world_deinit(struct world *world)
{
	memory_fake_deinit(&world->fake);
}

static void counts(struct world *world, size_t expected)
{
	cleanup(python_heaps_deinit) struct python_heaps heaps = {0};

	support_ok(python_heaps_read(&world->python, &heaps));
	assert_int_equal(heaps.count, 1);
	assert_int_equal(heaps.list[0].count, expected);
}

static bool first_four(uint64_t i)
{
	return i < 4;
}

static bool first_twenty(uint64_t i)
{
	return i < 20;
}

static bool all(uint64_t i)
{
	(void)i;
	return true;
}

static bool here_and_there(uint64_t i)
{
	return i % 3 == 0;
}

static void test_lengths(void **state)
{
	(void)state;
	for (uint64_t length = 16; length <= 256; length *= 2) {
		bool (*const used[])(uint64_t i) = {first_four, all, here_and_there};
		const size_t expected[] = {4, length, (length + 2) / 3};

		for (size_t i = 0; i < array_size(used); i++) {
			struct world world;

			world_init(&world, length, used[i]);
			counts(&world, expected[i]);
			world_deinit(&world);
		}
	}
}

/* What lies behind the array is not taken for a part of it. */
static void test_behind(void **state)
{
	struct world world;

	(void)state;
	world_init(&world, 32, first_twenty);
	/* Of an older array: the same arenas. */
	for (uint64_t i = 0; i < 32; i++)
		arena_put(&world, 32 + i, ARENA(i % 20));
	counts(&world, 20);
	/* Another block's words. */
	for (uint64_t i = 0; i < 32 * 6; i++)
		memory_fake_put_u64(&world.fake, ARRAY + 32 * ELEMENT + 8 * i, i * 0x10001);
	counts(&world, 20);
	/* Elements without an end. */
	for (uint64_t i = 32; i < 64; i++) {
		for (unsigned word = 0; word < 6; word++)
			put(&world, i, word, 0);
		put(&world, i, 4, ARRAY + (i - 1) * ELEMENT);
	}
	put(&world, 40, 4, 0);
	counts(&world, 20);
	world_deinit(&world);
}

static void test_broken(void **state)
{
	struct python_heaps heaps;
	struct world world;

	(void)state;
	world_init(&world, 16, first_four);
	put(&world, 15, 4, ARRAY + 8); /* into an element */
	support_fails(python_heaps_read(&world.python, &heaps), ERROR_FAILED,
		      "its elements do not tell");
	put(&world, 15, 4, ARRAY + 1000 * ELEMENT); /* beyond all that is there */
	support_fails(python_heaps_read(&world.python, &heaps), ERROR_FAILED,
		      "its elements do not tell");
	world_deinit(&world);
}

/* Arenas that overlap are those of no heap: each of its addresses would be two arenas'. */
static void test_overlapping(void **state)
{
	static const uint64_t distances[] = {0x4000, 0x80000, 0xfc000};
	struct python_heaps heaps;
	struct world world;

	(void)state;
	for (size_t i = 0; i < array_size(distances); i++) {
		world_init(&world, 16, first_four);
		arena_put(&world, 2, ARENA(0) + distances[i]);
		support_fails(python_heaps_read(&world.python, &heaps), ERROR_FAILED, "overlap");
		arena_put(&world, 2, ARENA(0) + 0x100000);
		arena_put(&world, 1, ARENA(5));
		counts(&world, 4);
		world_deinit(&world);
	}
}

/* A segment that is too small for a word has none, wherever it lies. */
static void test_small_segment(void **state)
{
	struct image_segment segments[2] = {{.writable = true}};
	struct world world;

	(void)state;
	world_init(&world, 16, first_four);
	segments[1] = world.segment;
	world.image.segments = segments;
	world.image.segment_count = 2;
	for (uint64_t size = 0; size < 9; size++) {
		for (uint64_t address = DATA; address < DATA + 8; address++) {
			segments[0].address = address;
			segments[0].memory_size = size;
			counts(&world, 4);
		}
	}
	world_deinit(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),       cmocka_unit_test(test_behind),
		cmocka_unit_test(test_broken),        cmocka_unit_test(test_overlapping),
		cmocka_unit_test(test_small_segment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
