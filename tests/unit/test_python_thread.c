// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where the current thread's state is kept, in each of the ways. */
#include "support.h"
#include "python_fake.h"
#include "base/cleanup.h"
#include "python/layout_table.h"
#include "python/python_internal.h"
#include <elf.h>
#include <string.h>

#define CODE 0x1000
#define GOT  0x90000
#define TCB  0x700000 /* and one each 0x10000 from there */
#define DTV  0x900000

static struct image_segment code_segment = {
	.address = CODE,
	.memory_size = 64,
	.file_size = 64,
	.executable = true,
};

static struct image_symbol symbols[] = {
	{.name = "PyThreadState_Get", .address = CODE, .function = true, .global = true},
	{.name = "_PyRuntime", .address = RUNTIME, .size = 0x10000, .global = true},
	{.name = "PyGILState_GetThisThreadState", .address = CODE + 32, .global = true},
};

static struct image_relocation module_relocation = {
	.address = GOT,
	.type = R_X86_64_DTPMOD64,
	.symbol = "",
};

struct threads {
	struct world world;
	uint8_t code[64];
};

static uint64_t tcb(unsigned index)
{
	return TCB + index * 0x10000;
}

/* A Python with COUNT threads whose control blocks are there. */
static void threads_init(struct threads *threads, uint32_t version, unsigned count)
{
	struct world *world = &threads->world;
	unsigned i;

	memset(threads, 0, sizeof(*threads));
	world_init(world, version);
	world->image.data = threads->code;
	world->image.size = sizeof(threads->code);
	world->image.segments = &code_segment;
	world->image.segment_count = 1;
	world->image.symbols = symbols;
	world->image.symbol_count = array_size(symbols);
	world->image.relocations = &module_relocation;
	world->image.relocation_count = 1;
	world->image.tls.memory_size = 0x40;
	memory_fake_add(&world->fake, GOT, 16);
	states_put(world, count);
	for (i = 0; i < count; i++) {
		memory_fake_add(&world->fake, tcb(i) - 0x1000, 0x2000);
		memory_fake_put_u64(&world->fake, tcb(i), tcb(i));
		memory_fake_put_u64(&world->fake, tcb(i) + 16, tcb(i));
		memory_fake_put_u64(&world->fake,
				    state_address(i) + world->python.layout.tstate.thread_id,
				    tcb(i));
	}
}

static void threads_deinit(struct threads *threads)
{
	world_deinit(&threads->world);
}

/* mov ADDRESS(%rip),%rax; ret */
static void code_global(struct threads *threads, uint64_t address)
{
	int32_t displacement = (int32_t)(address - (CODE + 7));

	memcpy(threads->code, "\x48\x8b\x05", 3);
	memcpy(threads->code + 3, &displacement, 4);
	threads->code[7] = 0xc3;
}

/* mov %fs:OFFSET,%rax; ret at AT */
static void code_tls(struct threads *threads, size_t at, int32_t offset)
{
	memcpy(threads->code + at, "\x64\x48\x8b\x04\x25", 5);
	memcpy(threads->code + at + 5, &offset, 4);
	threads->code[at + 9] = 0xc3;
}

/* lea GOT(%rip),%rdi; call; mov 8(%rax),%rax; ret */
static void code_module(struct threads *threads)
{
	int32_t displacement = GOT - (CODE + 7);

	memcpy(threads->code, "\x48\x8d\x3d", 3);
	memcpy(threads->code + 3, &displacement, 4);
	memcpy(threads->code + 7, "\xe8\0\0\0\0\x48\x8b\x40\x08\xc3", 10);
}

/* The pthread key KEY has each thread's own state. */
static void key_put(struct threads *threads, uint32_t key, unsigned count)
{
	struct world *world = &threads->world;
	uint32_t at = world->python.layout.runtime.auto_tss_key;
	unsigned i;

	memory_fake_put_u32(&world->fake, RUNTIME + at, 1);
	memory_fake_put_u32(&world->fake, RUNTIME + at + 4, key);
	for (i = 0; i < count; i++)
		memory_fake_put_u64(&world->fake, tcb(i) + 0x310 + 16 * key + 8, state_address(i));
}

