// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The raw domain: calls of libc's functions and their results, in bpf/tmbpf.bpf.c. */
#include "bpf_sites.h"

static void test_raw_malloc(void **context)
{
	(void)context;
	world();
	raw_malloc(5000, LARGE);
	assert_raw_block(LARGE, 5000);
	regs.di = 10;
	regs.si = 500;
	hit(AT_RAW_CALLOC);
	come_back(hit, LARGE + 0x10000);
	assert_raw_block(LARGE + 0x10000, 5000);
	assert_int_equal(state.current, 10000);
	raw_free(LARGE);
	raw_free(0);
	assert_false(is_raw_block(LARGE));
	assert_int_equal(state.current, 5000);
	assert_int_equal(state.unknown_frees, 0);
	raw_free(LARGE);
	assert_int_equal(state.unknown_frees, 1);
	assert_int_equal(state.events[TMBPF_EVENT_RAW_MALLOC], 1);
	assert_int_equal(state.events[TMBPF_EVENT_RAW_CALLOC], 1);
	assert_int_equal(state.events[TMBPF_EVENT_RAW_FREE], 3);
	assert_int_equal(state.events[TMBPF_EVENT_RESULT], 2);
	host_lost_nothing();
}

/* A result belongs to its call: by stack pointer, and by return address where the site has one. */
static void test_result_of_another_call(void **context)
{
	(void)context;
	world();
	regs.ax = LARGE;
	hit(AT_RESULT); /* nothing is awaited */
	regs.di = 5000;
	hit(AT_RAW_MALLOC);
	hit(AT_RESULT); /* 16 bytes off */
	regs.sp -= 32;
	hit(AT_RESULT); /* a deeper call's */
	assert_false(is_raw_block(LARGE));
	assert_int_equal(state.events[TMBPF_EVENT_RESULT], 0);
	regs.sp = STACK;
	hit(AT_RESULT_ANY);
	assert_raw_block(LARGE, 5000);
	hit(AT_RESULT_ANY); /* once */
	assert_int_equal(state.current, 5000);
	assert_int_equal(state.events[TMBPF_EVENT_RESULT], 1);
	/* The same stack pointer, after another call. */
	memory_put_u64(STACK - 8, OTHER);
	regs.sp = STACK - 8;
	emulation_update(&returns, &(__u64){OTHER}, &(__u32){1}, 0);
	hit(AT_TAIL);
	regs.sp = STACK - 16;
	hit(AT_RESULT);
	assert_int_equal(state.events[TMBPF_EVENT_RESULT], 1);
	host_lost_nothing();
}

static void test_result_missed(void **context)
{
	(void)context;
	world();
	regs.di = 5000;
	hit(AT_RAW_MALLOC);
	raw_malloc(6000, LARGE);
	host_lost(TMBPF_LOSS_RESULT_MISSED, 1);
	assert_raw_block(LARGE, 6000);
	assert_int_equal(state.current, 6000);
}

static void test_result_unreadable(void **context)
{
	struct tmbpf_site *site;
	__u32 index = AT_RESULT_ANY;

	(void)context;
	world();
	site = bpf_map_lookup_elem(&sites, &index);
	site->a[0] = (struct tmbpf_value){.base = RAX, .dereference = 1};
	regs.di = 5000;
	hit(AT_RAW_MALLOC);
	regs.ax = 0xdead0000;
	hit(AT_RESULT_ANY);
	host_lost(TMBPF_LOSS_ARGUMENT_UNREADABLE, 1);
	assert_int_equal(host_thread()->pending.returns, 0);
}

