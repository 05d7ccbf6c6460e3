// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The estimator against processes of which every block is known. Each scenario is played with many
 * seeds, seen as the tracer would see it (simulation.h); then the estimates are compared with the
 * truth.
 */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "simulation.h"
#include "trace/estimate/estimate.h"

#define SEEDS 100
/* In how many of 100 runs what is said has to hold, and in how many noise may be shown to grow. */
#define ENOUGH     90
#define FALSE_MOST 5
/* How far the mean over all seeds may be off. */
#define BIAS_MOST 0.05

struct tally {                       /* over all seeds */
	int first;                   /* line 0 is the first of the table, with growth */
	int any;                     /* some line is shown to grow */
	int shown[SIMULATION_LINES]; /* this one is */
	int grown[SIMULATION_LINES]; /* its growth is within twice the error */
	int held[SIMULATION_LINES];  /* what it holds is within twice the error */
	int shares; /* the shares of lines 0 and 1 in the growth are within 10 points */
	double sum[SIMULATION_LINES]; /* the sum of the estimates of growth */
	double true_sum[SIMULATION_LINES];
	double error[SIMULATION_LINES];
};

static bool within(double value, double error, double truth)
{
	return fabs(value - truth) <= 2 * error + 1e-6 * fabs(truth);
}

/* What a traceback that no window saw may hold, in blocks of SIZE. */
static double unseen_error(const struct estimate_input *input, const struct estimate *estimate,
			   double size)
{
	return estimate->unseen * (double)input->now / 1e9 * size / 1024 / 2;
}

static void tally_line(struct tally *tally, const struct simulation_player *player,
		       const struct estimate *estimate, uint32_t k, double size)
{
	const struct estimate_row *row = NULL;
	double growth = simulation_growth(player, k), held = simulation_held(player, k), unseen;

	for (size_t i = 0; i < estimate->count; i++)
		if (estimate->rows[i].traceback == k)
			row = &estimate->rows[i];
	tally->true_sum[k] += growth;
	if (!row) {
		unseen = unseen_error(simulation_input(player), estimate, size);
		tally->grown[k] += within(0, unseen, growth);
		tally->held[k] += within(0, unseen, held);
		return;
	}
	tally->shown[k] += row->grows;
	tally->grown[k] += within(row->size_growth.value, row->size_growth.error, growth);
	tally->held[k] += within(row->size.value, row->size.error, held);
	tally->sum[k] += row->size_growth.value;
	tally->error[k] += row->size_growth.error;
}

static double growth_of(const struct estimate *estimate, uint32_t traceback)
{
	for (size_t i = 0; i < estimate->count; i++)
		if (estimate->rows[i].traceback == traceback)
			return estimate->rows[i].size_growth.value;
	return 0;
}

static void tally_add(struct tally *tally, const struct simulation *simulation,
		      const struct simulation_player *player, const struct estimate *estimate)
{
	double share = growth_of(estimate, 0), truth = simulation_growth(player, 0);
	bool any = false;

	tally->first += estimate->count && estimate->rows[0].traceback == 0 && share > 0;
	for (size_t i = 0; i < estimate->count; i++)
		any |= estimate->rows[i].grows;
	tally->any += any;
	for (uint32_t k = 0; k < SIMULATION_LINES; k++) {
		const struct simulation_line *line = &simulation->lines[k];

		if (line->kind != SIMULATION_NONE)
			tally_line(tally, player, estimate, k,
				   simulation->classes[line->class].size);
	}
	share /= share + growth_of(estimate, 1) + 1e-9;
	truth /= truth + simulation_growth(player, 1) + 1e-9;
	tally->shares += fabs(share - truth) <= 0.10;
}

static struct tally scenario_play(const char *name, const struct simulation *simulation)
{
	cleanup(simulation_cleanup) struct simulation_player *player =
		simulation_create(simulation);
	struct tally tally = {0};

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		cleanup(estimate_cleanup) struct estimate *estimate = NULL;

		simulation_play(player, seed);
		support_ok(estimate_create(simulation_input(player), &estimate));
		tally_add(&tally, simulation, player, estimate);
	}
	print_message("# %s: first %d, any shown %d, shares %d\n", name, tally.first, tally.any,
		      tally.shares);
	for (uint32_t k = 0; k < SIMULATION_LINES; k++)
		if (simulation->lines[k].kind != SIMULATION_NONE)
			print_message("#   line %u: shown %d, within 2 SE: growth %d, held %d; "
				      "mean growth %.0f \u00b1 %.0f of %.0f\n",
				      k, tally.shown[k], tally.grown[k], tally.held[k],
				      tally.sum[k] / SEEDS, tally.error[k] / SEEDS,
				      tally.true_sum[k] / SEEDS);
	return tally;
}

