// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is kept of windows is limited, and what is left stands for all of it. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/random.h"
#include "trace/sampling/sampler_internal.h"

#define SEEDS 150

static void sampler_start(struct sampler *sampler, uint64_t seed)
{
	sampler->random = seed << 32;
	sampler->window_count = sampler->tracked_count = 0;
	sampler->survivors_most = SAMPLER_SURVIVORS_MAX;
}

static void sampler_end(struct sampler *sampler)
{
	free(sampler->windows);
	free(sampler->tracked);
}

/*
 * Adds a window as sampler.c does. Of ALIVE survivors the first RARE are traceback 1's, the others
 * 0's.
 */
static void window_add(struct sampler *sampler, size_t alive, size_t rare)
{
	size_t most = sampler_survivors_room(sampler, alive), left = alive;
	uint32_t number = (uint32_t)sampler->window_count;
	uint64_t from = number ? sampler->windows[number - 1].window.to : 0;

	support_ok(array_reserve(&sampler->windows, &sampler->window_capacity,
				 sampler->window_count, 1, sizeof(*sampler->windows)));
	support_ok(array_reserve(&sampler->tracked, &sampler->tracked_capacity,
				 sampler->tracked_count, most, sizeof(*sampler->tracked)));
	sampler->windows[sampler->window_count++] = (struct window){
		.window = {.from = from, .to = from + 1000},
		.scale = (double)alive / (double)most,
	};
	for (size_t i = 0; i < alive; i++) {
		if (random_share(&sampler->random) * (double)left-- >= (double)most)
			continue;
		most--;
		sampler->tracked[sampler->tracked_count++] = (struct tracked){
			.address = i + 1,
			.window = number,
			.traceback = i < rare,
			.died = i % 3 ? ESTIMATE_ALIVE : 1,
		};
	}
}

/* How many blocks those of TRACEBACK in the windows from FIRST to LAST stand for. */
static double stand_for(const struct sampler *sampler, uint32_t traceback, uint32_t first,
			uint32_t last)
{
	double sum = 0;

	for (size_t i = 0; i < sampler->tracked_count; i++) {
		const struct tracked *block = &sampler->tracked[i];
		const struct window *window = &sampler->windows[block->window];

		if (block->traceback == traceback && block->window >= first &&
		    block->window <= last)
			sum += window->scale * (double)(window->window.to - window->window.from) /
			       1000;
	}
	return sum;
}

/* However much windows see, the limit holds: each window keeps some, in order, none twice. */
static void test_bounded(void **state)
{
	struct sampler sampler = {0};

	(void)state;
	sampler_start(&sampler, 1);
	for (size_t i = 0; i < 3 * SAMPLER_WINDOWS_MAX; i++) {
		size_t seen = 1;

		if (sampler.window_count == SAMPLER_WINDOWS_MAX)
			sampler_windows_thin(&sampler);
		window_add(&sampler, 5000, 5);
		assert_true(sampler.tracked_count <= SAMPLER_TRACKED_MAX);
		assert_true(sampler.tracked_count >=
			    sampler.window_count * (SAMPLER_TRACKED_MAX / SAMPLER_WINDOWS_MAX));
		for (size_t k = 1; k < sampler.tracked_count && i % 32 == 31; k++) {
			const struct tracked *a = &sampler.tracked[k - 1], *b = a + 1;

			seen += a->window != b->window;
			assert_true(a->window < b->window ||
				    (a->window == b->window && a->address < b->address));
		}
		assert_true(i % 32 < 31 || seen == sampler.window_count);
	}
	sampler_end(&sampler);
}

/*
 * Windows with few survivors keep them all, whatever the others have, and they stand for what there
 * was.
 */
static void test_few(void **state)
{
	struct sampler sampler = {0};

	(void)state;
	sampler_start(&sampler, 2);
	window_add(&sampler, 100, 3);
	for (size_t i = 1; i < 120; i++)
		window_add(&sampler, 4000, 0);
	assert_true(sampler.survivors_most < SAMPLER_SURVIVORS_MAX);
	assert_float_equal(stand_for(&sampler, 1, 0, 0), 3, 1e-9);
	assert_float_equal(stand_for(&sampler, 0, 0, 0), 97, 1e-9);
	assert_float_equal(stand_for(&sampler, 0, 1, 119), 4000 * 119, 1e-3);
	sampler_end(&sampler);
}

/*
 * Rare blocks stand for what there was too, on average over seeds: 5 of 2500 in each window, and
 * later in every second one.
 */
static void test_unbiased(void **state)
{
	struct sampler sampler = {0};
	double sum = 0, squares = 0, mean, error;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		double rare;

		sampler_start(&sampler, seed);
		for (size_t i = 0; i < 70; i++)
			window_add(&sampler, 2500, 5);
		assert_int_equal(sampler.survivors_most, SAMPLER_SURVIVORS_MAX / 4);
		sampler_windows_thin(&sampler);
		assert_int_equal(sampler.window_count, 35);
		rare = stand_for(&sampler, 1, 0, UINT32_MAX);
		sum += rare;
		squares += rare * rare;
	}
	mean = sum / SEEDS;
	error = sqrt((squares / SEEDS - mean * mean) / SEEDS);
	assert_true(error < 350 * 0.03);
	assert_true(fabs(mean - 350) <= 4 * error);
	sampler_end(&sampler);
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
