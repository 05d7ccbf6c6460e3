// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "memory_fake.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "python/arenas.h"
#include "python/pools.h"
#include "python/python.h"

#define ARENA 0x7f0000000000
#define POOL  16384

/* An arena of a few pools, made up in memory. */
struct made {
	struct memory_fake fake;
	struct python python;
	struct python_arena arena;
	struct python_pools *pools;
};

static int made_setup(void **state)
{
	struct made *made = calloc(1, sizeof(*made));

	assert_non_null(made);
	memory_fake_init(&made->fake);
	memory_fake_add(&made->fake, ARENA, 4 * POOL);
	made->python = (struct python){
		.process = &made->fake.process,
		.heap = {.arena_bits = 20, .pool_size = POOL, .alignment = 16},
	};
	made->arena = (struct python_arena){.address = ARENA, .pool_address = ARENA + 4 * POOL};
	support_ok(python_pools_create(&made->python, &made->pools));
	*state = made;
	return 0;
}

static int made_teardown(void **state)
{
	struct made *made = *state;

	python_pools_destroy(made->pools);
	memory_fake_deinit(&made->fake);
	free(made);
	return 0;
}

/* A pool of blocks of SIZE bytes: CARVED of them, those of FREE (ended by -1) free again. */
static void pool_make(struct made *made, unsigned int number, uint32_t size, uint32_t carved,
		      const int *free)
{
	uint64_t address = ARENA + (uint64_t)number * POOL, link = address + 8;
	uint32_t count = carved;

	for (; *free >= 0; free++, count--) {
		uint64_t block = address + 48 + (uint64_t)*free * size;

		memory_fake_put_u64(&made->fake, link, block);
		link = block;
	}
	memory_fake_put_u64(&made->fake, link, 0);
	memory_fake_put_u32(&made->fake, address, count);
	memory_fake_put_u32(&made->fake, address + 36, size / 16 - 1);
	memory_fake_put_u32(&made->fake, address + 40, 48 + carved * size);
	memory_fake_put_u32(&made->fake, address + 44, POOL - size);
}

struct seen {
	unsigned int pools;
	uint32_t live, sizes;
	uint64_t dead; /* bits of the last pool's blocks that are not live */
};

static struct error *pool_see(void *context, const struct python_pool *pool)
{
	struct seen *seen = context;

	seen->pools++;
	seen->live += pool->live;
	seen->sizes += pool->block_size;
	seen->dead = 0;
	for (uint32_t i = 0; i < pool->carved && i < 64; i++)
		seen->dead |= (uint64_t)!python_block_live(pool, i) << i;
	return NULL;
}

static struct seen walk(struct made *made)
{
	struct seen seen = {0};

	support_ok(python_pools_each(made->pools, &made->arena, pool_see, &seen));
	return seen;
}

static void test_pools(void **state)
{
	struct made *made = *state;
	struct seen seen;

	pool_make(made, 0, 512, (POOL - 48) / 512, (const int[]){-1});
	/* Number 1 is empty: its count is 0, whatever else it says. */
	memory_fake_put_u32(&made->fake, ARENA + POOL + 36, 12345);
	pool_make(made, 2, 48, 20, (const int[]){19, 0, 7, -1});
	seen = walk(made);
	assert_int_equal(seen.pools, 2);
	assert_int_equal(seen.live, (POOL - 48) / 512 + 17);
	assert_int_equal(seen.sizes, 560);
	assert_int_equal(seen.dead, 1ULL << 19 | 1 << 7 | 1);
	assert_int_equal(python_pools_unread(made->pools).unstable, 0);
	assert_int_equal(python_pools_unread(made->pools).reread, 0);
}

/* Each of these reads as a pool that was changed while it was read, and stays so. */
static void assert_unstable(struct made *made)
{
	uint64_t before = python_pools_unread(made->pools).unstable;

	assert_int_equal(walk(made).pools, 0);
	assert_int_equal(python_pools_unread(made->pools).unstable, before + 1);
}

static void test_torn(void **state)
{
	struct made *made = *state;
	const uint64_t block = ARENA + 48;

	pool_make(made, 0, 48, 20, (const int[]){3, -1});
	assert_int_equal(walk(made).pools, 1);
	/* Its count is not what its list says. */
	memory_fake_put_u32(&made->fake, ARENA, 18);
	assert_unstable(made);
	/* The list goes round. */
	pool_make(made, 0, 48, 20, (const int[]){3, 4, -1});
	memory_fake_put_u64(&made->fake, block + 4 * 48, block + 3 * 48);
	assert_unstable(made);
	/* It leads out of the pool, amid a block, behind what was carved. */
	memory_fake_put_u64(&made->fake, block + 4 * 48, 8);
	assert_unstable(made);
	memory_fake_put_u64(&made->fake, block + 4 * 48, block + 8);
	assert_unstable(made);
	memory_fake_put_u64(&made->fake, block + 4 * 48, block + 20 * 48);
	assert_unstable(made);
	/* No size class, another end than that class has. */
	pool_make(made, 0, 48, 20, (const int[]){-1});
	memory_fake_put_u32(&made->fake, ARENA + 36, 32);
	assert_unstable(made);
	pool_make(made, 0, 48, 20, (const int[]){-1});
	memory_fake_put_u32(&made->fake, ARENA + 44, POOL - 64);
	assert_unstable(made);
	pool_make(made, 0, 48, 20, (const int[]){-1});
	memory_fake_put_u32(&made->fake, ARENA + 40, POOL + 48);
	assert_unstable(made);
}

static void test_gone(void **state)
{
	struct made *made = *state;

	made->arena.address += 1 << 20;
	made->arena.pool_address += 1 << 20;
	assert_int_equal(walk(made).pools, 0);
	assert_int_equal(python_pools_unread(made->pools).arenas, 1);
	/* One that begins amid a page has its first pool at the next multiple. */
	made->arena.address = ARENA + 4096 - POOL;
	made->arena.pool_address = ARENA + POOL;
	pool_make(made, 0, 16, 1, (const int[]){-1});
	assert_int_equal(walk(made).live, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pools, made_setup, made_teardown),
		cmocka_unit_test_setup_teardown(test_torn, made_setup, made_teardown),
		cmocka_unit_test_setup_teardown(test_gone, made_setup, made_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