/* What is said of each line holds. */
static void assert_true_of_all(const struct simulation *simulation, const struct tally *tally)
{
	for (uint32_t k = 0; k < SIMULATION_LINES; k++) {
		if (simulation->lines[k].kind == SIMULATION_NONE)
			continue;
		assert_in_range(tally->grown[k], ENOUGH, SEEDS);
		assert_in_range(tally->held[k], ENOUGH, SEEDS);
	}
}

/*
 * Lines 0 to LEAKS - 1 leak, and nothing else does. The first of them grows most: it is shown to
 * grow in at least SHOWN of 100 runs.
 */
static struct tally assert_found(const char *name, const struct simulation *simulation,
				 uint32_t leaks, int shown)
{
	struct tally tally = scenario_play(name, simulation);

	assert_in_range(tally.first, 95, SEEDS);
	assert_in_range(tally.shown[0], shown, SEEDS);
	assert_in_range(tally.shares, ENOUGH, SEEDS);
	assert_true_of_all(simulation, &tally);
	for (uint32_t k = 0; k < SIMULATION_LINES; k++) {
		if (k >= leaks)
			assert_in_range(tally.shown[k], 0, FALSE_MOST);
		else
			assert_true(fabs(tally.sum[k] / tally.true_sum[k] - 1) <= BIAS_MOST);
	}
	return tally;
}

/* Nothing grows, and nothing is said to grow. */
static void assert_nothing(const char *name, const struct simulation *simulation)
{
	struct tally tally = scenario_play(name, simulation);

	assert_in_range(tally.any, 0, FALSE_MOST);
	assert_true_of_all(simulation, &tally);
}

/*
 * Two lines leak blocks of one type, 80 : 20. A third one allocates ten times as many blocks of the
 * same type and size.
 */
static void test_shares_under_churn(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_LEAK, 0, .count = 4},
			  {SIMULATION_LEAK, 0, .count = 1},
			  {SIMULATION_TEMPORARY, 0, .count = 45},
			  {SIMULATION_CHURN, 0, .count = 5, .life = 0.05}},
		.classes = {{.size = 96}},
	};

	(void)state;
	assert_found("80:20 under churn", &simulation, 2, ENOUGH);
}

/*
 * The same, but blocks that go live for seconds, and their addresses go to equal blocks at once: no
 * look can tell.
 */
static void test_phantoms(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_LEAK, 0, .count = 4},
			  {SIMULATION_LEAK, 0, .count = 1},
			  {SIMULATION_TEMPORARY, 0, .count = 40},
			  {SIMULATION_CHURN, 0, .count = 10, .life = 0.5}},
		.classes = {{.size = 96}},
		.warm_up = 5,
	};

	(void)state;
	assert_found("phantoms", &simulation, 2, ENOUGH);
}

/* 100 KB/s in a process that allocates 100 MB/s, all of the same type. */
static void test_slow_leak(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_LEAK, 0, .count = 5},
			  {SIMULATION_NONE},
			  {SIMULATION_TEMPORARY, 0, .count = 4500},
			  {SIMULATION_TEMPORARY, 1, .count = 500},
			  {SIMULATION_CHURN, 0, .count = 5, .life = 0.1}},
		.classes = {{.size = 96}, {.size = 512}},
		.busy = 0.9,
		.interval = 6,
	};

	(void)state;
	assert_found("slow leak", &simulation, 1, ENOUGH);
}

/*
 * Windows slow down a process without time to spare: they see a quarter of what it does in as much
 * time elsewhere.
 */
static void test_slowed(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_LEAK, 0, .count = 4},
			  {SIMULATION_LEAK, 0, .count = 1},
			  {SIMULATION_TEMPORARY, 0, .count = 45},
			  {SIMULATION_CHURN, 0, .count = 5, .life = 0.5}},
		.classes = {{.size = 96}},
		.busy = 0.8,
		.slowed = 5,
		.interval = 2,
	};
	static const struct simulation others = {
		.lines = {{SIMULATION_LEAK, 0, .count = 4},
			  {SIMULATION_LEAK, 1, .count = 1},
			  {SIMULATION_TEMPORARY, 1, .count = 45},
			  {SIMULATION_CHURN, 0, .count = 1, .life = 5},
			  {SIMULATION_QUEUE, 2, .count = 1, .life = 4000}},
		.classes = {{.size = 96}, {.size = 64}, {.size = 48}},
		.busy = 0.8,
		.slowed = 5,
		.warm_up = 40,
		.interval = 2,
	};

	(void)state;
	assert_found("slowed", &simulation, 2, ENOUGH);
	assert_found("slowed, several classes", &others, 2, ENOUGH);
}

