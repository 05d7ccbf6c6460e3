// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The sequence of random numbers. */
#include "support.h"

#include "base/random.h"

/*
 * The first numbers of the sequence of 0, as they are published: e220a8397b1dcdaf,
 * 6e789e6aa1b965f4, 06c45d188009454f.
 */
static void test_sequence(void **context)
{
	uint64_t state = 0;

	(void)context;
	assert_true(random_share(&state) == ((double)0xe220a8397b1dcULL + 0.5) / 0x1p52);
	assert_true(random_share(&state) == ((double)0x6e789e6aa1b96ULL + 0.5) / 0x1p52);
	assert_true(random_share(&state) == ((double)0x06c45d1880094ULL + 0.5) / 0x1p52);
}

static void test_share(void **context)
{
	uint64_t state = 1;
	double sum = 0;

	(void)context;
	for (int i = 0; i < 100000; i++) {
		double share = random_share(&state);

		assert_true(share > 0 && share < 1);
		sum += share;
	}
	assert_float_equal(sum / 100000, 0.5, 0.005);
}

static void test_fill(void **context)
{
	uint8_t one[32] = {0}, other[32] = {0};

	(void)context;
	support_ok(random_fill(one, sizeof(one)));
	support_ok(random_fill(other, sizeof(other)));
	assert_memory_not_equal(one, other, sizeof(one));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sequence),
		cmocka_unit_test(test_share),
		cmocka_unit_test(test_fill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
