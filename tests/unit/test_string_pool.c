// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/cleanup.h"
#include "support.h"
#include "base/string_pool.h"
#include <stdio.h>
#include <string.h>

static void test_kept_once(void **context)
{
	struct texts *texts = texts_create();
	struct text *one, *two, *other;

	(void)context;
	assert_non_null(texts);
	one = texts_take(texts, "/srv/a.py");
	other = texts_take(texts, "/srv/b.py");
	two = texts_take(texts, "/srv/a.py");
	assert_ptr_equal(one, two);
	assert_ptr_not_equal(one, other);
	assert_string_equal(text_data(one), "/srv/a.py");
	assert_int_equal(text_length(one), 9);
	texts_release(texts, one);
	/* Somebody holds it still. */
	assert_string_equal(text_data(two), "/srv/a.py");
	assert_ptr_equal(texts_take(texts, "/srv/a.py"), two);
	texts_release(texts, two);
	texts_release(texts, two);
	/* Nobody does: a new one is as good, and its length is its own. */
	one = texts_take(texts, "/srv/a.pyc");
	assert_int_equal(text_length(one), 10);
	texts_release(texts, one);
	texts_release(texts, other);
	texts_destroy(texts);
}

static void test_empty(void **context)
{
	struct texts *texts = texts_create();
	struct text *empty = texts_take(texts, "");

	(void)context;
	assert_string_equal(text_data(empty), "");
	assert_int_equal(text_length(empty), 0);
	texts_hold(empty);
	texts_release(texts, empty);
	texts_release(texts, empty);
	/* It is always there. */
	assert_ptr_equal(texts_take(texts, ""), empty);
	texts_release(texts, empty);
	texts_release(texts, NULL);
	texts_destroy(texts);
	texts_destroy(NULL);
}

static void test_hold(void **context)
{
	struct texts *texts = texts_create();
	struct text *text = texts_take(texts, "held");

	(void)context;
	texts_hold(text);
	texts_hold(text);
	texts_release(texts, text);
	texts_release(texts, text);
	assert_string_equal(text_data(text), "held");
	texts_release(texts, text);
	texts_destroy(texts);
}

/* Many come and go; what is held is destroyed with the rest. */
static void test_many(void **context)
{
	static struct text *held[1000];
	struct texts *texts = texts_create();
	char string[32];

	(void)context;
	for (unsigned i = 0; i < 100000; i++) {
		unsigned place = i * 7919u % array_size(held);

		texts_release(texts, held[place]);
		snprintf(string, sizeof(string), "text %u", i % 1500);
		held[place] = texts_take(texts, string);
		assert_string_equal(text_data(held[place]), string);
	}
	texts_destroy(texts);
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
