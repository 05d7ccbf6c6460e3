// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pools as they are, torn and forged. */
#include "pools_fake.h"
#include "support.h"

#include "python/heap/pools.h"

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

static struct seen walk(struct pools_fake *made)
{
	struct seen seen = {0};

	support_ok(python_pools_each(made->pools, &made->arena, pool_see, &seen));
	return seen;
}

static void test_pools(void **state)
{
	struct pools_fake *made = *state;
	struct seen seen;

	pools_fake_put(made, 0, 512, (POOLS_FAKE_SIZE - 48) / 512, (const int[]){-1});
	/* Number 1 is empty: its count is 0, whatever else it says. */
	memory_fake_put_u32(&made->fake, POOLS_FAKE_ARENA + POOLS_FAKE_SIZE + 36, 12345);
	pools_fake_put(made, 2, 48, 20, (const int[]){19, 0, 7, -1});
	seen = walk(made);
	assert_int_equal(seen.pools, 2);
	assert_int_equal(seen.live, (POOLS_FAKE_SIZE - 48) / 512 + 17);
	assert_int_equal(seen.sizes, 560);
	assert_int_equal(seen.dead, 1ULL << 19 | 1 << 7 | 1);
	assert_int_equal(python_pools_unread(made->pools).unstable, 0);
	assert_int_equal(python_pools_unread(made->pools).reread, 0);
}

/* Each of these reads as a pool that was changed while it was read, and stays so. */
static void assert_unstable(struct pools_fake *made)
{
	uint64_t before = python_pools_unread(made->pools).unstable;

	assert_int_equal(walk(made).pools, 0);
	assert_int_equal(python_pools_unread(made->pools).unstable, before + 1);
}

static void test_torn(void **state)
{
	struct pools_fake *made = *state;
	const uint64_t block = POOLS_FAKE_ARENA + 48;

	pools_fake_put(made, 0, 48, 20, (const int[]){3, -1});
	assert_int_equal(walk(made).pools, 1);
	/* Its count is not what its list says. */
	memory_fake_put_u32(&made->fake, POOLS_FAKE_ARENA, 18);
	assert_unstable(made);
	/* The list goes round. */
	pools_fake_put(made, 0, 48, 20, (const int[]){3, 4, -1});
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
	pools_fake_put(made, 0, 48, 20, (const int[]){-1});
	memory_fake_put_u32(&made->fake, POOLS_FAKE_ARENA + 36, 32);
	assert_unstable(made);
	pools_fake_put(made, 0, 48, 20, (const int[]){-1});
	memory_fake_put_u32(&made->fake, POOLS_FAKE_ARENA + 44, POOLS_FAKE_SIZE - 64);
	assert_unstable(made);
	pools_fake_put(made, 0, 48, 20, (const int[]){-1});
	memory_fake_put_u32(&made->fake, POOLS_FAKE_ARENA + 40, POOLS_FAKE_SIZE + 48);
	assert_unstable(made);
}

static void test_gone(void **state)
{
	struct pools_fake *made = *state;

	made->arena.address += 1 << 20;
	made->arena.pool_address += 1 << 20;
	assert_int_equal(walk(made).pools, 0);
	assert_int_equal(python_pools_unread(made->pools).arenas, 1);
	/* One that begins amid a page has its first pool at the next multiple. */
	made->arena.address = POOLS_FAKE_ARENA + 4096 - POOLS_FAKE_SIZE;
	made->arena.pool_address = POOLS_FAKE_ARENA + POOLS_FAKE_SIZE;
	pools_fake_put(made, 0, 16, 1, (const int[]){-1});
	assert_int_equal(walk(made).live, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pools, pools_fake_setup, pools_fake_teardown),
		cmocka_unit_test_setup_teardown(test_torn, pools_fake_setup, pools_fake_teardown),
		cmocka_unit_test_setup_teardown(test_gone, pools_fake_setup, pools_fake_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
