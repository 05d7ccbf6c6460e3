// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a heap grew by, and how much of that a made-up shadow knows. */
#include "pools_fake.h"
#include "support.h"

#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

#include "python/heap/pools.h"
#include "tmbpf.h"
#include "trace/tracer/heap_check.h"

#define GRANULES (1u << 16)
#define SIZE     512
#define FULL     ((POOLS_FAKE_SIZE - PYTHON_POOL_OVERHEAD) / SIZE)

struct made {
	struct pools_fake *pools;
	struct python_arenas arenas;
	struct python_heaps heaps;
	uint32_t shadow[GRANULES];
	unsigned rests;
	unsigned late; /* the pool changes when its entries are asked for the LATEth time */
	void (*late_pool)(struct made *made);
	struct heap_check *check;
	struct heap_check_counts counts;
};

static struct error *entries(void *context, uint64_t address, uint32_t count, uint32_t *ret)
{
	struct made *made = context;

	uint64_t first = (address - POOLS_FAKE_ARENA) / 16;

	assert_in_range(first, 0, GRANULES - 1);
	assert_in_range(count, 1, GRANULES - first);
	memcpy(ret, made->shadow + first, count * sizeof(*ret));
	if (made->late && count < GRANULES && !--made->late)
		made->late_pool(made);
	return NULL;
}

static void rest(void *context)
{
	((struct made *)context)->rests++;
}

static void heap_check_make(struct made *made, bool lazy, uint32_t hook_extra)
{
	const struct heap_check_source source = {
		.python = &made->pools->python,
		.lazy = lazy,
		.hook_extra = hook_extra,
		.context = made,
		.entries = entries,
		.rest = rest,
	};

	heap_check_destroy(made->check);
	memset(made->shadow, 0, sizeof(made->shadow));
	support_ok(heap_check_create(&source, &made->check));
}

static int setup(void **state)
{
	struct made *made = calloc(1, sizeof(*made));
	void *pools;

	assert_non_null(made);
	pools_fake_setup(&pools);
	made->pools = pools;
	made->arenas = (struct python_arenas){.list = &made->pools->arena, .count = 1};
	made->heaps = (struct python_heaps){.list = &made->arenas, .count = 1};
	heap_check_make(made, false, 0);
	*state = made;
	return 0;
}

static int teardown(void **state)
{
	struct made *made = *state;
	void *pools = made->pools;

	heap_check_destroy(made->check);
	pools_fake_teardown(&pools);
	free(made);
	return 0;
}

/* The shadow's entry of block I of pool NUMBER. */
static uint32_t *entry(struct made *made, unsigned number, unsigned i)
{
	return &made->shadow[(number * POOLS_FAKE_SIZE + PYTHON_POOL_OVERHEAD + i * SIZE) / 16];
}

/* Blocks FIRST to END of pool NUMBER are traced, asked for with REQUEST bytes. */
static void trace(struct made *made, unsigned number, unsigned first, unsigned end,
		  uint32_t request)
{
	for (unsigned i = first; i < end; i++)
		*entry(made, number, i) = request << TMBPF_STACK_BITS | TMBPF_STACK_FIRST;
}

static void assert_grown(struct made *made, uint64_t count, uint64_t traced)
{
	support_ok(heap_check_count(made->check, &made->heaps, &made->counts));
	assert_int_equal(made->counts.count, count);
	assert_int_equal(made->counts.size, count * SIZE);
	assert_int_equal(made->counts.traced_count, traced);
	assert_int_equal(made->counts.traced_size, traced * SIZE);
	assert_int_equal(made->counts.unstable, 0);
}

static const int none[] = {-1};

static void test_grown(void **state)
{
	struct made *made = *state;

	pools_fake_put(made->pools, 0, SIZE, 20, none);
	support_ok(heap_check_begin(made->check, &made->heaps));
	assert_int_equal(made->rests, 1);
	assert_grown(made, 0, 0);
	/* One of the old blocks is freed, and ten come. */
	pools_fake_put(made->pools, 0, SIZE, 30, (const int[]){3, -1});
	trace(made, 0, 20, 30, SIZE);
	assert_grown(made, 10, 10);
	/* They die, and the old block's place is taken. */
	pools_fake_put(made->pools, 0, SIZE, 20, none);
	memset(made->shadow, 0, sizeof(made->shadow));
	trace(made, 0, 3, 4, SIZE - 15);
	assert_grown(made, 1, 1);
	/* That is freed again: what takes its place now is no old block any more. */
	memset(made->shadow, 0, sizeof(made->shadow));
	pools_fake_put(made->pools, 0, SIZE, 20, (const int[]){3, -1});
	assert_grown(made, 0, 0);
	pools_fake_put(made->pools, 0, SIZE, 20, none);
	assert_grown(made, 1, 0);
}

