// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sampling windows: allocations are listed, nothing is followed. */
#include "bpf_host.h"

static const struct tmbpf_allocation *listed(__u32 index)
{
	return bpf_map_lookup_elem(&window_allocations, &index);
}

static void test_listed(void **state_)
{
	struct tmbpf_raw_block block;

	(void)state_;
	host_start(NULL);
	cfg.mode = TMBPF_MODE_SAMPLED;
	cfg.window_allocations = HOST_ALLOCATIONS;
	shadow_add(0x1000, 32, 9);
	raw_block_add(0x2000, 4096, 10);
	shadow_add(0x1000, 48, 11);
	assert_int_equal(state.window_allocations, 3);
	assert_int_equal(listed(0)->address, 0x1000);
	assert_int_equal(listed(0)->size, 32);
	assert_int_equal(listed(0)->stack, 9);
	assert_int_equal(listed(0)->kind, TMBPF_ALLOCATION_POOL);
	assert_int_equal(listed(1)->size, 4096);
	assert_int_equal(listed(1)->kind, TMBPF_ALLOCATION_RAW);
	assert_int_equal(listed(2)->address, 0x1000);
	assert_int_equal(listed(2)->stack, 11);
	assert_false(shadow_remove(0x1000));
	assert_false(raw_block_remove(0x2000, &block));
	host_holds(9, 0, 0);
	host_lost_nothing();
}

/* The window closes when its last place is taken, at a time that is told. */
static void test_full(void **state_)
{
	(void)state_;
	host_start(NULL);
	cfg.mode = TMBPF_MODE_SAMPLED;
	cfg.window_allocations = HOST_ALLOCATIONS;
	for (__u32 i = 0; i < HOST_ALLOCATIONS - 1; i++)
		shadow_add(0x1000 + 16 * i, 16, 9);
	assert_int_equal(state.tracing, 1);
	assert_int_equal(state.closed_at, 0);
	shadow_add(0x3000, 16, 9);
	assert_int_equal(state.tracing, 0);
	assert_int_not_equal(state.closed_at, 0);
	assert_int_equal(listed(HOST_ALLOCATIONS - 1)->address, 0x3000);
	/* Of the same moment, in another thread. */
	shadow_add(0x4000, 16, 9);
	assert_int_equal(listed(HOST_ALLOCATIONS - 1)->address, 0x3000);
}

/* What a thread has left half done in one window is not taken up in the next. */
static void test_next_window(void **state_)
{
	struct thread *thread;

	(void)state_;
	host_start(NULL);
	cfg.mode = TMBPF_MODE_SAMPLED;
	cfg.window_allocations = HOST_ALLOCATIONS;
	thread = host_thread();
	thread->pending.returns = 0x1234;
	thread->object_request = 1025;
	assert_int_equal(host_thread()->pending.returns, 0x1234);
	state.window = 2;
	assert_int_equal(host_thread()->pending.returns, 0);
	assert_int_equal(host_thread()->object_request, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listed),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_next_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
