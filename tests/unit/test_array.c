// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Growth of arrays: room, and numbers that are too much. */
#include "support.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include <stdint.h>
#include <stdlib.h>

/* From each capacity to each other one there is room for all that was asked for. */
static void test_memcg_headroom(void **state)
{
	(void)state;
	for (size_t first = 0; first < 100; first++) {
		for (size_t more = 0; more < 300; more++) {
			cleanup_free uint32_t *elements = NULL;
			size_t capacity = 0;

			assert_null(
				array_reserve(&elements, &capacity, 0, first, sizeof(*elements)));
			assert_true(capacity >= first);
			assert_null(array_reserve(&elements, &capacity, first, more,
						  sizeof(*elements)));
			assert_true(capacity >= first + more);
			/* Behind the end the sanitizer sees it. */
			for (size_t i = 0; i < first + more; i++)
				elements[i] = (uint32_t)i;
		}
	}
}

static void test_growth_doubles(void **state)
{
	cleanup_free char *elements = NULL;
	size_t capacity = 0, grown = 0;

	(void)state;
	for (size_t count = 0; count < 100000; count++) {
		size_t before = capacity;

		assert_null(array_reserve(&elements, &capacity, count, 1, 1));
		grown += capacity != before;
	}
	assert_true(grown <= 14);
}

static void test_too_much(void **state)
{
	cleanup_free uint64_t *elements = NULL;
	size_t capacity = 0;
	struct error *error;

	(void)state;
	assert_null(array_reserve(&elements, &capacity, 0, 20, sizeof(*elements)));
	error = array_reserve(&elements, &capacity, 20, SIZE_MAX, sizeof(*elements));
	assert_non_null(error);
	error_destroy(error);
	error = array_reserve(&elements, &capacity, 20, SIZE_MAX / 8, sizeof(*elements));
	assert_non_null(error);
	error_destroy(error);
	assert_int_equal(capacity, 20);
	elements[19] = 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memcg_headroom),
		cmocka_unit_test(test_growth_doubles),
		cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