static void test_raw_realloc(void **context)
{
	(void)context;
	world();
	raw_realloc(0, 1000, LARGE);
	assert_raw_block(LARGE, 1000);
	raw_realloc(LARGE, 2000, LARGE); /* in place */
	assert_raw_block(LARGE, 2000);
	assert_int_equal(state.peak, 2000);
	raw_realloc(LARGE, 3000, LARGE + 0x8000);
	assert_false(is_raw_block(LARGE));
	assert_raw_block(LARGE + 0x8000, 3000);
	assert_int_equal(state.current, 3000);
	/* It fails: the old block is as it was. */
	raw_realloc(LARGE + 0x8000, 1ull << 50, 0);
	assert_raw_block(LARGE + 0x8000, 3000);
	assert_int_equal(state.current, 3000);
	assert_int_equal(state.peak, 3000);
	/* So does one of a block that nobody knows. */
	raw_realloc(LARGE, 100, 0);
	assert_false(is_raw_block(LARGE));
	raw_malloc(1ull << 50, 0);
	assert_int_equal(state.current, 3000);
	/* An unknown block gets a trace when it is resized. */
	raw_realloc(LARGE + 0x100, 10, LARGE);
	assert_raw_block(LARGE, 10);
	host_lost_nothing();
}

/* While a block moves, another thread may be given the place that it leaves. */
static void test_realloc_and_another_thread(void **context)
{
	(void)context;
	world();
	raw_malloc(1000, LARGE);
	host_tasks[1].thread.fsbase = FAKE_THREAD;
	regs.di = LARGE;
	regs.si = 2000;
	hit(AT_RAW_REALLOC);
	host_task = 1;
	raw_malloc(1000, LARGE);
	host_task = 0;
	regs.ax = LARGE + 0x8000;
	regs.sp -= 16;
	hit(AT_RESULT);
	assert_raw_block(LARGE, 1000);
	assert_raw_block(LARGE + 0x8000, 2000);
	assert_int_equal(state.current, 3000);
	host_lost_nothing();
}

/* A request of the object domain that goes on to the raw one keeps what was asked for. */
static void test_object_to_raw(void **context)
{
	(void)context;
	world();
	hit_malloc(0);
	raw_malloc(1, LARGE); /* _PyMem_RawMalloc makes 1 of 0 */
	assert_raw_block(LARGE, 0);
	hit_malloc(513);
	raw_malloc(513, LARGE + 0x1000);
	assert_raw_block(LARGE + 0x1000, 513);
	regs.si = LARGE + 0x1000;
	hit(AT_FREE);
	assert_raw_block(LARGE + 0x1000, 513);
	raw_free(LARGE + 0x1000);
	assert_false(is_raw_block(LARGE + 0x1000));
	assert_int_equal(state.unknown_frees, 0);
	host_lost_nothing();
}

/* PYTHONMALLOC=debug: hooks around the object domain, and around the raw one behind it. */
static void test_object_to_raw_with_hooks(void **context)
{
	(void)context;
	fake_hooks = SITES_DEBUG;
	world();
	fake_hooks = SITES_PLAIN;
	/* PyObject_Malloc(1000): pymalloc is asked for 1024, libc for 1048. */
	hit_malloc(1024);
	raw_malloc(1048, LARGE);
	assert_raw_block(LARGE, 1000);
	raw_malloc(1024, LARGE + 0x1000); /* PyMem_RawMalloc(1000) */
	assert_raw_block(LARGE + 0x1000, 1000);
	raw_malloc(24, LARGE + 0x2000); /* PyMem_RawMalloc(0) */
	assert_raw_block(LARGE + 0x2000, 0);
	/* The object domain frees what its hooks begin with, libc what theirs do. */
	regs.si = LARGE + cfg.hook_delta;
	hit(AT_FREE);
	raw_free(LARGE);
	assert_false(is_raw_block(LARGE));
	assert_int_equal(state.current, 1000);
	host_lost_nothing();
}

/* What is freed in that way is no block from before tracing began. */
static void test_hooks_free_known_blocks(void **context)
{
	(void)context;
	fake_hooks = SITES_DEBUG;
	world();
	fake_hooks = SITES_PLAIN;
	hit_malloc(1024);
	raw_malloc(1048, LARGE);
	regs.si = LARGE + cfg.hook_delta;
	hit(AT_FREE);
	raw_free(LARGE);
	assert_int_equal(state.unknown_frees, 0);
	/* One that is counts once. */
	hit(AT_FREE);
	raw_free(LARGE);
	assert_int_equal(state.unknown_frees, 1);
	raw_free(LARGE);
	assert_int_equal(state.unknown_frees, 2);
}

