// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a probe does with registers and its site's record: bpf/tmbpf.bpf.c and bpf/x86.h. */
#include "bpf_sites.h"

static void test_registers(void **context)
{
	struct pt_regs all = {.ax = 100,
			      .cx = 101,
			      .dx = 102,
			      .bx = 103,
			      .sp = 104,
			      .bp = 105,
			      .si = 106,
			      .di = 107,
			      .r8 = 108,
			      .r9 = 109,
			      .r10 = 110,
			      .r11 = 111,
			      .r12 = 112,
			      .r13 = 113,
			      .r14 = 114,
			      .r15 = 115};

	(void)context;
	for (__u32 i = 0; i < 16; i++)
		assert_int_equal(register_value(&all, i), 100 + i);
}

static void test_values(void **context)
{
	struct tmbpf_value value = {.displacement = 7, .base = TMBPF_NO_REGISTER};
	__u64 got = 1;

	(void)context;
	world();
	assert_true(value_read(&regs, &value, &got));
	assert_int_equal(got, 7);
	regs.r12 = 5;
	value = (struct tmbpf_value){.displacement = -1, .base = R12, .shift = 3};
	assert_true(value_read(&regs, &value, &got));
	assert_int_equal(got, 39);
	memory_put_u64(STACK + 8, 0x1234567890);
	value = (struct tmbpf_value){.displacement = 8, .base = RSP, .dereference = 1};
	assert_true(value_read(&regs, &value, &got));
	assert_int_equal(got, 0x1234567890);
	regs.sp = 0xdead0000;
	assert_false(value_read(&regs, &value, &got));
}

static void test_tracing(void **context)
{
	(void)context;
	world();
	state.tracing = 0;
	hit_malloc(100);
	assert_int_equal(state.events[TMBPF_EVENT_OBJ_MALLOC], 0);
	assert_int_equal(hit_session(AT_TAIL), 1);
	state.tracing = 1;
	hit_malloc(100);
	assert_int_equal(state.events[TMBPF_EVENT_OBJ_MALLOC], 1);
	/* No such site. */
	emulation.cookie = HOST_SITES;
	assert_int_equal(probe(&regs), 0);
	assert_int_equal(probe_session(&regs), 1);
	host_lost_nothing();
}

/*
 * Sampling windows: a site that was hit in a window is noted, also if there was nothing to do, and
 * no other.
 */
static void test_hit_noted(void **context)
{
	const __u32 guard = AT_GUARD, malloc_site = AT_MALLOC;
	const struct tmbpf_site *hit_guard, *hit_malloc_site;

	(void)context;
	world();
	hit_guard = bpf_map_lookup_elem(&sites, &guard);
	hit_malloc_site = bpf_map_lookup_elem(&sites, &malloc_site);
	regs.flags = ~(unsigned long)FLAG_ZF;
	hit(AT_GUARD);
	assert_int_equal(hit_guard->hit, 0);
	cfg.mode = TMBPF_MODE_SAMPLED;
	cfg.window_allocations = HOST_ALLOCATIONS;
	state.tracing = 0;
	hit(AT_GUARD);
	assert_int_equal(hit_guard->hit, 0);
	state.tracing = 1;
	hit(AT_GUARD);
	assert_int_equal(hit_guard->hit, 1);
	assert_int_equal(hit_malloc_site->hit, 0);
	hit_malloc(100);
	assert_int_equal(hit_malloc_site->hit, 1);
}

static void test_guard(void **context)
{
	(void)context;
	world();
	regs.si = 100;
	regs.flags = ~(unsigned long)FLAG_ZF;
	hit(AT_GUARD);
	assert_int_equal(state.events[TMBPF_EVENT_INACTIVE], 1);
	assert_int_equal(state.events[TMBPF_EVENT_OBJ_MALLOC], 0);
	assert_int_equal(refill.active, 0);
	regs.flags = FLAG_ZF;
	hit(AT_GUARD);
	assert_int_equal(state.events[TMBPF_EVENT_INACTIVE], 1);
	assert_int_equal(state.events[TMBPF_EVENT_OBJ_MALLOC], 1);
	assert_int_equal(refill.active, 1);
}

static void test_argument_on_the_stack(void **context)
{
	(void)context;
	world();
	memory_put_u64(STACK + 24, 33);
	hit(AT_STACK_ARGUMENT);
	assert_int_equal(refill.size, 33);
	regs.sp = 0xdead0000;
	hit(AT_STACK_ARGUMENT);
	host_lost(TMBPF_LOSS_ARGUMENT_UNREADABLE, 1);
}

static void test_object_domain(void **context)
{
	uint64_t block;

	(void)context;
	world();
	hit_malloc(40);
	pymalloc_malloc(&heap_model, 40);
	hit_malloc(41);
	block = pymalloc_malloc(&heap_model, 41);
	assert_int_equal(state.current, 81);
	regs.si = 3;
	regs.r12 = 100;
	hit(AT_CALLOC);
	pymalloc_malloc(&heap_model, 300);
	assert_int_equal(state.current, 381);
	regs.si = block;
	regs.r12 = 42;
	hit(AT_REALLOC);
	assert_int_equal(state.current, 382);
	hit(AT_FREE);
	assert_int_equal(state.current, 340);
	for (int i = TMBPF_EVENT_OBJ_MALLOC; i <= TMBPF_EVENT_OBJ_FREE; i++)
		assert_int_equal(state.events[i], i == TMBPF_EVENT_OBJ_MALLOC ? 2 : 1);
	host_lost_nothing();
}

