// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Stack ids that are given back, and what is forgotten: user/trace/symbols/symbols.c. */
#include "symbols_fake.h"
#include "base/clock.h"

static void test_retired_and_recycled(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	code_plain(2, "b", "g");
	stack_tell(8, {1, 3}, {2, 3});
	stack_tell(9, {2, 3});
	holds(8, 5, 3);
	symbols_sweep(symbols, 10 * NSEC_PER_SEC);
	code_end_tell(1);
	assert_int_equal(counters().codes, 1);
	assert_int_equal(tracer.retired_count, 1);
	assert_int_equal(tracer.retired[0], 8);
	code_end_tell(1); /* nothing comes of a second end */
	/* It holds blocks, and keeps its meaning until they are gone. */
	symbols_sweep(symbols, 20 * NSEC_PER_SEC);
	assert_int_equal(tracer.recycled_count, 0);
	assert_stack(8, "a:104 f, b:104 g, 2: 1/10 1/10\n");
	holds(8, 5, 5);
	symbols_sweep(symbols, 21 * NSEC_PER_SEC);
	assert_int_equal(tracer.recycled_count, 1);
	assert_int_equal(tracer.recycled[0], 8);
	assert_int_equal(counters().recycled, 1);
	assert_int_equal(counters().stacks, 1);
	/* What it allocated in all is kept with its traceback. */
	assert_rows("a:104 f, b:104 g, 2: 0/0 5/50\n");
	assert_stack(8, "<lost>:0 , 1: 1/10 1/10\n");
	symbols_sweep(symbols, 22 * NSEC_PER_SEC);
	assert_int_equal(tracer.recycled_count, 1);
	symbols_end();
}

static void test_not_recycled_at_once(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	stack_tell(8, {1, 3});
	symbols_sweep(symbols, 10 * NSEC_PER_SEC);
	code_end_tell(1);
	symbols_sweep(symbols, 10 * NSEC_PER_SEC + NSEC_PER_SEC / 2);
	assert_int_equal(tracer.recycled_count, 0);
	symbols_sweep(symbols, 12 * NSEC_PER_SEC);
	assert_int_equal(tracer.recycled_count, 1);
	symbols_end();
}

/*
 * An id that is handed out again is another stack: the end of the first one's code does not concern
 * it.
 */
static void test_id_again(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	code_plain(2, "b", "g");
	stack_tell(8, {1, 3}, {2, 3});
	symbols_sweep(symbols, 10 * NSEC_PER_SEC);
	code_end_tell(1);
	symbols_sweep(symbols, 12 * NSEC_PER_SEC);
	assert_int_equal(tracer.recycled_count, 1);
	code_plain(3, "c", "h");
	stack_tell(8, {3, 3});
	code_end_tell(2);
	assert_int_equal(tracer.retired_count, 1);
	assert_stack(8, "c:104 h, 1: 1/10 1/10\n");
	code_end_tell(3);
	assert_int_equal(tracer.retired_count, 2);
	symbols_end();
}

/* The stack that was at a place before can match no more. */
static void test_place_taken(void **context)
{
	const struct frame_made frame = {1, 3}, other = {1, 4};

	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	stack_tell_at(8, 30, 1, 1, &frame);
	stack_tell_at(9, 31, 1, 1, &frame);
	assert_int_equal(tracer.retired_count, 0);
	stack_tell_at(10, 30, 1, 1, &other);
	assert_int_equal(tracer.retired_count, 1);
	assert_int_equal(tracer.retired[0], 8);
	symbols_sweep(symbols, 10 * NSEC_PER_SEC);
	assert_int_equal(tracer.recycled_count, 1);
	assert_int_equal(tracer.recycled[0], 8);
	symbols_end();
}