/* A large code object has the headers of both hooks before it, and ends with its block. */
static void test_hooks_end_large_code(void **context)
{
	uint64_t block, code;

	(void)context;
	fake_hooks = SITES_DEBUG;
	world();
	fake_hooks = SITES_PLAIN;
	block = fake_object(2 * cfg.hook_delta + fake_code_size());
	code = block + 2 * cfg.hook_delta;
	fake_code_at(code, "b", "b", 1);
	hit_malloc(624);
	raw_malloc(648, block);
	fake_frames(&(struct fake_frame){.code = code, .unit = 30}, 1);
	assert_in_range(fake_stack(), TMBPF_STACK_FIRST, HOST_STACKS);
	emulation_ring_drop(0);
	regs.si = block + cfg.hook_delta;
	hit(AT_FREE);
	raw_free(block);
	assert_int_equal(emulation_ring_drop(TMBPF_RECORD_CODE_END), 1);
	host_lost_nothing();
}

/* An arena is added: what pymalloc takes for its own tables tracemalloc does not count. */
static void test_arena_tables(void **context)
{
	(void)context;
	world();
	hit_malloc(40); /* there is no arena yet */
	raw_realloc(0, 48 * 16, LARGE);
	for (int bits = 8; bits <= 16; bits++) { /* arena map nodes of all versions */
		regs.di = 1;
		regs.si = 8 << bits;
		hit(AT_RAW_CALLOC);
		come_back(hit, LARGE + 0x10000);
		assert_int_equal(emulation_count(&raw_blocks), 0);
	}
	pymalloc_malloc(&heap_model, 40);
	/* Of the same sizes, but not at that moment: the arena is there. */
	raw_realloc(0, 48 * 16, LARGE);
	assert_raw_block(LARGE, 48 * 16);
	raw_free(LARGE);
	hit_malloc(40);
	pymalloc_malloc(&heap_model, 40);
	raw_realloc(0, 48 * 16, LARGE);
	assert_raw_block(LARGE, 48 * 16);
	host_lost_nothing();
}

/* A tail jump returns to who called the function: a known place, an unknown one. */
static void test_tail_jumps(void **context)
{
	(void)context;
	world();
	emulation_update(&returns, &(__u64){CALL}, &(__u32){1}, 0);
	regs.sp = STACK - 8;
	memory_put_u64(STACK - 8, CALL);
	regs.di = 7000;
	hit(AT_TAIL);
	regs.sp = STACK - 16;
	regs.ax = LARGE;
	hit(AT_RESULT);
	assert_raw_block(LARGE, 7000);
	host_lost_nothing();
	/* Nobody will see the result. */
	regs.sp = STACK - 8;
	memory_put_u64(STACK - 8, OTHER);
	hit(AT_TAIL);
	host_lost(TMBPF_LOSS_RESULT_UNKNOWN, 1);
	assert_int_equal(host_thread()->pending.returns, 0);
	regs.sp = 0xdead0000;
	hit(AT_TAIL);
	assert_int_equal(state.losses[TMBPF_LOSS_ARGUMENT_UNREADABLE], 1);
}

/* The same with return probes: the entry says whether it wants the return. */
static void test_return_probes(void **context)
{
	(void)context;
	world();
	cfg.return_probes = 1;
	emulation_update(&returns, &(__u64){CALL}, &(__u32){1}, 0);
	regs.sp = STACK - 8;
	memory_put_u64(STACK - 8, CALL);
	regs.di = 7000;
	assert_int_equal(hit_session(AT_TAIL), 1); /* a RESULT site is there */
	regs.sp = STACK - 16;
	regs.ax = LARGE;
	hit(AT_RESULT);
	assert_raw_block(LARGE, 7000);
	regs.sp = STACK - 8;
	regs.ip = 0x400500;
	memory_put_u64(STACK - 8, OTHER);
	assert_int_equal(hit_session(AT_TAIL), 0);
	/* The return. */
	regs.sp = STACK;
	regs.ip = OTHER;
	regs.ax = LARGE + 0x1000;
	regs.di = 12345;
	assert_int_equal(hit_session(AT_TAIL), 0);
	assert_raw_block(LARGE + 0x1000, 7000);
	assert_int_equal(state.events[TMBPF_EVENT_RETURN], 1);
	assert_int_equal(state.events[TMBPF_EVENT_RAW_MALLOC], 2);
	assert_int_equal(state.current, 14000);
	host_lost_nothing();
	/* A free wants none. */
	regs.ip = 0x400600;
	regs.di = LARGE;
	assert_int_equal(hit_session(AT_RAW_FREE), 1);
	assert_int_equal(state.current, 7000);
}

