// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The hash table: what is found, what is not any more, and that searches stay short. */
#include "support.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/lookup.h"

static bool number_equal(const void *context, uint32_t position, const void *key)
{
	return ((const uint64_t *)context)[position] == *(const uint64_t *)key;
}

static void test_find(void **state)
{
	enum { COUNT = 20000 };
	cleanup_free uint64_t *numbers = calloc(COUNT, sizeof(*numbers));
	struct lookup lookup = {0};
	uint64_t missing = 1;

	(void)state;
	assert_non_null(numbers);
	for (uint32_t i = 0; i < COUNT; i++) {
		numbers[i] = (uint64_t)i * 4096; /* as addresses are: much the same low bits */
		support_ok(lookup_add(&lookup, lookup_hash_number(0, numbers[i]), i));
	}
	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(lookup_find(&lookup, lookup_hash_number(0, numbers[i]),
					     number_equal, numbers, &numbers[i]),
				 i);
	assert_int_equal(lookup_find(&lookup, lookup_hash_number(0, missing), number_equal, numbers,
				     &missing),
			 LOOKUP_NONE);
	lookup_deinit(&lookup);
}

/* A hash that is always the same: the table still has to tell elements apart, and to end. */
static void test_collisions(void **state)
{
	uint64_t numbers[100];
	struct lookup lookup = {0};
	uint64_t missing = 1000;

	(void)state;
	for (uint32_t i = 0; i < array_size(numbers); i++) {
		numbers[i] = i;
		support_ok(lookup_add(&lookup, 7, i));
	}
	for (uint32_t i = 0; i < array_size(numbers); i++)
		assert_int_equal(lookup_find(&lookup, 7, number_equal, numbers, &numbers[i]), i);
	assert_int_equal(lookup_find(&lookup, 7, number_equal, numbers, &missing), LOOKUP_NONE);
	lookup_deinit(&lookup);
}

static void test_hash_takes_each_byte(void **state)
{
	char bytes[33] = {0};
	uint64_t hash = lookup_hash(0, bytes, 32);

	(void)state;
	for (size_t i = 0; i < 32; i++) {
		bytes[i] = 1;
		assert_true(lookup_hash(0, bytes, 32) != hash);
		bytes[i] = 0;
	}
	assert_true(lookup_hash(0, bytes, 33) != hash);
	assert_true(lookup_hash(1, bytes, 32) != hash);
	assert_true(lookup_hash(0, bytes, 32) == hash);
}

/* The hash of a number where only WAYS differ, the last of them at the table's end. */
static uint64_t narrow_hash(uint64_t number, uint64_t ways)
{
	return (number % ways - ways / 2) & UINT32_MAX;
}

/* All of COUNT numbers are found where they are, and nothing else is. */
static void numbers_check(const struct lookup *lookup, const uint64_t *numbers, uint32_t count,
			  uint64_t limit, uint64_t ways)
{
	bool there[512] = {0};

	assert_int_equal(lookup->used, count);
	for (uint32_t i = 0; i < count; i++) {
		there[numbers[i]] = true;
		assert_int_equal(lookup_find(lookup, narrow_hash(numbers[i], ways), number_equal,
					     numbers, &numbers[i]),
				 i);
	}
	for (uint64_t i = 0; i < limit; i++)
		if (!there[i])
			assert_int_equal(lookup_find(lookup, narrow_hash(i, ways), number_equal,
						     numbers, &i),
					 LOOKUP_NONE);
}

/* Numbers below LIMIT come and go, with hashes of which so many are equal or neighbours. */
static void removal_check(uint64_t limit, uint64_t ways)
{
	struct lookup lookup = {0};
	uint64_t numbers[512];
	uint32_t count = 0;
	unsigned int seed = 3;

	assert_true(limit <= array_size(numbers));
	for (int round = 0; round < 3000; round++) {
		uint64_t number = (uint64_t)rand_r(&seed) % limit;
		uint64_t hash = narrow_hash(number, ways);
		uint32_t found = lookup_find(&lookup, hash, number_equal, numbers, &number);

		if (found == LOOKUP_NONE) {
			numbers[count] = number;
			support_ok(lookup_add(&lookup, hash, count++));
		} else {
			lookup_remove(&lookup, hash, found);
			if (found != --count) {
				lookup_move(&lookup, narrow_hash(numbers[count], ways), count,
					    found);
				numbers[found] = numbers[count];
			}
		}
		numbers_check(&lookup, numbers, count, limit, ways);
	}
	lookup_deinit(&lookup);
}

static void test_removal(void **state)
{
	(void)state;
	removal_check(30, 1);
	removal_check(40, 6);
	removal_check(200, 50);
	removal_check(300, 300);
}

/* The longest row of slots in use, which no search can exceed. */
static size_t longest_row(const struct lookup *lookup)
{
	size_t longest = 0, row = 0;

	for (size_t i = 0; i < 2 * lookup->size; i++) {
		if (lookup->slots[i & (lookup->size - 1)].position == LOOKUP_NONE)
			row = 0;
		else if (++row > longest)
			longest = row;
	}
	return longest;
}

/* However many came and went, neither the table grows nor a search. */
static void test_removal_leaves_nothing(void **state)
{
	enum { KEPT = 100, ALL = 100000 };
	struct lookup lookup = {0};

	(void)state;
	for (uint32_t i = 0; i < ALL; i++) {
		support_ok(lookup_add(&lookup, lookup_hash_number(0, i), i));
		if (i >= KEPT)
			lookup_remove(&lookup, lookup_hash_number(0, i - KEPT), i - KEPT);
	}
	assert_int_equal(lookup.used, KEPT);
	assert_int_equal(lookup.size, 256);
	assert_true(longest_row(&lookup) <= KEPT);
	for (uint32_t i = ALL - KEPT; i < ALL; i++)
		lookup_remove(&lookup, lookup_hash_number(0, i), i);
	assert_int_equal(longest_row(&lookup), 0);
	lookup_deinit(&lookup);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_collisions),
		cmocka_unit_test(test_hash_takes_each_byte),
		cmocka_unit_test(test_removal),
		cmocka_unit_test(test_removal_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
