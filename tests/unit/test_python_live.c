// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Thread states, threads and pymalloc's roots in a memory made up: a 3.11 and a 3.13. */
#include "support.h"
#include "python_fake.h"
#include "base/cleanup.h"
#include "python/allocators.h"
#include "python/layout_table.h"
#include "python/python_internal.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define DATA     0x400000
#define POOL     0x800000
#define OBMALLOC 0x410100

static void test_states(void **state)
{
	cleanup(python_thread_states_deinit) struct python_thread_states states = {0};
	cleanup(world_deinit) struct world world;

	(void)state;
	world_init(&world, 0x030d00f0);
	states_put(&world, 3);
	support_ok(python_thread_states_read(&world.python, &states));
	assert_int_equal(states.count, 3);
	assert_int_equal(states.interpreter_count, 1);
	assert_int_equal(states.interpreters[0], INTERP);
	assert_int_equal(states.list[1].address, state_address(1));
	assert_int_equal(states.list[2].thread_id, 0x7002);
	support_ok(python_check(&world.python));
	assert_int_equal(world.python.thread_states, 3);
	assert_int_equal(world.python.frames_checked, 0);
	assert_int_equal(world.python.interpreter, INTERP);
}

static void test_states_hostile(void **state)
{
	cleanup(python_thread_states_deinit) struct python_thread_states states = {0};
	cleanup(world_deinit) struct world world;
	const struct python_layout *layout = &world.python.layout;
	struct error *error;

	(void)state;
	world_init(&world, 0x030d00f0);
	error = python_check(&world.python);
	assert_non_null(error);
	assert_int_equal(error_number(error), EAGAIN);
	error_destroy(error);
	states_put(&world, 2);
	/* A ring. */
	memory_fake_put_u64(&world.fake, state_address(1) + layout->tstate.next, STATE);
	support_fails(python_thread_states_read(&world.python, &states), ERROR_FAILED,
		      "list of thread states does not hold together");
	/* Another interpreter's state. */
	memory_fake_put_u64(&world.fake, state_address(1) + layout->tstate.next, 0);
	memory_fake_put_u64(&world.fake, state_address(1) + layout->tstate.interp, INTERP + 8);
	support_fails(python_thread_states_read(&world.python, &states), ERROR_FAILED,
		      "does not hold together");
	/* Nothing there; not aligned. */
	memory_fake_put_u64(&world.fake, STATE + layout->tstate.next, 0x666000);
	support_fails(python_thread_states_read(&world.python, &states), ERROR_FAILED,
		      "nothing at 0x666");
	memory_fake_put_u64(&world.fake, STATE + layout->tstate.next, STATE + 1);
	support_fails(python_thread_states_read(&world.python, &states), ERROR_FAILED,
		      "does not hold together");
	/* A ring of interpreters. */
	memory_fake_put_u64(&world.fake, STATE + layout->tstate.next, 0);
	memory_fake_put_u64(&world.fake, INTERP + layout->interp.next, INTERP);
	support_fails(python_thread_states_read(&world.python, &states), ERROR_FAILED,
		      "list of interpreters does not hold together");
	assert_int_equal(states.count, 0);
}

/* Frames that lead to what is no code object. */
static void test_frames_hostile(void **state)
{
	cleanup(world_deinit) struct world world;
	struct image_symbol type = {.name = "PyCode_Type", .address = 0x55000, .global = true};

	(void)state;
	world_init(&world, 0x030d00f0);
	states_put(&world, 1);
	world.image.symbols = &type;
	world.image.symbol_count = 1;
	memory_fake_add(&world.fake, 0x500000, 0x1000);
	memory_fake_put_u64(&world.fake, STATE + world.python.layout.tstate.frame, 0x500000);
	memory_fake_put_u64(&world.fake, 0x500000 + world.python.layout.frame.code, 0x500100);
	support_fails(python_check(&world.python), ERROR_FAILED, "lead to no code objects");
	/* A frame of the interpreter's own. */
	memory_fake_put(&world.fake, 0x500000 + world.python.layout.frame.owner, "\x03", 1);
	support_ok(python_check(&world.python));
	assert_int_equal(world.python.frames_checked, 0);
	/* Frames in a ring end. */
	memory_fake_put_u64(&world.fake, 0x500000 + world.python.layout.frame.back, 0x500000);
	support_ok(python_check(&world.python));
}

static void test_natives(void **state)
{
	cleanup(world_deinit) struct world world;

	(void)state;
	world_init(&world, 0x030d00f0);
	states_put(&world, 1);
	memory_fake_put_u64(&world.fake, STATE + world.python.layout.tstate.native_thread_id, 1);
	support_fails(python_check(&world.python), ERROR_FAILED, "that of a living thread");
}

/*
 * usedpools at ADDRESS: CLASSES pairs. USED of them have a pool of POOL_SIZE for blocks in STEPs.
 */