/* A part of what came was not seen. */
static void test_missed(void **state)
{
	struct made *made = *state;
	const unsigned full = FULL;

	support_ok(heap_check_begin(made->check, &made->heaps));
	for (unsigned i = 0; i < 4; i++) {
		memset(made->shadow, 0, sizeof(made->shadow));
		pools_fake_put(made->pools, i, SIZE, FULL, none);
	}
	for (unsigned i = 0; i < 4; i++)
		trace(made, i, 0, 24, SIZE);
	assert_grown(made, 4 * FULL, 4 * 24);
	assert_true(heap_check_share(&made->counts) < 0); /* 62 KiB */
	made->counts.size *= 2;
	made->counts.traced_size *= 2;
	assert_true(heap_check_share(&made->counts) == 24.0 / full);
}

/*
 * Frees that were not seen: more is traced than lives. If frees are not probed that is as it should
 * be.
 */
static void test_stale(void **state)
{
	struct made *made = *state;

	for (int lazy = 0; lazy < 2; lazy++) {
		heap_check_make(made, lazy, 0);
		support_ok(heap_check_begin(made->check, &made->heaps));
		pools_fake_put(made->pools, 1, SIZE, 10, (const int[]){0, 9, -1});
		trace(made, 1, 0, 12, SIZE); /* two of them behind what was carved */
		trace(made, 2, 0, 1, SIZE);  /* and one in an empty pool */
		assert_grown(made, 8, lazy ? 8 : 13);
		pools_fake_put(made->pools, 1, SIZE, 0, none);
	}
}

/* Some blocks may be traced already when the old ones are looked for. */
static void test_begins_late(void **state)
{
	struct made *made = *state;

	pools_fake_put(made->pools, 0, SIZE, 10, none);
	trace(made, 0, 8, 10, SIZE);
	support_ok(heap_check_begin(made->check, &made->heaps));
	assert_grown(made, 2, 2);
}

/* Nothing was there before, in a process that is only about to start. */
static void test_never_begun(void **state)
{
	struct made *made = *state;

	pools_fake_put(made->pools, 0, SIZE, 10, none);
	trace(made, 0, 0, 10, SIZE);
	assert_grown(made, 10, 10);
}

static void test_entries(void **state)
{
	struct made *made = *state;

	heap_check_make(made, false, 24);
	pools_fake_put(made->pools, 0, SIZE, 3, none);
	*entry(made, 0, 0) = (SIZE - 24) << TMBPF_STACK_BITS | TMBPF_STACK_UNKNOWN;
	*entry(made, 0, 1) = (SIZE - 24 - 15) << TMBPF_STACK_BITS | TMBPF_STACK_LOST;
	/* A code object from before is not traced. */
	*entry(made, 0, 2) = (TMBPF_SIZE_MAX + 100) << TMBPF_STACK_BITS;
	assert_grown(made, 3, 2);
	/* A request for 0 bytes takes a granule. */
	heap_check_make(made, false, 0);
	*entry(made, 0, 0) = TMBPF_STACK_FIRST;
	support_ok(heap_check_count(made->check, &made->heaps, &made->counts));
	assert_int_equal(made->counts.traced_size, 16);
}

static void pool_freed(struct made *made)
{
	pools_fake_put(made->pools, 0, SIZE, 10, (const int[]){9, -1});
}

static void pool_emptied(struct made *made)
{
	pools_fake_put(made->pools, 0, SIZE, 0, none);
	memset(made->shadow, 0, sizeof(made->shadow));
}

/* The target ran between the reading of a pool and of its entries: that settles. */
static void test_settles(void **state)
{
	struct made *made = *state;

	pools_fake_put(made->pools, 0, SIZE, 10, none);
	trace(made, 0, 0, 9, SIZE);
	made->late = 3;
	made->late_pool = pool_freed;
	assert_grown(made, 9, 9);
	assert_int_equal(made->late, 0);
	/* The block without an entry dies, and the pool is empty. */
	pools_fake_put(made->pools, 0, SIZE, 10, none);
	made->late = 2;
	made->late_pool = pool_emptied;
	assert_grown(made, 0, 0);
	assert_int_equal(made->late, 0);
	/* It changes each time. */
	pools_fake_put(made->pools, 0, SIZE, 10, none);
	trace(made, 0, 0, 9, SIZE);
	made->late = 100;
	assert_grown(made, 10, 9);
	assert_int_equal(made->late, 95);
}

/* A pool that never held together at the start is reported each time. */
static void test_unstable(void **state)
{
	struct made *made = *state;

	pools_fake_put(made->pools, 0, SIZE, 10, none);
	memory_fake_put_u32(&made->pools->fake, POOLS_FAKE_ARENA, 9);
	support_ok(heap_check_begin(made->check, &made->heaps));
	pools_fake_put(made->pools, 0, SIZE, 10, none);
	support_ok(heap_check_count(made->check, &made->heaps, &made->counts));
	assert_int_equal(made->counts.unstable, 1);
	assert_int_equal(made->counts.count, 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(grown),       TEST(missed),  TEST(stale),    TEST(begins_late),
		TEST(never_begun), TEST(entries), TEST(unstable), TEST(settles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