static void test_global(void **state)
{
	cleanup(threads_deinit) struct threads threads;
	struct python *python = &threads.world.python;

	(void)state;
	threads_init(&threads, 0x030b02f0, 2);
	code_global(&threads, RUNTIME + 576);
	key_put(&threads, 3, 2);
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.source, PYTHON_THREAD_GLOBAL);
	assert_int_equal(python->thread.address, RUNTIME + 576);
	assert_int_equal(python->thread.specific_offset, 0x310 + 16 * 3 + 8);
	assert_int_equal(python->thread.own_offset, 0x310 + 16 * 3 + 8);
	/* It holds one of the states; then something else. */
	memory_fake_put_u64(&threads.world.fake, RUNTIME + 576, state_address(1));
	support_ok(python_thread_find(python));
	memory_fake_put_u64(&threads.world.fake, RUNTIME + 576, state_address(1) + 8);
	support_fails(python_thread_find(python), ERROR_FAILED, "not in the list of thread states");
}

/* 3.7.0 to 3.7.3 have both fields 88 bytes before where 3.7.16, of the table, has them. */
static void test_global_older(void **state)
{
	cleanup(threads_deinit) struct threads threads;
	struct python *python = &threads.world.python;

	(void)state;
	threads_init(&threads, 0x030703f0, 2);
	code_global(&threads, RUNTIME + 1392);
	python->layout.runtime.auto_tss_key = 1416;
	key_put(&threads, 0, 2);
	python->layout = python_layout_entry(0x030703f0)->layout;
	assert_int_equal(python->layout.runtime.tstate_current, 1480);
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.address, RUNTIME + 1392);
	assert_int_equal(python->layout.runtime.tstate_current, 1392);
	assert_int_equal(python->layout.runtime.auto_tss_key, 1416);
	assert_int_equal(python->thread.specific_offset, 0x318);
	/* Not in _PyRuntime. */
	code_global(&threads, RUNTIME + 0x20000);
	support_fails(python_thread_find(python), ERROR_FAILED, "not within _PyRuntime");
}

static void test_key_hostile(void **state)
{
	cleanup(threads_deinit) struct threads threads;
	struct python *python = &threads.world.python;

	(void)state;
	threads_init(&threads, 0x030b02f0, 2);
	code_global(&threads, RUNTIME + 576);
	key_put(&threads, 3, 2);
	/* One thread's slot has what is no state: not established, and no error. */
	memory_fake_put_u64(&threads.world.fake, tcb(1) + 0x310 + 16 * 3 + 8, 0x1234);
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.specific_offset, 0);
	/* A thread that Python has not seen yet has nothing there. */
	memory_fake_put_u64(&threads.world.fake, tcb(1) + 0x310 + 16 * 3 + 8, 0);
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.specific_offset, 0x310 + 16 * 3 + 8);
	/* A key of the second level, whose slots are elsewhere. */
	key_put(&threads, 3, 2);
	memory_fake_put_u32(&threads.world.fake, RUNTIME + 592 + 4, 32);
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.own_offset, 0);
	/* Not created. */
	memory_fake_put_u32(&threads.world.fake, RUNTIME + 592, 0);
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.own_offset, 0);
}

static void test_static_tls(void **state)
{
	cleanup(threads_deinit) struct threads threads;
	struct python *python = &threads.world.python;

	(void)state;
	threads_init(&threads, 0x030d05f0, 2);
	code_tls(&threads, 0, -0x18);
	key_put(&threads, 2, 2);
	memory_fake_put_u64(&threads.world.fake, tcb(1) - 0x18, state_address(1));
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.source, PYTHON_THREAD_STATIC_TLS);
	assert_int_equal(python->thread.tls_offset, -0x18);
	assert_int_equal(python->thread.own_offset, 0x310 + 16 * 2 + 8);
	memory_fake_put_u64(&threads.world.fake, tcb(1) - 0x18, 0x1234);
	support_fails(python_thread_find(python), ERROR_FAILED, "names no thread state");
	code_tls(&threads, 0, 0x18);
	support_fails(python_thread_find(python), ERROR_FAILED, "TLS offset cannot be");
}