static void test_calloc_overflow(void **context)
{
	(void)context;
	assert_int_equal(saturated_product(0, 0), 0);
	assert_int_equal(saturated_product(0, UINT64_MAX), 0);
	assert_int_equal(saturated_product(UINT64_MAX, 0), 0);
	assert_int_equal(saturated_product(1ull << 32, 1ull << 31), 1ull << 63);
	assert_int_equal(saturated_product(1ull << 32, 1ull << 32), UINT64_MAX);
	assert_int_equal(saturated_product(UINT64_MAX, UINT64_MAX), UINT64_MAX);
	assert_int_equal(saturated_product(UINT64_MAX, 1), UINT64_MAX);
	/* (2^64 + 100) bytes are not 100. */
	world();
	regs.si = (1ull << 62) + 25;
	regs.r12 = 4;
	hit(AT_CALLOC);
	assert_int_equal(refill.active, 0);
	assert_int_equal(state.current, 0);
}

static void test_refill(void **context)
{
	(void)context;
	world();
	hit_malloc(40);
	hit(AT_REFILL);
	assert_int_equal(state.events[TMBPF_EVENT_REFILL], 1);
	host_lost_nothing();
	/* Nobody announced this one: an allocation was not seen. */
	hit(AT_REFILL);
	host_lost(TMBPF_LOSS_REFILL_UNANNOUNCED, 1);
}

static void test_freelist_pop(void **context)
{
	uint64_t block;

	(void)context;
	world();
	hit_malloc(40);
	pymalloc_malloc(&heap_model, 40);
	hit_malloc(40);
	block = pymalloc_malloc(&heap_model, 40);
	fake_frames(&(struct fake_frame){.code = fake_code("b", "b", 1), .unit = 30}, 1);
	regs.cx = block + 16;
	hit(AT_FREELIST_POP);
	assert_int_equal(state.events[TMBPF_EVENT_FREELIST_POP], 1);
	host_holds(TMBPF_STACK_FIRST, 1, 40);
	host_holds(TMBPF_STACK_FIRST + 1, 1, 40);
	host_lost_nothing();
}

/* The block of a thread that has no Python frame, and of one that has no thread state. */
static void test_threads_without_python(void **context)
{
	struct tmbpf_raw_block *block;
	__u64 address = LARGE;

	(void)context;
	world();
	memory_put_u64(FAKE_THREAD + FAKE_TLS, 0);
	raw_malloc(100, LARGE);
	block = bpf_map_lookup_elem(&raw_blocks, &address);
	assert_non_null(block);
	assert_int_equal(block->stack, TMBPF_STACK_UNKNOWN);
	host_lost_nothing();
	host_tasks[0].thread.fsbase = 0xdead0000;
	raw_malloc(100, LARGE + 0x100);
	address += 0x100;
	block = bpf_map_lookup_elem(&raw_blocks, &address);
	assert_non_null(block);
	assert_int_equal(block->stack, TMBPF_STACK_LOST);
	host_lost(TMBPF_LOSS_THREAD_STATE, 1);
	host_holds(TMBPF_STACK_LOST, 1, 100);
}

static void test_no_storage(void **context)
{
	(void)context;
	world();
	emulation.no_storage = &threads;
	hit_malloc(40);
	hit_malloc(40);
	host_lost(TMBPF_LOSS_THREAD_STORAGE, 2);
	emulation.no_storage = NULL;
	hit_malloc(40);
	assert_int_equal(refill.active, 1);
}

static void test_exec(void **context)
{
	const struct tmbpf_record *record;
	size_t size;

	(void)context;
	world();
	emulation.pid_tgid = (__u64)(cfg.pid + 1) << 32 | cfg.pid;
	process_exec(NULL);
	assert_int_equal(state.tracing, 1);
	emulation.pid_tgid = (__u64)cfg.pid << 32 | 9999;
	process_exec(NULL);
	assert_int_equal(state.tracing, 0);
	assert_int_equal(emulation.ring_wakeups, 1);
	record = emulation_ring_take(&size);
	assert_non_null(record);
	assert_int_equal(record->type, TMBPF_RECORD_EXEC);
	assert_int_equal(record->size, size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_tracing),
		cmocka_unit_test(test_hit_noted),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_argument_on_the_stack),
		cmocka_unit_test(test_object_domain),
		cmocka_unit_test(test_calloc_overflow),
		cmocka_unit_test(test_refill),
		cmocka_unit_test(test_freelist_pop),
		cmocka_unit_test(test_threads_without_python),
		cmocka_unit_test(test_no_storage),
		cmocka_unit_test(test_exec),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	emulation_reset();
	return failed;
}