#define CACHE(FROM, CLEAR)                                                                         \
	{                                                                                          \
		.lines = {{SIMULATION_LEAK, 0, .count = 5, .from = (FROM), .clear = (CLEAR)},      \
			  {SIMULATION_NONE},                                                       \
			  {SIMULATION_TEMPORARY, 0, .count = 40},                                  \
			  {SIMULATION_CHURN, 0, .count = 5, .life = 0.05}},                        \
		.classes = {{.size = 96}}, .warm_up = 30,                                          \
	}

static void test_cache_fills(void **state)
{
	static const struct simulation simulation = CACHE(0, 0);
	static const struct simulation again = CACHE(0, 30);

	(void)state;
	assert_found("cache fills", &simulation, 1, ENOUGH);
	/* Half of what it allocated has died: whether the rest will stay is not known. */
	assert_found("cache fills, is cleared and fills again", &again, 1, 0);
}

/* What filled the cache since the start goes; or also what was there before. */
static void test_cache_cleared(void **state)
{
	static const struct simulation simulation = CACHE(0, 59.9);
	static const struct simulation longer = CACHE(-30, 59);

	(void)state;
	assert_nothing("cache cleared", &simulation);
	assert_nothing("older cache cleared", &longer);
}

/* Nothing grows: some lines hold blocks for a while, and one a queue of a fixed length. */
static void test_steady(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_CHURN, 0, .count = 5, .life = 0.5},
			  {SIMULATION_CHURN, 0, .count = 2, .life = 5},
			  {SIMULATION_TEMPORARY, 1, .count = 50},
			  {SIMULATION_CHURN, 1, .count = 2, .life = 0.05},
			  {SIMULATION_CHURN, 2, .count = 0.2, .life = 12},
			  {SIMULATION_QUEUE, 3, .count = 4, .life = 8000}},
		.classes = {{.size = 96}, {.size = 64}, {.size = 512}, {.size = 80}},
		.warm_up = 40,
	};

	(void)state;
	assert_nothing("steady", &simulation);
}

/* Queues that turn over once while they are observed: each block outlives the horizon. */
static void test_long_lived(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_QUEUE, 0, .count = 4, .life = 32000},
			  {SIMULATION_QUEUE, 0, .count = 1, .life = 4000},
			  {SIMULATION_CHURN, 1, .count = 1, .life = 40},
			  {SIMULATION_TEMPORARY, 0, .count = 50}},
		.classes = {{.size = 96}, {.size = 64}},
		.warm_up = 200,
	};

	(void)state;
	assert_nothing("long-lived", &simulation);
}

/*
 * A worker thread leaks. It works for a third of each period, and windows are as far apart as the
 * period is long.
 */
static void test_worker(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_LEAK, 0, .count = 5, .period = 2},
			  {SIMULATION_NONE},
			  {SIMULATION_TEMPORARY, 0, .count = 50},
			  {SIMULATION_CHURN, 0, .count = 5, .life = 0.05}},
		.classes = {{.size = 96}},
		.interval = 2,
	};

	(void)state;
	assert_found("worker", &simulation, 1, ENOUGH);
}

/* Requests come forty at a time. */
static void test_batches(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_LEAK, 0, .count = 4},
			  {SIMULATION_LEAK, 0, .count = 1},
			  {SIMULATION_TEMPORARY, 0, .count = 20},
			  {SIMULATION_CHURN, 0, .count = 2, .life = 0.05}},
		.classes = {{.size = 96}},
		.requests = 400,
		.batch = 40,
		.interval = 2,
	};

	(void)state;
	assert_found("batches", &simulation, 2, ENOUGH);
}

/* There are so many windows that every second one goes, twice. */
static void test_thinned(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_LEAK, 0, .count = 6},
			  {SIMULATION_LEAK, 0, .count = 1.5},
			  {SIMULATION_TEMPORARY, 0, .count = 40},
			  {SIMULATION_CHURN, 0, .count = 2, .life = 0.5}},
		.classes = {{.size = 96}},
		.interval = 1,
		.census = 0.5,
		.windows_max = 24,
	};

	(void)state;
	assert_found("thinned", &simulation, 2, 80);
}

/*
 * A library takes buffers of 64 KiB from malloc, four for each object, amid other native memory
 * that comes and goes.
 */
static void test_native(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_LEAK, 0, .count = 2},
			  {SIMULATION_NONE},
			  {SIMULATION_TEMPORARY, 1, .count = 50},
			  {SIMULATION_TEMPORARY, 2, .count = 5}},
		.classes = {{.size = 65536, .raw = true, .disturbed = 1 << 20},
			    {.size = 96},
			    {.size = 64}},
		.requests = 50,
		.interval = 2,
	};

	(void)state;
	assert_found("native", &simulation, 1, ENOUGH);
}

/*
 * A list of bytearrays of 256 KiB grows by 20 a second. Windows on such a process cost little, so
 * there are many.
 */
