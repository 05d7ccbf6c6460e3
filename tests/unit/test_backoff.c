// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What costs too much is closed, and comes back: user/trace/estimate/backoff.c. */
#include "support.h"

#include "base/clock.h"
#include "trace/estimate/backoff.h"

#define SHARE 0.005 /* 0.05 s of a round */

static uint64_t at(double seconds)
{
	return (uint64_t)(seconds * NSEC_PER_SEC);
}

static void test_cheap(void **state)
{
	struct backoff backoff;

	(void)state;
	backoff_init(&backoff, true, at(100));
	for (int i = 1; i < 1000; i++)
		assert_true(backoff_pass(&backoff, 0.004 * i, SHARE, at(100 + i)));
}

/*
 * Refused for a minute, two minutes, four; after a whole round that was cheap, for a minute again.
 */
static void test_costly(void **state)
{
	struct backoff backoff;

	(void)state;
	backoff_init(&backoff, true, at(100));
	assert_true(backoff_pass(&backoff, 0.012, SHARE, at(100.1)));
	assert_false(backoff_pass(&backoff, 0.013, SHARE, at(100.2)));
	assert_false(backoff_pass(&backoff, 0.013, SHARE, at(160.1)));
	assert_true(backoff_pass(&backoff, 0.013, SHARE, at(160.3)));
	assert_true(backoff_pass(&backoff, 0.013 + 0.006, SHARE, at(160.4)));
	assert_false(backoff_pass(&backoff, 0.013 + 0.0065, SHARE, at(160.5)));
	assert_false(backoff_pass(&backoff, 0.1, SHARE, at(280.4)));
	assert_true(backoff_pass(&backoff, 0.1, SHARE, at(280.6)));
	assert_false(backoff_pass(&backoff, 0.1 + 0.0032, SHARE, at(280.7)));
	assert_true(backoff_pass(&backoff, 0.2, SHARE, at(520.8)));
}

/* Rounds of 2.5, 5 and 10 seconds: what may be spent at once grows with the trust. */
static void test_trust(void **state)
{
	struct backoff backoff;

	(void)state;
	backoff_init(&backoff, true, at(100));
	assert_true(backoff_pass(&backoff, 0.012, SHARE, at(102.6)));
	assert_true(backoff_pass(&backoff, 0.012 + 0.024, SHARE, at(102.7)));
	assert_true(backoff_pass(&backoff, 0.036, SHARE, at(107.7)));
	assert_true(backoff_pass(&backoff, 0.036 + 0.049, SHARE, at(107.8)));
	assert_false(backoff_pass(&backoff, 0.036 + 0.051, SHARE, at(107.9)));
}

/* If it is looked at late, all that was spent meanwhile counts. */
static void test_late(void **state)
{
	struct backoff backoff;

	(void)state;
	backoff_init(&backoff, true, at(100));
	assert_true(backoff_pass(&backoff, 0.099, SHARE, at(120)));
	backoff_init(&backoff, true, at(100));
	assert_false(backoff_pass(&backoff, 0.101, SHARE, at(120)));
}

static void test_trial(void **state)
{
	struct backoff backoff;

	(void)state;
	backoff_init(&backoff, true, at(100));
	assert_true(backoff_on_trial(&backoff, at(100.4)));
	assert_false(backoff_on_trial(&backoff, at(100.6)));
	/* A new round has spent nothing yet. */
	assert_true(backoff_pass(&backoff, 0, SHARE, at(111)));
	assert_false(backoff_on_trial(&backoff, at(111.1)));
	backoff_close(&backoff, at(112));
	assert_false(backoff_on_trial(&backoff, at(112)));
	assert_false(backoff_pass(&backoff, 0, SHARE, at(171)));
	assert_true(backoff_pass(&backoff, 0, SHARE, at(172.1)));
	assert_true(backoff_on_trial(&backoff, at(172.2)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cheap), cmocka_unit_test(test_costly),
		cmocka_unit_test(test_trust), cmocka_unit_test(test_late),
		cmocka_unit_test(test_trial),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
