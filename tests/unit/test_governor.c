// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How often and how long windows are, by what they cost: user/trace/estimate/governor.c. */
#include "support.h"

#include "trace/estimate/governor.h"

/*
 * Plays windows that cost FIXED, and RATE for each second that they are open, for SECONDS. Returns
 * the share of time that they took.
 */
static double share_of(double fixed, double rate, double seconds, struct governor *ret)
{
	struct governor governor;
	double elapsed = 0;

	governor_init(&governor, 0.02, 1e-6);
	while (elapsed < seconds && !governor.stopped) {
		struct governor_cost cost = {
			.attach = fixed,
			.programs = rate * governor.window,
			.hits = 100,
		};

		elapsed += governor.interval;
		governor_window(&governor, &cost, elapsed);
	}
	*ret = governor;
	return governor_share(&governor, 0);
}

static void test_within_budget(void **state)
{
	static const double fixed[] = {0.0001, 0.01, 0.1, 1};
	struct governor governor;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_true(share_of(fixed[i], 1, 3600, &governor) < 0.02);
		assert_false(governor.stopped);
	}
	assert_string_equal(governor_confidence(&governor), "good");
}

/* The budget is used: windows are as frequent as it allows. */
static void test_budget_used(void **state)
{
	struct governor governor;

	(void)state;
	assert_true(share_of(0.1, 1, 3600, &governor) > 0.012);
	assert_true(governor.interval > 5 && governor.interval < 9);
	share_of(0, 0.01, 60, &governor);
	assert_true(governor.interval == GOVERNOR_INTERVAL_MIN);
}

/*
 * The first windows come as the budget allows. Later the time in which one is open is bounded too,
 * however little it costs.
 */
static void test_open_rarely(void **state)
{
	struct governor governor;
	struct governor_cost cost = {.programs = 0.0001, .open = 0.03};
	double elapsed = 0, open = 0;

	(void)state;
	governor_init(&governor, 0.02, 1e-6);
	for (int i = 0; i < 1000; i++) {
		elapsed += governor.interval;
		governor_window(&governor, &cost, elapsed);
		open += cost.open;
		if (i == 50)
			assert_true(elapsed < 60);
	}
	assert_true(open / elapsed < 0.0033);
	assert_true(open / elapsed > 0.00275);
}

/*
 * Who asks all the time is told what that costs. It puts windows off by no more than half of the
 * budget.
 */
static void test_answers(void **state)
{
	struct governor governor;
	struct governor_cost cost = {.programs = 0.02};
	double elapsed = 0;
	int windows = 0;

	(void)state;
	governor_init(&governor, 0.02, 1e-6);
	while (elapsed < 600) {
		windows++;
		elapsed += governor.interval;
		governor_answer(&governor, 0.1 * governor.interval);
		governor_window(&governor, &cost, elapsed);
	}
	assert_in_range(windows, 170, 250);
	assert_true(governor_share(&governor, elapsed) > 0.1);
}

/* Windows cost more than the longest interval allows, so they get shorter. */
static void test_shorter_windows(void **state)
{
	struct governor governor;

	(void)state;
	share_of(0.01, 10000, 3600, &governor);
	assert_false(governor.stopped);
	assert_true(governor.window < GOVERNOR_WINDOW_FIRST);
}

/* Windows are as long as their fixed cost is worth, within bounds. */
static void test_longer_windows(void **state)
{
	struct governor governor;

	(void)state;
	/* As costly as the rest of it. */
	share_of(0.015, 0.5, 600, &governor);
	assert_true(governor.window > 0.029 && governor.window < 0.031);
	/* A request meets no more than so many traps, however costly the rest is. */
	share_of(0.2, 0.8, 600, &governor);
	assert_true(governor.window > 0.024 && governor.window < 0.026);
	/* The rest is cheap. */
	share_of(0.001, 0.8, 600, &governor);
	assert_true(governor.window == GOVERNOR_WINDOW_FIRST);
	/* The dearest of the last windows counts. */
	{
		double elapsed = 0;

		governor_init(&governor, 0.02, 1e-6);
		for (int i = 0; i < 40; i++) {
			struct governor_cost cost = {.attach = 0.1,
						     .programs = (i % 2) * governor.window};

			elapsed += governor.interval;
			governor_window(&governor, &cost, elapsed);
			if (i >= 2)
				assert_true(governor.window < 0.035);
		}
	}
	/* A window that ended early, as its list was full, is judged by its own length. */
	governor_init(&governor, 0.02, 1e-6);
	for (int i = 0; i < 20; i++)
		governor_window(
			&governor,
			&(struct governor_cost){.attach = 0.1, .programs = 0.01, .seconds = 0.005},
			i);
	assert_true(governor.window == GOVERNOR_WINDOW_FIRST);
	/* A window that failed tells nothing. */
	share_of(0.2, 0.8, 600, &governor);
	{
		double window = governor.window;

		governor_window(&governor, &(struct governor_cost){.attach = 1, .failed = true},
				700);
		assert_true(governor.window == window);
	}
	/* Nothing happens. */
	share_of(0.01, 0, 600, &governor);
	assert_true(governor.window == GOVERNOR_WINDOW_MAX);
}

/* The first interval makes up for what was spent before it. */
static void test_begins_within_budget(void **state)
{
	struct governor governor;
	struct governor_cost cost = {.tracer = 0.02};

	(void)state;
	for (int i = 0; i < 20; i++) {
		governor_init(&governor, 0.02, 1e-6);
		governor_other(&governor, 0.1 * i);
		governor_begin(&governor);
		governor_window(&governor, &cost, governor.interval);
		assert_true(governor_share(&governor, 0) <= 0.02);
	}
}

/* If nothing grows windows become rare. Once something grows they are frequent at once. */
static void test_rests(void **state)
{
	struct governor governor;
	struct governor_cost cost = {.tracer = 0.02};
	double elapsed = 0;

	(void)state;
	governor_init(&governor, 0.02, 1e-6);
	for (int i = 0; i < 30; i++) {
		elapsed += governor.interval;
		governor_window(&governor, &cost, elapsed);
		governor_rest(&governor, false);
		if (i == 5)
			assert_true(governor.interval < 2);
	}
	assert_true(governor.interval > 9 && governor.interval < 11);
	assert_true(governor_share(&governor, elapsed) < 0.01);
	governor_window(&governor, &cost, elapsed);
	governor_rest(&governor, true);
	assert_true(governor.interval < 2);
	/* Never beyond the longest. */
	cost.tracer = 1;
	for (int i = 0; i < 30; i++) {
		elapsed += governor.interval;
		governor_window(&governor, &cost, elapsed);
		governor_rest(&governor, false);
		assert_true(governor.interval <= GOVERNOR_INTERVAL_MAX);
	}
	/* Time goes on between windows. */
	assert_true(governor_share(&governor, 2 * elapsed) <
		    0.6 * governor_share(&governor, elapsed));
}

static void test_stops(void **state)
{
	struct governor governor;

	(void)state;
	share_of(5, 1, 3600, &governor);
	assert_true(governor.stopped);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_within_budget),   cmocka_unit_test(test_budget_used),
		cmocka_unit_test(test_shorter_windows), cmocka_unit_test(test_begins_within_budget),
		cmocka_unit_test(test_rests),           cmocka_unit_test(test_stops),
		cmocka_unit_test(test_open_rarely),     cmocka_unit_test(test_answers),
		cmocka_unit_test(test_longer_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
