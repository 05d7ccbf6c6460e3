// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/cleanup.h"
#include "support.h"
#include "base/string_pool.h"
#include <stdio.h>
#include <string.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kept_once),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