static void test_pressure(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	for (uint32_t id = 8; id < 8 + 47; id++)
		stack_tell(id, {1, (int)id});
	holds(10, 5, 4);
	symbols_sweep(symbols, 10 * NSEC_PER_SEC);
	assert_int_equal(tracer.retired_count, 0);
	stack_tell(60, {1, 60});
	/* Three quarters are in use: all stacks that hold nothing go. */
	symbols_sweep(symbols, 11 * NSEC_PER_SEC);
	assert_int_equal(tracer.retired_count, 47);
	symbols_sweep(symbols, 13 * NSEC_PER_SEC);
	assert_int_equal(tracer.recycled_count, 47);
	assert_int_equal(counters().stacks, 1);
	/* 24 on lines of their own, the others without a line. */
	assert_int_equal(counters().tracebacks, 25);
	assert_int_equal(counters().codes, 1);
	symbols_end();
}

/* The program goes on with the code of the stacks that went: its references do not pile up. */
static void test_references_do_not_pile_up(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	for (uint32_t round = 0; round < 2000; round++) {
		stack_tell(8 + round % 50, {1, (int)(round % 30)});
		stack_tell_at(60, 60, 1, 1, &(struct frame_made){1, 3});
	}
	code_end_tell(1);
	assert_int_equal(counters().codes, 0);
	symbols_end();
}

static struct error *row_sum(void *context, const struct symbols_row *row)
{
	uint64_t *sums = context;

	sums[0] += row->total_count;
	if (!strcmp(row->frames[0].filename, "<dropped>"))
		sums[1] += row->total_count;
	return NULL;
}

/* Old tracebacks become one sum when there are too many. */
static void test_dropped(void **context)
{
	enum { PAST = 65536, MORE = 100 };
	uint64_t sums[2] = {0};

	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	for (uint32_t i = 0; i < PAST + MORE; i++) {
		struct frame_made frames[3] = {
			{1, (int)(i % 32)}, {1, (int)(i / 32 % 32)}, {1, (int)(i / 1024 % 32)}};

		/* total_nframe tells them apart further. */
		stack_tell_at(8, 8, 3 + i / 32768, 3, frames);
		holds(8, 2, 2);
		stack_tell_at(9, 8, 1, 1, &(struct frame_made){1, 3});
		symbols_sweep(symbols, (2ull * i + 2) * NSEC_PER_SEC);
		holds(9, 0, 0);
		stack_tell_at(10, 8, 1, 1, &(struct frame_made){1, 3});
		symbols_sweep(symbols, (2ull * i + 4) * NSEC_PER_SEC);
	}
	assert_in_range(counters().dropped_tracebacks, MORE - 2, MORE + 2);
	assert_in_range(counters().tracebacks, PAST, PAST + 2);
	support_ok(symbols_each(symbols, row_sum, sums));
	assert_int_equal(sums[0], 2 * (PAST + MORE));
	assert_int_equal(sums[1], 2 * counters().dropped_tracebacks);
	symbols_end();
}

static void test_clear(void **context)
{
	(void)context;
	symbols_start(13, 64);
	code_plain(1, "a", "f");
	stack_tell(8, {1, 3});
	stack_tell(9, {5, 3});
	symbols_sweep(symbols, 10 * NSEC_PER_SEC);
	code_end_tell(1);
	symbols_clear(symbols);
	assert_int_equal(counters().stacks, 0);
	assert_int_equal(counters().codes, 0);
	assert_int_equal(counters().tracebacks, 0);
	assert_int_equal(counters().unresolved_frames, 0);
	assert_rows("");
	symbols_sweep(symbols, 20 * NSEC_PER_SEC);
	assert_int_equal(tracer.recycled_count, 0);
	/* The ids begin anew. */
	code_plain(2, "b", "g");
	stack_tell(8, {2, 3});
	assert_stack(8, "b:104 g, 1: 1/10 1/10\n");
	assert_int_equal(tracer.retired_count, 1);
	symbols_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retired_and_recycled),
		cmocka_unit_test(test_not_recycled_at_once),
		cmocka_unit_test(test_id_again),
		cmocka_unit_test(test_place_taken),
		cmocka_unit_test(test_pressure),
		cmocka_unit_test(test_references_do_not_pile_up),
		cmocka_unit_test(test_dropped),
		cmocka_unit_test(test_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