static void pools_put(struct world *world, uint64_t address, unsigned classes, unsigned used,
		      uint32_t step, uint32_t pool_size)
{
	unsigned i;

	for (i = 0; i < classes; i++) {
		uint64_t slot = address + 16 * i, pool = POOL + 16384 * i;

		if (i >= used)
			pool = slot - 16;
		memory_fake_put_u64(&world->fake, slot, pool);
		memory_fake_put_u64(&world->fake, slot + 8, pool);
		if (i >= used)
			continue;
		memory_fake_add(&world->fake, pool, 48);
		memory_fake_put_u32(&world->fake, pool + 36, i);
		memory_fake_put_u32(&world->fake, pool + 44, pool_size - (i + 1) * step);
	}
}

static void data_put(struct world *world, struct image_segment *segment)
{
	*segment = (struct image_segment){
		.address = DATA,
		.memory_size = 0x90000,
		.writable = true,
	};
	world->image.segments = segment;
	world->image.segment_count = 1;
	memory_fake_add(&world->fake, DATA, 0x90000);
}

static void heap_is(uint32_t version, unsigned classes, unsigned used, uint32_t step,
		    uint32_t pool_size, uint64_t address)
{
	cleanup(world_deinit) struct world world;
	struct image_segment segment;

	world_init(&world, version);
	data_put(&world, &segment);
	/* What stands before it looks like a pool. */
	memory_fake_put_u64(&world.fake, address - 8, 0x7000);
	pools_put(&world, address, classes, used, step, pool_size);
	support_ok(python_heap_find(&world.python));
	assert_int_equal(world.python.heap.usedpools, address);
	assert_int_equal(world.python.heap.alignment, step);
	assert_int_equal(world.python.heap.pool_size, pool_size);
	assert_int_equal(world.python.heap.arena_bits, pool_size == 4096 ? 18 : 20);
	assert_int_equal(world.python.heap.interp_obmalloc, PYTHON_NO_OFFSET);
}

static void test_heap(void **state)
{
	(void)state;
	heap_is(0x030b02f0, 32, 20, 16, 16384, DATA + 0x1008);
	heap_is(0x030b02f0, 32, 28, 16, 16384, DATA + 0x1010);
	heap_is(0x030602f0, 64, 20, 8, 4096, DATA + 0x1010);
	heap_is(0x030802f0, 32, 3, 16, 4096, DATA + 0x1010);
	/* None in use: PYTHONMALLOC=malloc. */
	heap_is(0x030802f0, 32, 0, 16, 4096, DATA + 0x1010);
	heap_is(0x030602f0, 64, 0, 8, 4096, DATA + 0x1010);
	/* Where two pieces of the search meet. */
	heap_is(0x030b02f0, 32, 20, 16, 16384, DATA + 0x40000 - 0x100);
	heap_is(0x030b02f0, 32, 20, 16, 16384, DATA + 0x40000 - 0x1000);
}

static void test_heap_none(void **state)
{
	cleanup(world_deinit) struct world world;
	struct image_segment segment;

	(void)state;
	world_init(&world, 0x030b02f0);
	data_put(&world, &segment);
	support_ok(python_heap_find(&world.python));
	assert_int_equal(world.python.heap.usedpools, 0);
	/* Two of them: neither. */
	pools_put(&world, DATA + 0x1000, 32, 0, 16, 16384);
	pools_put(&world, DATA + 0x3000, 32, 0, 16, 16384);
	support_ok(python_heap_find(&world.python));
	assert_int_equal(world.python.heap.usedpools, 0);
}

/* Empty bins of another allocator, before and behind pymalloc's array, which has pools. */
static void test_heap_lookalikes(void **state)
{
	cleanup(world_deinit) struct world world;
	struct image_segment segment;

	(void)state;
	world_init(&world, 0x030b02f0);
	data_put(&world, &segment);
	pools_put(&world, DATA + 0x1000, 32, 0, 16, 16384);
	pools_put(&world, DATA + 0x3000, 32, 5, 16, 16384);
	pools_put(&world, DATA + 0x5000, 32, 0, 16, 16384);
	support_ok(python_heap_find(&world.python));
	assert_int_equal(world.python.heap.usedpools, DATA + 0x3000);
	/* Two with pools: neither. */
	pools_put(&world, DATA + 0x7000, 32, 3, 16, 16384);
	support_ok(python_heap_find(&world.python));
	assert_int_equal(world.python.heap.usedpools, 0);
}

static void test_heap_state(void **state)
{
	cleanup(world_deinit) struct world world;
	struct image_segment segment;

	(void)state;
	world_init(&world, 0x030d00f0);
	data_put(&world, &segment);
	pools_put(&world, OBMALLOC, 32, 4, 16, 16384);
	/* Another patch release: 24 bytes further on than in the table. */
	memory_fake_put_u64(&world.fake, INTERP + 10800 + 24, OBMALLOC);
	memory_fake_add(&world.fake, 0x600000, 480);
	memory_fake_put_u64(&world.fake, OBMALLOC + 512, 0x600000);
	memory_fake_put_u32(&world.fake, OBMALLOC + 520, 10);
	memory_fake_put_u64(&world.fake, OBMALLOC + 536, 0x600030);
	memory_fake_put_u32(&world.fake, 0x600030 + 20, 128); /* of 16 KiB: 2 MiB */
	support_ok(python_heap_find(&world.python));
	assert_int_equal(world.python.heap.usedpools, OBMALLOC);
	assert_int_equal(world.python.heap.usable_arenas, OBMALLOC + 536);
	assert_int_equal(world.python.heap.interp_obmalloc, 10824);
	assert_int_equal(world.python.heap.arena_bits, 21);
	assert_true(world.python.heap.obmalloc_is_pointer);
	/* usable_arenas leads elsewhere than into the arenas: not to be used. */
	memory_fake_put_u64(&world.fake, OBMALLOC + 536, 0x600031);
	support_ok(python_heap_find(&world.python));
	assert_int_equal(world.python.heap.usedpools, 0);
	assert_int_equal(world.python.heap.interp_obmalloc, PYTHON_NO_OFFSET);
}

