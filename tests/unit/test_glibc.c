// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* malloc's heaps, made up: each version's layout, and memory that is wrong on purpose. */
#include "support.h"
#include "base/cleanup.h"
#include "glibc_fake.h"
#include <stdlib.h>
#include <string.h>

#define MAPPED 0x7f2000000000ULL
#define KEY    0x9c1d35f7a2e48b61ULL

static uint64_t protect(uint64_t at, uint64_t link)
{
	return at >> 12 ^ link;
}

static void check(const struct seen *seen, size_t i, uint64_t address, uint64_t size,
		  enum glibc_state state)
{
	assert_true(i < seen->count);
	assert_int_equal(seen->list[i].address, address);
	assert_int_equal(seen->list[i].size, size);
	assert_int_equal(seen->list[i].state, state);
}

/* A cache with one chunk, then chunks of each state. */
static void heap_put(struct made *made, uint64_t cache, uint64_t ret[5])
{
	bool has_powers = cache == 0x300;
	size_t counts = cache == 0x250 ? 64 : has_powers ? 152 : 128, i;
	uint64_t at = made_chunk(made, cache, GLIBC_PREV_INUSE);

	for (i = 0; has_powers && i < 76; i++)
		memory_fake_put(&made->fake, at + i * 2, "\x10", 2);
	ret[0] = made_chunk(made, 0x40, GLIBC_PREV_INUSE);
	ret[1] = made_chunk(made, 0x40, GLIBC_PREV_INUSE);
	ret[2] = made_chunk(made, 0x410, GLIBC_PREV_INUSE);
	made_bin_chunk(made, 0x500);
	ret[3] = made_chunk(made, 0x20, 0);
	ret[4] = made_chunk(made, 0x2000, GLIBC_PREV_INUSE);
	made_top(made, STATE, HEAP + HEAP_SIZE);
	/* Chunks of 0x40 are in the third list: ret[1], then ret[0]. */
	if (!has_powers)
		memory_fake_put(&made->fake, at + (cache == 0x250 ? 2 : 4), "\2", 1);
	made_put(made, at + counts + 16, ret[1]);
	made_put(made, ret[1], cache == 0x250 ? ret[0] : protect(ret[1], ret[0]));
	made_put(made, ret[0], cache == 0x250 ? 0 : protect(ret[0], 0));
	made_put(made, ret[1] + 8, KEY);
	made_put(made, ret[0] + 8, KEY);
	if (made->bins == 0x18)
		return;
	/* The first fastbin. */
	made_put(made, STATE + made->bins - 96, ret[3] - 16);
	made_put(made, ret[3], cache == 0x250 ? 0 : protect(ret[3], 0));
}

static void test_states(uint64_t bins, uint64_t cache)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	const struct glibc_totals *totals;
	struct glibc *glibc;
	struct made made;
	uint64_t at[5];

	assert_non_null(seen);
	made_init(&made, bins);
	heap_put(&made, cache, at);
	glibc = made_walk(&made, NULL, 0, seen);
	assert_null(glibc_absent(glibc));
	assert_int_equal(seen->count, 6);
	check(seen, 0, at[0], 0x38, GLIBC_TCACHE);
	check(seen, 1, at[1], 0x38, GLIBC_TCACHE);
	check(seen, 2, at[2], 0x408, GLIBC_IN_USE);
	check(seen, 3, at[2] + 0x410, 0x4f8, GLIBC_BIN);
	check(seen, 4, at[3], 0x18, bins == 0x18 ? GLIBC_IN_USE : GLIBC_FASTBIN);
	check(seen, 5, at[4], 0x1ff8, GLIBC_IN_USE);
	totals = glibc_totals(glibc);
	assert_int_equal(totals->overhead, cache);
	assert_int_equal(totals->caches, 1);
	assert_int_equal(totals->broken + totals->unknown, 0);
	assert_int_equal(made_bytes(totals), HEAP_SIZE);
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	free(seen);
}

static void test_versions(void **state)
{
	(void)state;
	test_states(0x68, 0x250);
	test_states(0x70, 0x290);
	test_states(0x70, 0x300);
	test_states(0x18, 0x300);
}

/* The key's place may hold it after a chunk was handed out: what the list says counts. */
static void test_stale_key(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	struct glibc *glibc;
	struct made made;
	uint64_t at[5];

	(void)state;
	assert_non_null(seen);
	made_init(&made, 0x70);
	heap_put(&made, 0x290, at);
	made_put(&made, at[2] + 8, KEY);
	glibc = made_walk(&made, NULL, 0, seen);
	check(seen, 2, at[2], 0x408, GLIBC_IN_USE);
	made_walk_end(glibc);
	/* And what is on the list, but has it no more, was handed out since. */
	made_put(&made, at[0] + 8, 0);
	glibc = made_walk(&made, NULL, 0, seen);
	check(seen, 0, at[0], 0x38, GLIBC_IN_USE);
	check(seen, 1, at[1], 0x38, GLIBC_TCACHE);
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	free(seen);
}

