// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a window has listed, while it is being written and after. */
#include "support.h"

#include <linux/types.h>
#include <stdint.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "tmbpf.h"
#include "trace/tracer/window_allocations.h"

/* By address, and in time order at one address. */
static void test_order(void **state)
{
	static const struct tmbpf_allocation allocations[] = {
		{.address = 0x3000, .stack = 8},
		{.address = 0x1000, .stack = 9},
		{.address = 0x3000, .stack = 10},
		{.address = 0x2000, .stack = 11},
	};
	cleanup_free const struct tmbpf_allocation **order = NULL;
	size_t count;

	(void)state;
	support_ok(window_allocations_order(allocations, array_size(allocations), &order, &count));
	assert_int_equal(count, 4);
	assert_ptr_equal(order[0], &allocations[1]);
	assert_ptr_equal(order[1], &allocations[3]);
	assert_ptr_equal(order[2], &allocations[0]);
	assert_ptr_equal(order[3], &allocations[2]);
	assert_ptr_equal(window_allocations_find(order, count, 0x2000), &allocations[3]);
	assert_null(window_allocations_find(order, count, 0x2008));
	assert_int_equal(window_allocations_unique(order, count), 3);
	assert_ptr_equal(order[2], &allocations[2]);
}

/*
 * A place that was claimed but is not written yet counts for nothing, nor does what the last window
 * had there.
 */
static void test_incomplete(void **state)
{
	struct tmbpf_allocation allocations[] = {
		{.address = 0x1000, .size = 16, .stack = 8},
		{.address = 0x2000, .size = 16, .stack = 9},
		{.address = 0x3000, .size = 16, .stack = 10},
	};
	cleanup_free const struct tmbpf_allocation **seen = NULL, **order = NULL, **since = NULL;
	size_t seen_count, count, since_count;

	(void)state;
	window_allocations_clear(allocations, array_size(allocations));
	for (size_t i = 0; i < array_size(allocations); i++) {
		assert_int_equal(allocations[i].address, 0);
		assert_int_equal(allocations[i].stack, 0);
	}
	/* The second one's thread is slow, the third one's is not. */
	allocations[0] = (struct tmbpf_allocation){.address = 0x5000, .stack = 20};
	allocations[1].size = 32;
	allocations[2] = (struct tmbpf_allocation){.address = 0x4000, .stack = 22};
	support_ok(
		window_allocations_order(allocations, array_size(allocations), &seen, &seen_count));
	assert_int_equal(seen_count, 2);
	assert_ptr_equal(seen[0], &allocations[2]);
	assert_ptr_equal(seen[1], &allocations[0]);
	assert_null(window_allocations_find(seen, seen_count, 0));
	/* It is complete only after that, so it came since. */
	allocations[1].stack = 21;
	allocations[1].address = 0x4000;
	support_ok(window_allocations_order(allocations, array_size(allocations), &order, &count));
	assert_int_equal(count, 3);
	support_ok(window_allocations_since(order, count, seen, seen_count, &since, &since_count));
	assert_int_equal(since_count, 1);
	assert_ptr_equal(since[0], &allocations[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_incomplete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