/* 3.15: a thread-local instead of the key. */
static void test_gilstate(void **state)
{
	cleanup(threads_deinit) struct threads threads;
	struct python *python = &threads.world.python;

	(void)state;
	threads_init(&threads, 0x030f02f0, 2);
	code_tls(&threads, 0, -0x20);
	code_tls(&threads, 32, -0x28);
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.own_offset, 0);
	memory_fake_put_u64(&threads.world.fake, tcb(0) - 0x28, state_address(0));
	memory_fake_put_u64(&threads.world.fake, tcb(1) - 0x28, state_address(1));
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.tls_offset, -0x20);
	assert_int_equal(python->thread.own_offset, -0x28);
	assert_int_equal(python->thread.specific_offset, 0);
}

/* A shared library: each thread's DTV names the block of module 3 at BLOCK. */
static void dtv_put(struct threads *threads, unsigned index, uint64_t block, uint64_t to_free)
{
	struct memory_fake *fake = &threads->world.fake;
	uint64_t dtv = DTV + index * 0x1000;

	if (!index)
		memory_fake_add(fake, DTV, 0x2000);
	memory_fake_put_u64(fake, tcb(index) + 8, dtv);
	memory_fake_put_u64(fake, dtv + 3 * 16, block);
	memory_fake_put_u64(fake, dtv + 3 * 16 + 8, to_free);
}

static void test_module(void **state)
{
	cleanup(threads_deinit) struct threads threads;
	struct python *python = &threads.world.python;

	(void)state;
	threads_init(&threads, 0x030d05f0, 2);
	code_module(&threads);
	memory_fake_put_u64(&threads.world.fake, GOT, 3);
	memory_fake_put_u64(&threads.world.fake, GOT + 8, 0);
	/* Loaded with the program: the same way below each thread's pointer. */
	dtv_put(&threads, 0, tcb(0) - 0x60, 0);
	dtv_put(&threads, 1, tcb(1) - 0x60, 0);
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.source, PYTHON_THREAD_STATIC_TLS);
	assert_int_equal(python->thread.tls_offset, -0x58);
	/* By dlopen(): blocks from malloc. */
	dtv_put(&threads, 1, tcb(1) + 0x800, tcb(1) + 0x800);
	memory_fake_put_u64(&threads.world.fake, tcb(1) + 0x808, state_address(1));
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.source, PYTHON_THREAD_DTV);
	assert_int_equal(python->thread.tls_module, 3);
	assert_int_equal(python->thread.tls_offset, 8);
	/* A thread that has not touched it yet. */
	dtv_put(&threads, 1, UINT64_MAX, 0);
	support_ok(python_thread_find(python));
	/* What the dynamic linker would not write. */
	memory_fake_put_u64(&threads.world.fake, GOT, 0);
	support_fails(python_thread_find(python), ERROR_FAILED, "module id or offset cannot be");
	memory_fake_put_u64(&threads.world.fake, GOT, UINT64_MAX);
	support_fails(python_thread_find(python), ERROR_FAILED, "module id or offset cannot be");
	memory_fake_put_u64(&threads.world.fake, GOT, 3);
	memory_fake_put_u64(&threads.world.fake, GOT + 8, 0x40);
	support_fails(python_thread_find(python), ERROR_FAILED, "module id or offset cannot be");
}

/*
 * Control blocks as musl has them: a ring, and a block of keys' values that the word at 128 leads
 * to.
 */
static void musl_put(struct threads *threads, uint32_t key, unsigned count)
{
	struct memory_fake *fake = &threads->world.fake;

	key_put(threads, key, 0);
	for (unsigned i = 0; i < count; i++) {
		memory_fake_put_u64(fake, tcb(i) + 16, tcb((i + count - 1) % count));
		memory_fake_put_u64(fake, tcb(i) + 24, tcb((i + 1) % count));
		memory_fake_put_u64(fake, tcb(i) + 128, tcb(i) + 0x400);
		memory_fake_put_u64(fake, tcb(i) + 0x400 + 8 * key, state_address(i));
	}
}