static void test_large(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_LEAK, 0, .count = 1},
			  {SIMULATION_NONE},
			  {SIMULATION_TEMPORARY, 0, .count = 1},
			  {SIMULATION_CHURN, 1, .count = 5, .life = 0.5}},
		.classes = {{.size = 262144, .raw = true, .disturbed = 1 << 20}, {.size = 96}},
		.requests = 20,
		.interval = 1,
	};

	(void)state;
	assert_found("large", &simulation, 1, 0);
}

/* By line: the rows of tracebacks of one line become one row, and their values add up. */
static void test_groups(void **state)
{
	static const struct simulation simulation = {
		.lines = {{SIMULATION_LEAK, 0, .count = 4},
			  {SIMULATION_LEAK, 0, .count = 1},
			  {SIMULATION_CHURN, 0, .count = 5, .life = 5}},
		.classes = {{.size = 96}},
	};
	static const uint32_t groups[SIMULATION_LINES] = {0, 0, 2};
	cleanup(simulation_cleanup) struct simulation_player *player =
		simulation_create(&simulation);
	cleanup(estimate_cleanup) struct estimate *apart = NULL, *together = NULL;
	struct estimate_input input;

	(void)state;
	simulation_play(player, 1);
	input = *simulation_input(player);
	support_ok(estimate_create(&input, &apart));
	input.groups = groups;
	support_ok(estimate_create(&input, &together));
	assert_int_equal(apart->count, 3);
	assert_int_equal(together->count, 2);
	assert_int_equal(together->rows[0].traceback, 0);
	assert_true(growth_of(apart, 1) > 0);
	assert_true(fabs(growth_of(together, 0) / (growth_of(apart, 0) + growth_of(apart, 1)) - 1) <
		    1e-6);
	assert_true(fabs(growth_of(together, 2) - growth_of(apart, 2)) <=
		    1e-6 * growth_of(apart, 0));
	assert_true(fabs(together->attributed / apart->attributed - 1) < 1e-6);
}

static void test_nothing(void **state)
{
	static const struct estimate_input nothing = {.now = 1};
	static const struct estimate_window window = {.start = 5, .end = 5};
	cleanup(estimate_cleanup) struct estimate *estimate = NULL;
	struct estimate_input input = {.windows = &window, .window_count = 1, .now = 10};

	(void)state;
	support_ok(estimate_create(&nothing, &estimate));
	assert_int_equal(estimate->count, 0);
	support_fails(estimate_create(&input, &estimate), ERROR_FAILED, "window 0");
}

/*
 * With as many classes and windows as there may be, memory is needed for what was seen, not for
 * each pair of a class and a window.
 */
static void test_many_classes(void **state)
{
	enum { WINDOWS = 256, CLASSES = 60000 };
	cleanup_free struct estimate_window *windows = calloc(WINDOWS, sizeof(*windows));
	cleanup_free struct estimate_item *items = calloc(CLASSES, sizeof(*items));
	cleanup_free struct estimate_class *classes = calloc(CLASSES, sizeof(*classes));
	cleanup(estimate_cleanup) struct estimate *estimate = NULL;
	struct estimate_input input = {windows, WINDOWS, items, CLASSES, classes, CLASSES, NULL, 0};
	struct rusage before, after;
	double grown = 0;

	(void)state;
	assert_true(windows && items && classes);
	for (uint32_t i = 0; i < WINDOWS; i++) {
		uint64_t from = i * 1000000000ull;

		windows[i] = (struct estimate_window){from + 1000, from + 10001000, from,
						      from + 1000000000};
	}
	input.now = windows[WINDOWS - 1].to;
	for (uint32_t i = 0; i < CLASSES; i++) {
		/* Each is of one class, whose only survivor was seen by one window. */
		items[i] = (struct estimate_item){
			.window = i % WINDOWS,
			.traceback = i % 100,
			.class = i,
			.count = 1,
			.size = 64,
			.died = ESTIMATE_ALIVE,
		};
		classes[i] = (struct estimate_class){
			.probed = true, .total = 100, .growth = 100, .unit_size = 64};
	}
	getrusage(RUSAGE_SELF, &before);
	support_ok(estimate_create(&input, &estimate));
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 100 * 1024);
	assert_int_equal(estimate->count, 100);
	for (size_t i = 0; i < estimate->count; i++)
		grown += estimate->rows[i].size_growth.value;
	assert_float_equal(grown, 100.0 * 64 * CLASSES, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_classes),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_shares_under_churn),
		cmocka_unit_test(test_phantoms),
		cmocka_unit_test(test_slow_leak),
		cmocka_unit_test(test_cache_fills),
		cmocka_unit_test(test_cache_cleared),
		cmocka_unit_test(test_steady),
		cmocka_unit_test(test_long_lived),
		cmocka_unit_test(test_worker),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_thinned),
		cmocka_unit_test(test_native),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_slowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
