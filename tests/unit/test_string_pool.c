// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Strings that are kept once: who holds them, and what names that were chosen to collide can do. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/string_pool.h"

static size_t comparisons;

/* In the place of the C library's, so that what a search compares is counted, not timed. */
int memcmp(const void *left, const void *right, size_t size)
{
	const unsigned char *one = left, *other = right;

	comparisons++;
	for (size_t i = 0; i < size; i++)
		if (one[i] != other[i])
			return one[i] < other[i] ? -1 : 1;
	return 0;
}

static void test_kept_once(void **context)
{
	struct string_pool *pool = string_pool_create();
	struct pooled_string *one, *two, *other;

	(void)context;
	assert_non_null(pool);
	one = string_pool_intern(pool, "/srv/a.py");
	other = string_pool_intern(pool, "/srv/b.py");
	two = string_pool_intern(pool, "/srv/a.py");
	assert_ptr_equal(one, two);
	assert_ptr_not_equal(one, other);
	assert_string_equal(pooled_string_data(one), "/srv/a.py");
	assert_int_equal(pooled_string_length(one), 9);
	string_pool_release(pool, one);
	/* Somebody holds it still. */
	assert_string_equal(pooled_string_data(two), "/srv/a.py");
	assert_ptr_equal(string_pool_intern(pool, "/srv/a.py"), two);
	string_pool_release(pool, two);
	string_pool_release(pool, two);
	/* Nobody does: a new one is as good, and its length is its own. */
	one = string_pool_intern(pool, "/srv/a.pyc");
	assert_int_equal(pooled_string_length(one), 10);
	string_pool_release(pool, one);
	string_pool_release(pool, other);
	string_pool_destroy(pool);
}

static void test_empty(void **context)
{
	struct string_pool *pool = string_pool_create();
	struct pooled_string *empty = string_pool_intern(pool, "");

	(void)context;
	assert_string_equal(pooled_string_data(empty), "");
	assert_int_equal(pooled_string_length(empty), 0);
	string_pool_hold(empty);
	string_pool_release(pool, empty);
	string_pool_release(pool, empty);
	/* It is always there. */
	assert_ptr_equal(string_pool_intern(pool, ""), empty);
	string_pool_release(pool, empty);
	string_pool_release(pool, NULL);
	string_pool_destroy(pool);
	string_pool_destroy(NULL);
}

static void test_hold(void **context)
{
	struct string_pool *pool = string_pool_create();
	struct pooled_string *text = string_pool_intern(pool, "held");

	(void)context;
	string_pool_hold(text);
	string_pool_hold(text);
	string_pool_release(pool, text);
	string_pool_release(pool, text);
	assert_string_equal(pooled_string_data(text), "held");
	string_pool_release(pool, text);
	string_pool_destroy(pool);
}

/* Many come and go; what is held is destroyed with the rest. */
static void test_many(void **context)
{
	static struct pooled_string *held[1000];
	struct string_pool *pool = string_pool_create();
	char string[32];

	(void)context;
	for (unsigned i = 0; i < 100000; i++) {
		unsigned place = i * 7919u % array_size(held);

		string_pool_release(pool, held[place]);
		snprintf(string, sizeof(string), "text %u", i % 1500);
		held[place] = string_pool_intern(pool, string);
		assert_string_equal(pooled_string_data(held[place]), string);
	}
	string_pool_destroy(pool);
}

/* Bob Jenkins' mixing function, without a seed, the default of a widely used table; and undone. */
static void jenkins_mix(uint32_t words[3], bool undo)
{
	static const int shifts[] = {-13, 8, -13, -12, 16, -5, -3, 10, -15};

	for (int i = 0; i < 9; i++) {
		int step = undo ? 8 - i : i, shift = shifts[step];
		uint32_t *to = &words[step % 3];
		uint32_t one = words[(step + 1) % 3], other = words[(step + 2) % 3];
		uint32_t shifted = shift < 0 ? other >> -shift : other << shift;

		*to = undo ? (*to ^ shifted) + one + other : (*to - one - other) ^ shifted;
	}
}

/* A string of 24 bytes, other ones for each NUMBER; that hash is the same for all of them. */
static bool colliding_name(uint32_t number, char ret[25])
{
	const uint32_t start[3] = {0x9e3779b9, 0x9e3779b9, 0xfeedbeef}, end[3] = {1, 2, 3};
	uint32_t first[3] = {number * 2654435761u | 0x01010101, 0x41424344, 0x45464748};
	uint32_t between[3], last[3];

	memcpy(last, end, sizeof(last));
	jenkins_mix(last, true);
	for (int i = 0; i < 3; i++)
		between[i] = start[i] + first[i];
	jenkins_mix(between, false);
	for (int i = 0; i < 3; i++)
		last[i] -= between[i];
	memcpy(ret, first, sizeof(first));
	memcpy(ret + 12, last, sizeof(last));
	ret[24] = '\0';
	return strlen(ret) == 24;
}

/* A target that chooses its names so that a hash without a seed is equal gains nothing. */
static void test_chosen_names(void **context)
{
	struct string_pool *pool = string_pool_create();
	uint32_t number = 0, names = 0;
	char name[25];

	(void)context;
	comparisons = 0;
	while (names < 2000) {
		if (!colliding_name(number++, name))
			continue;
		names++;
		string_pool_intern(pool, name);
	}
	/* One for each pair if they collide; about none if not. */
	assert_in_range(comparisons, 0, names);
	string_pool_destroy(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_once),    cmocka_unit_test(test_empty),
		cmocka_unit_test(test_hold),         cmocka_unit_test(test_many),
		cmocka_unit_test(test_chosen_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