/* A tail jump that does not count wants no return probe, which would take it for a call. */
static void test_return_probe_of_nothing(void **context)
{
	(void)context;
	world();
	cfg.return_probes = 1;
	hit_malloc(40); /* an arena is about to be added */
	regs.sp = STACK - 8;
	regs.ip = 0x400500;
	memory_put_u64(STACK - 8, OTHER);
	regs.di = 0;
	regs.si = 48 * 16;
	assert_int_equal(hit_session(AT_TAIL_REALLOC), 1);
	/* Nested in a call that an outer hook announced. */
	world();
	cfg.return_probes = 1;
	cfg.hooked_raw = 1;
	regs.sp = STACK - 8;
	regs.ip = 0x400500;
	memory_put_u64(STACK - 8, OTHER);
	regs.di = 7000;
	assert_int_equal(hit_session(AT_TAIL), 1);
	/* And without return probes no result is missed, as none is awaited. */
	cfg.return_probes = 0;
	hit(AT_TAIL);
	host_lost_nothing();
}

/* Under tracemalloc's hooks only what they were asked for counts. */
static void test_outer_hooks(void **context)
{
	(void)context;
	fake_hooks = SITES_TRACEMALLOC;
	world();
	fake_hooks = SITES_PLAIN;
	assert_int_equal(cfg.hooked_raw, 1);
	raw_malloc(5000, LARGE); /* its own */
	assert_false(is_raw_block(LARGE));
	regs.di = 5000;
	hit(AT_HOOK);
	raw_malloc(5000, LARGE + 0x1000);
	assert_raw_block(LARGE + 0x1000, 5000);
	raw_malloc(5000, LARGE);
	assert_false(is_raw_block(LARGE));
	raw_free(LARGE + 0x1000);
	assert_int_equal(state.current, 0);
	assert_int_equal(state.events[TMBPF_EVENT_HOOK], 1);
	/* They are taken out: the raw table names the raw domain's own function. */
	cfg.raw_table = FAKE_GLOBAL + 0x100;
	cfg.raw_malloc = 0x403000;
	memory_put_u64(cfg.raw_table, 0x404000);
	raw_malloc(6000, LARGE);
	assert_false(is_raw_block(LARGE));
	memory_put_u64(cfg.raw_table, cfg.raw_malloc);
	raw_malloc(6000, LARGE);
	assert_raw_block(LARGE, 6000);
}

/* Hooks that were put in while tracing. */
static void test_outer_hooks_later(void **context)
{
	(void)context;
	world();
	raw_malloc(5000, LARGE);
	assert_raw_block(LARGE, 5000);
	state.hooked_later = 1;
	raw_malloc(5000, LARGE + 0x1000);
	assert_false(is_raw_block(LARGE + 0x1000));
	hit(AT_HOOK);
	raw_malloc(5000, LARGE + 0x1000);
	assert_raw_block(LARGE + 0x1000, 5000);
	host_lost_nothing();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_raw_malloc),
		cmocka_unit_test(test_result_of_another_call),
		cmocka_unit_test(test_result_missed),
		cmocka_unit_test(test_result_unreadable),
		cmocka_unit_test(test_raw_realloc),
		cmocka_unit_test(test_realloc_and_another_thread),
		cmocka_unit_test(test_object_to_raw),
		cmocka_unit_test(test_object_to_raw_with_hooks),
		cmocka_unit_test(test_hooks_free_known_blocks),
		cmocka_unit_test(test_hooks_end_large_code),
		cmocka_unit_test(test_arena_tables),
		cmocka_unit_test(test_tail_jumps),
		cmocka_unit_test(test_return_probes),
		cmocka_unit_test(test_return_probe_of_nothing),
		cmocka_unit_test(test_outer_hooks),
		cmocka_unit_test(test_outer_hooks_later),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	emulation_reset();
	return failed;
}
