// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is kept of windows is limited, and what is left stands for all of it. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/random.h"
#include "trace/sampling/sampler_internal.h"

#define SEEDS 150

static void burst_start(struct burst *burst, uint64_t seed)
{
	burst->random = seed << 32;
	burst->window_count = burst->followed_count = 0;
	burst->survivors_most = BURST_SURVIVORS_MAX;
}

static void burst_end(struct burst *burst)
{
	free(burst->windows);
	free(burst->followed);
}

/* As burst.c takes in a window: of ALIVE survivors the first RARE are traceback 1's, the others 0's. */
static void window_add(struct burst *burst, size_t alive, size_t rare)
{
	size_t most = burst_survivors_room(burst, alive), left = alive;
	uint32_t number = (uint32_t)burst->window_count;
	uint64_t from = number ? burst->windows[number - 1].window.to : 0;

	support_ok(array_reserve(&burst->windows, &burst->window_capacity, burst->window_count, 1,
				 sizeof(*burst->windows)));
	support_ok(array_reserve(&burst->followed, &burst->followed_capacity, burst->followed_count,
				 most, sizeof(*burst->followed)));
	burst->windows[burst->window_count++] = (struct window){
		.window = {.from = from, .to = from + 1000},
		.scale = (double)alive / (double)most,
	};
	for (size_t i = 0; i < alive; i++) {
		if (random_share(&burst->random) * (double)left-- >= (double)most)
			continue;
		most--;
		burst->followed[burst->followed_count++] = (struct followed){
			.address = i + 1,
			.window = number,
			.traceback = i < rare,
			.died = i % 3 ? ESTIMATE_ALIVE : 1,
		};
	}
}

/* How many the blocks of TRACEBACK in the windows from FIRST to LAST stand for. */
static double stand_for(const struct burst *burst, uint32_t traceback, uint32_t first,
			uint32_t last)
{
	double sum = 0;

	for (size_t i = 0; i < burst->followed_count; i++) {
		const struct followed *block = &burst->followed[i];
		const struct window *window = &burst->windows[block->window];

		if (block->traceback == traceback && block->window >= first &&
		    block->window <= last)
			sum += window->scale * (double)(window->window.to - window->window.from) /
			       1000;
	}
	return sum;
}

/* However much windows see, there are no more than that: of each window some, in order, none twice. */
static void test_bounded(void **state)
{
	struct burst burst = {0};

	(void)state;
	burst_start(&burst, 1);
	for (size_t i = 0; i < 3 * BURST_WINDOWS_MAX; i++) {
		size_t seen = 1;

		if (burst.window_count == BURST_WINDOWS_MAX)
			burst_windows_thin(&burst);
		window_add(&burst, 5000, 5);
		assert_true(burst.followed_count <= BURST_FOLLOWED_MAX);
		assert_true(burst.followed_count >=
			    burst.window_count * (BURST_FOLLOWED_MAX / BURST_WINDOWS_MAX));
		for (size_t k = 1; k < burst.followed_count && i % 32 == 31; k++) {
			const struct followed *a = &burst.followed[k - 1], *b = a + 1;

			seen += a->window != b->window;
			assert_true(a->window < b->window ||
				    (a->window == b->window && a->address < b->address));
		}
		assert_true(i % 32 < 31 || seen == burst.window_count);
	}
	burst_end(&burst);
}

/* Windows with few survivors keep them all, whatever the others have, and those stand for what there was. */
static void test_few(void **state)
{
	struct burst burst = {0};

	(void)state;
	burst_start(&burst, 2);
	window_add(&burst, 100, 3);
	for (size_t i = 1; i < 120; i++)
		window_add(&burst, 4000, 0);
	assert_true(burst.survivors_most < BURST_SURVIVORS_MAX);
	assert_float_equal(stand_for(&burst, 1, 0, 0), 3, 1e-9);
	assert_float_equal(stand_for(&burst, 0, 0, 0), 97, 1e-9);
	assert_float_equal(stand_for(&burst, 0, 1, 119), 4000 * 119, 1e-3);
	burst_end(&burst);
}

/* So does what is rare, on average over seeds: 5 of 2500 of each window, and of every second one after that. */
static void test_unbiased(void **state)
{
	struct burst burst = {0};
	double sum = 0, squares = 0, mean, error;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		double rare;

		burst_start(&burst, seed);
		for (size_t i = 0; i < 70; i++)
			window_add(&burst, 2500, 5);
		assert_int_equal(burst.survivors_most, BURST_SURVIVORS_MAX / 4);
		burst_windows_thin(&burst);
		assert_int_equal(burst.window_count, 35);
		rare = stand_for(&burst, 1, 0, UINT32_MAX);
		sum += rare;
		squares += rare * rare;
	}
	mean = sum / SEEDS;
	error = sqrt((squares / SEEDS - mean * mean) / SEEDS);
	assert_true(error < 350 * 0.03);
	assert_true(fabs(mean - 350) <= 4 * error);
	burst_end(&burst);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_few),
		cmocka_unit_test(test_unbiased),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