static void test_arena(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	const struct glibc_totals *totals;
	static const uint64_t bins[] = {0x70, 0x18};
	size_t i;

	(void)state;
	assert_non_null(seen);
	for (i = 0; i < array_size(bins); i++) {
		struct glibc *glibc;
		struct made made;

		made_init(&made, bins[i]);
		made_top(&made, STATE, HEAP + HEAP_SIZE);
		made_arena(&made);
		glibc = made_walk(&made, NULL, 0, seen);
		totals = glibc_totals(glibc);
		assert_int_equal(seen->count, 3);
		check(seen, 2, ARENA + GLIBC_HEAP_MAX + 0x40, 0x6f8, GLIBC_IN_USE);
		assert_int_equal(totals->arenas, 2);
		assert_int_equal(totals->heaps, 3);
		assert_int_equal(totals->top.count, 2);
		assert_int_equal(totals->broken + totals->unknown, 0);
		assert_int_equal(made_bytes(totals), HEAP_SIZE + 0x24000);
		made_walk_end(glibc);
		/* A heap that names itself, or one that is none, as the one before it. */
		made_put(&made, ARENA + GLIBC_HEAP_MAX + 8, ARENA + GLIBC_HEAP_MAX);
		glibc = made_walk(&made, NULL, 0, seen);
		assert_int_equal(glibc_totals(glibc)->broken, 1);
		assert_true(glibc_totals(glibc)->unknown >= 0x21000);
		made_walk_end(glibc);
		/* Two that name one another. */
		made_put(&made, ARENA + GLIBC_HEAP_MAX + 8, ARENA);
		made_put(&made, ARENA + 8, ARENA + GLIBC_HEAP_MAX);
		glibc = made_walk(&made, NULL, 0, seen);
		assert_true(glibc_totals(glibc)->broken > 0);
		made_walk_end(glibc);
		/* Arenas that do not come back to main_arena. */
		made_put(&made, ARENA + 0x30 + made.bins + 2048, ARENA + 0x30);
		glibc = made_walk(&made, NULL, 0, seen);
		assert_non_null(glibc_absent(glibc));
		made_walk_end(glibc);
		memory_fake_deinit(&made.fake);
	}
	free(seen);
}

static void test_mapped(void **state)
{
	static const struct glibc_range excluded[] = {{MAPPED + 0x40000, MAPPED + 0x50000}};
	struct seen *seen = calloc(1, sizeof(*seen));
	const struct glibc_totals *totals;
	struct glibc *glibc;
	struct made made;

	(void)state;
	assert_non_null(seen);
	made_init(&made, 0x70);
	made_top(&made, STATE, HEAP + HEAP_SIZE);
	made_map(&made, MAPPED, 0x100000, "");
	/* As up to 2.42, a neighbour as since 2.43, an aligned one, one in another allocator's. */
	made_put(&made, MAPPED + 0x1008, 0x21002);
	made_put(&made, MAPPED + 0x22008, 0x4ff2);
	made_put(&made, MAPPED + 0x30030, 0x30);
	made_put(&made, MAPPED + 0x30038, (0x3000 - 0x30) | 2);
	made_put(&made, MAPPED + 0x35ff0, 0x1ff0);
	made_put(&made, MAPPED + 0x35ff8, (0x4000 - 0x1ff0) | 2);
	made_put(&made, MAPPED + 0x40008, 0x2002);
	/* None: not of pages, longer than the memory, wrong flags, into what is excluded. */
	made_put(&made, MAPPED + 0x60008, 0x2012);
	made_put(&made, MAPPED + 0x61008, 0x200002);
	made_put(&made, MAPPED + 0x62008, 0x2003);
	made_put(&made, MAPPED + 0x3f008, 0x4002);
	/* What lies in a chunk is none. */
	made_put(&made, MAPPED + 0x3008, 0x2002);
	glibc = made_walk(&made, excluded, 1, seen);
	totals = glibc_totals(glibc);
	assert_int_equal(seen->count, 4);
	check(seen, 0, MAPPED + 0x1010, 0x21000 - 16, GLIBC_MAPPED);
	check(seen, 1, MAPPED + 0x22010, 0x4fe8, GLIBC_MAPPED);
	check(seen, 2, MAPPED + 0x30040, 0x3000 - 0x30 - 16, GLIBC_MAPPED);
	check(seen, 3, MAPPED + 0x36000, 0x4000 - 0x1ff0 - 16, GLIBC_MAPPED);
	assert_int_equal(totals->states[GLIBC_MAPPED].bytes, 0x21000 + 0x5000 + 0x3000 + 0x4000);
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	free(seen);
}