static void test_musl(void **state)
{
	cleanup(threads_deinit) struct threads threads;
	struct python *python = &threads.world.python;
	struct memory_fake *fake = &threads.world.fake;

	(void)state;
	threads_init(&threads, 0x030d05f0, 2);
	code_tls(&threads, 0, -0x18);
	musl_put(&threads, 2, 2);
	memory_fake_put_u64(fake, tcb(1) - 0x18, state_address(1));
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.source, PYTHON_THREAD_STATIC_TLS);
	assert_int_equal(python->thread.own_block, 128);
	assert_int_equal(python->thread.own_offset, 16);
	/* Another word leads to the same place: which it is cannot be told. */
	memory_fake_put_u64(fake, tcb(0) + 136, tcb(0) + 0x400);
	memory_fake_put_u64(fake, tcb(1) + 136, tcb(1) + 0x400);
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.own_block, 0);
	assert_int_equal(python->thread.own_offset, 0);
	/* One thread has what is no state there. */
	memory_fake_put_u64(fake, tcb(0) + 136, 0);
	memory_fake_put_u64(fake, tcb(1) + 136, 0);
	memory_fake_put_u64(fake, tcb(1) + 0x410, 0x1234);
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.own_block, 0);
	/* No ring, so that nothing says what these are: the word of the thread is not looked at. */
	memory_fake_put_u64(fake, tcb(1) + 0x410, state_address(1));
	memory_fake_put_u64(fake, tcb(1) + 24, tcb(1));
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.own_block, 0);
}

static void test_musl_module(void **state)
{
	cleanup(threads_deinit) struct threads threads;
	struct python *python = &threads.world.python;
	struct memory_fake *fake = &threads.world.fake;

	(void)state;
	threads_init(&threads, 0x030d05f0, 1);
	code_module(&threads);
	musl_put(&threads, 0, 1);
	memory_fake_put_u64(fake, GOT, 3);
	memory_fake_put_u64(fake, GOT + 8, 0);
	memory_fake_add(fake, DTV, 0x1000);
	memory_fake_put_u64(fake, tcb(0) + 8, DTV);
	memory_fake_put_u64(fake, DTV + 3 * 8, tcb(0) - 0x60);
	memory_fake_put_u64(fake, tcb(0) - 0x58, state_address(0));
	support_ok(python_thread_find(python));
	assert_int_equal(python->thread.source, PYTHON_THREAD_DTV);
	assert_int_equal(python->thread.dtv_entry, 8);
	assert_int_equal(python->thread.tls_module, 3);
	assert_int_equal(python->thread.tls_offset, 8);
	assert_int_equal(python->thread.own_block, 128);
	assert_int_equal(python->thread.own_offset, 0);
	memory_fake_put_u64(fake, tcb(0) - 0x58, 0x1234);
	support_fails(python_thread_find(python), ERROR_FAILED, "names no thread state");
}

static void test_not_understood(void **state)
{
	cleanup(threads_deinit) struct threads threads;

	(void)state;
	threads_init(&threads, 0x030d05f0, 1);
	memcpy(threads.code, "\x31\xc0\xc3", 3);
	support_fails(python_thread_find(&threads.world.python), ERROR_FAILED, "not understood");
	/* Up to 3.11 it is no thread-local, from 3.12 on nothing else. */
	code_global(&threads, RUNTIME + 576);
	support_fails(python_thread_find(&threads.world.python), ERROR_FAILED,
		      "it is not thread-local");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_global),         cmocka_unit_test(test_global_older),
		cmocka_unit_test(test_key_hostile),    cmocka_unit_test(test_static_tls),
		cmocka_unit_test(test_gilstate),       cmocka_unit_test(test_module),
		cmocka_unit_test(test_musl),           cmocka_unit_test(test_musl_module),
		cmocka_unit_test(test_not_understood),
	};

	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