/*
 * Arenas are of a size that there is, one pool less where they are not aligned; others are no
 * arenas.
 */
static void test_heap_sizes(void **state)
{
	static const struct {
		uint32_t pools, bits; /* 0: not to be used */
	} arenas[] = {{64, 20}, {63, 20}, {128, 21}, {127, 21},       {0, 0},
		      {62, 0},  {65, 0},  {129, 0},  {UINT32_MAX, 0}, {65536, 0}};

	(void)state;
	for (size_t i = 0; i < array_size(arenas); i++) {
		cleanup(world_deinit) struct world world;
		struct image_segment segment;

		world_init(&world, 0x030d00f0);
		data_put(&world, &segment);
		pools_put(&world, OBMALLOC, 32, 4, 16, 16384);
		memory_fake_put_u64(&world.fake, INTERP + 10800, OBMALLOC);
		memory_fake_add(&world.fake, 0x600000, 480);
		memory_fake_put_u64(&world.fake, OBMALLOC + 512, 0x600000);
		memory_fake_put_u32(&world.fake, OBMALLOC + 520, 10);
		memory_fake_put_u64(&world.fake, OBMALLOC + 536, 0x600030);
		memory_fake_put_u32(&world.fake, 0x600030 + 20, arenas[i].pools);
		support_ok(python_heap_find(&world.python));
		assert_int_equal(world.python.heap.usedpools != 0, arenas[i].bits != 0);
		if (arenas[i].bits)
			assert_int_equal(world.python.heap.arena_bits, arenas[i].bits);
	}
}

static void test_allocators(void **state)
{
	static const struct image_segment code = {
		.address = 0x1000,
		.memory_size = 0x1000,
		.executable = true,
	};
	struct python_allocator table = {0, 0x1010, 0x1020, 0x1030, 0x1040}, inner = {0};
	cleanup(world_deinit) struct world world;

	(void)state;
	world_init(&world, 0x030b02f0);
	world.image.segments = (struct image_segment *)&code;
	world.image.segment_count = 1;
	memory_fake_add(&world.fake, 0x5000, 64);
	assert_int_equal(python_allocator_kind(&world.python, &table, 0x1010, 0x1050, &inner),
			 PYTHON_ALLOCATOR_PYMALLOC);
	assert_int_equal(python_allocator_kind(&world.python, &table, 0x1050, 0x1010, &inner),
			 PYTHON_ALLOCATOR_MALLOC);
	assert_int_equal(python_allocator_kind(&world.python, &table, 0x1050, 0x1060, &inner),
			 PYTHON_ALLOCATOR_OTHER);
	/* tracemalloc's context is the table behind it. */
	memory_fake_put(&world.fake, 0x5000, &table, sizeof(table));
	table.context = 0x5000;
	assert_int_equal(python_allocator_kind(&world.python, &table, 0x1050, 0x1060, &inner),
			 PYTHON_ALLOCATOR_TRACEMALLOC);
	assert_int_equal(inner.malloc, 0x1010);
	/* The debug hooks' has a letter before it. */
	memory_fake_put_u64(&world.fake, 0x5000, 'o');
	table.context = 0;
	memory_fake_put(&world.fake, 0x5008, &table, sizeof(table));
	table.context = 0x5000;
	assert_int_equal(python_allocator_kind(&world.python, &table, 0x1050, 0x1060, &inner),
			 PYTHON_ALLOCATOR_DEBUG);
	assert_int_equal(inner.context, 0);
	/* Nothing at the context; code of someone else's. */
	table.context = 0x9000;
	assert_int_equal(python_allocator_kind(&world.python, &table, 0x1050, 0x1060, &inner),
			 PYTHON_ALLOCATOR_OTHER);
	table.malloc = 0x7f0000001000;
	assert_int_equal(python_allocator_kind(&world.python, &table, 0x1050, 0x1060, &inner),
			 PYTHON_ALLOCATOR_OTHER);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_states_hostile),
		cmocka_unit_test(test_frames_hostile),
		cmocka_unit_test(test_natives),
		cmocka_unit_test(test_heap),
		cmocka_unit_test(test_heap_none),
		cmocka_unit_test(test_heap_lookalikes),
		cmocka_unit_test(test_heap_state),
		cmocka_unit_test(test_heap_sizes),
		cmocka_unit_test(test_allocators),
	};

	return cmocka_run_group_tests_name("a Python made up", tests, NULL, NULL);
}