static void test_broken(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	static const uint64_t wrong[] = {0, 0x1f, 0x31 | 8, 0x12, UINT64_MAX, 1ULL << 40, 0x31 | 4};
	size_t i;

	(void)state;
	assert_non_null(seen);
	for (i = 0; i < array_size(wrong); i++) {
		struct glibc *glibc;
		struct made made;
		uint64_t chunk;

		made_init(&made, 0x70);
		made_chunks(&made, 300);
		/* The 101st; what is behind it is found again. */
		chunk = HEAP + 14 * (7 * 0x40 + 21 * 0x30) + 0x40 + 0x70;
		made_put(&made, chunk + 8, wrong[i]);
		glibc = made_walk(&made, NULL, 0, seen);
		assert_in_range(seen->count, 298, 299);
		assert_int_equal(seen->list[0].address, HEAP + 16);
		assert_int_equal(glibc_totals(glibc)->top.count, 1);
		assert_int_equal(made_bytes(glibc_totals(glibc)), HEAP_SIZE);
		assert_in_range(glibc_totals(glibc)->unknown, 0xa0, 0x200);
		made_walk_end(glibc);
		memory_fake_deinit(&made.fake);
	}
	free(seen);
}

static void test_lists(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	struct glibc *glibc;
	struct made made;
	uint64_t at[5];

	(void)state;
	assert_non_null(seen);
	made_init(&made, 0x70);
	heap_put(&made, 0x290, at);
	/* A list of a cache that comes back to itself ends with its count. */
	made_put(&made, at[0], protect(at[0], at[1]));
	glibc = made_walk(&made, NULL, 0, seen);
	assert_int_equal(glibc_totals(glibc)->states[GLIBC_TCACHE].count, 2);
	made_walk_end(glibc);
	/* A fastbin that does so is broken; so is one that leads out of the heap. */
	made_put(&made, at[3], protect(at[3], at[3] - 16));
	glibc = made_walk(&made, NULL, 0, seen);
	assert_int_equal(glibc_totals(glibc)->broken, 1);
	made_walk_end(glibc);
	made_put(&made, at[3], protect(at[3], 0x7fff00000000));
	glibc = made_walk(&made, NULL, 0, seen);
	assert_int_equal(glibc_totals(glibc)->broken, 1);
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	free(seen);
}

static void test_absent(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	struct glibc *glibc;
	struct made made;

	(void)state;
	assert_non_null(seen);
	/* Never used: its bins are not set up. */
	memset(&made, 0, sizeof(made));
	memory_fake_init(&made.fake);
	made_map(&made, HEAP, HEAP_SIZE, "[heap]");
	made_map(&made, DATA, DATA_SIZE, "/lib/x86_64-linux-gnu/libc.so.6");
	glibc = made_walk(&made, NULL, 0, seen);
	assert_non_null(strstr(glibc_absent(glibc), "never used"));
	made_walk_end(glibc);
	made.maps[1].path = "/usr/lib/libjemalloc.so.2";
	glibc = made_walk(&made, NULL, 0, seen);
	assert_string_equal(glibc_absent(glibc), "it has no glibc; it maps libjemalloc.so.2");
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	/* Set up, and nothing taken. */
	made_init(&made, 0x18);
	made_state(&made, STATE, STATE + made.bins - 16, STATE, 0);
	glibc = made_walk(&made, NULL, 0, seen);
	assert_non_null(strstr(glibc_absent(glibc), "holds nothing"));
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	free(seen);
}

/* Bytes changed by chance: it ends, within the memory that there is. */
static void test_chance(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	unsigned int seed, round;

	(void)state;
	assert_non_null(seen);
	for (seed = 1; seed <= 400; seed++) {
		unsigned int value = seed;
		struct glibc *glibc;
		struct made made;
		uint64_t at[5];

		made_init(&made, seed & 1 ? 0x70 : 0x18);
		heap_put(&made, seed & 1 ? 0x290 : 0x300, at);
		made_chunks(&made, 200);
		made_arena(&made);
		for (round = 0; round < 40; round++) {
			uint64_t where, what;

			value = value * 1103515245 + 12345;
			where = value >> 8;
			value = value * 1103515245 + 12345;
			what = (value >> 8) % 3 ? value >> 20 : ARENA + (value >> 12) * 16;
			where = round % 3 == 0   ? HEAP + where % 0x8000 / 8 * 8
				: round % 3 == 1 ? ARENA + where % 0x3000 / 8 * 8
						 : STATE + made.bins + where % 2080 / 8 * 8;
			/* Of main_arena little, or it is not found at all. */
			if (round % 3 < 2 || round < 3)
				made_put(&made, where, what);
		}
		glibc = made_walk(&made, NULL, 0, seen);
		assert_true(glibc_absent(glibc) || seen->count);
		made_walk_end(glibc);
		memory_fake_deinit(&made.fake);
	}
	free(seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions), cmocka_unit_test(test_stale_key),
		cmocka_unit_test(test_arena),    cmocka_unit_test(test_mapped),
		cmocka_unit_test(test_broken),   cmocka_unit_test(test_lists),
		cmocka_unit_test(test_absent),   cmocka_unit_test(test_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
