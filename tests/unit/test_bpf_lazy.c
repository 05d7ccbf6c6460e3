// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Frees that are not probed: what the BPF programs make of entries whose blocks are gone. That all
 * of it holds together is test_bpf_model.c's.
 */
#include "bpf_model.h"

#define UNIT 8

static void world_end(void)
{
	while (m.count)
		free(m.blocks[--m.count].text);
}

static void world(unsigned minor, enum sites_hooks hooks)
{
	world_end();
	fake_lazy_free = true;
	model_start(minor, hooks);
	fake_lazy_free = false;
	assert_int_equal(cfg.mode, TMBPF_MODE_LAZY);
	state.tracing = 1;
}

/* The thread stands in line UNITS + N. Returns its stack. */
static __u32 stand(int n)
{
	m.threads[0].depth = 1;
	m.threads[0].frames[0].code = 0;
	m.threads[0].frames[0].unit = UNIT + n;
	frames_write();
	return fake_stack();
}

static uint64_t allocate(uint64_t size)
{
	hit(AT_MALLOC, size + cfg.hook_extra, 0);
	return pymalloc_malloc(&m.heap, size + cfg.hook_extra);
}

static __u32 entry_at(uint64_t address)
{
	__u32 *entry = shadow_entry(address, false);

	return entry ? *entry : 0;
}

/* Fills pools with blocks of SIZE bytes, and gives them back. */
static void leave_entries(uint64_t size)
{
	static uint64_t blocks[1000];

	for (size_t i = 0; i < array_size(blocks); i++)
		blocks[i] = allocate(size);
	for (size_t i = 0; i < array_size(blocks); i++)
		pymalloc_free(&m.heap, blocks[i]);
}

static void test_handed_out_again(void **context)
{
	__u32 one, two;
	uint64_t block;

	(void)context;
	world(13, SITES_PLAIN);
	allocate(40); /* an arena is there */
	one = stand(0);
	block = allocate(100);
	host_holds(one, 1, 100);
	pymalloc_free(&m.heap, block);
	host_holds(one, 1, 100);
	/* The same again is another one, though nothing tells them apart. */
	assert_int_equal(allocate(100), block);
	host_holds(one, 1, 100);
	assert_int_equal(host_stats(one).allocated_count, 2);
	pymalloc_free(&m.heap, block);
	two = stand(1);
	assert_int_equal(allocate(98), block);
	host_holds(one, 0, 0);
	host_holds(two, 1, 98);
	host_lost_nothing();
	/* Nobody sums up. */
	assert_int_equal(state.current, 0);
	assert_int_equal(state.peak, 0);
}

static void test_said_last(void **context)
{
	(void)context;
	for (unsigned minor = 11; minor <= 13; minor++) {
		uint64_t block, place = 0;
		struct heap heap;

		world(minor, SITES_PLAIN);
		allocate(40);
		block = allocate(40);
		assert_true(heap_of(fake_tstate, &heap));
		for (uint64_t i = 0; i < TMBPF_HANDED_MAX; i++)
			if (handed[i].address == block)
				place = i + 1;
		assert_int_not_equal(place, 0);
		if (minor == 11)
			continue;
		assert_int_equal(handed[place - 1].heap, heap.usedpools);
		/* Each heap has a place of its own, while there are any. */
		for (uint64_t i = 0; i < TMBPF_HANDED_MAX / 4; i++) {
			struct heap other = {.usedpools = 0x7f0000000000ULL + i * 0x3000};

			block_hand(&other, 0x1000 * (i + 1));
		}
		assert_int_equal(handed[place - 1].address, block);
	}
}

/* calloc and realloc may be seen once more as the malloc that they call. */
static void test_nested(void **context)
{
	uint64_t block;
	__u32 one;

	(void)context;
	world(13, SITES_PLAIN);
	allocate(40);
	one = stand(0);
	hit(AT_CALLOC, 1, 200);
	hit(AT_MALLOC, 200, 0);
	block = pymalloc_malloc(&m.heap, 200);
	assert_int_equal(host_stats(one).allocated_count, 1);
	pymalloc_free(&m.heap, block);
	/* Said of the next event only. */
	hit(AT_MALLOC, 200, 0);
	assert_int_equal(pymalloc_malloc(&m.heap, 200), block);
	assert_int_equal(host_stats(one).allocated_count, 2);
	hit(AT_REALLOC, block, 300);
	host_holds(one, 1, 300);
	regs.sp -= 64; /* in a function that it calls */
	hit(AT_MALLOC, 300, 0);
	regs.sp += 64;
	block = pymalloc_malloc(&m.heap, 300);
	assert_int_equal(host_stats(one).allocated_count, 3);
	pymalloc_free(&m.heap, block);
	hit(AT_REALLOC, 0, 300);
	regs.sp += 64; /* out of it: a call of its own */
	hit(AT_MALLOC, 300, 0);
	regs.sp -= 64;
	assert_int_equal(host_stats(one).allocated_count, 5);
	host_holds(one, 1, 300);
	host_lost_nothing();
}

/* An object begins where an entry was left from a block of another class. */
static void test_freelist_pop_over_entries(void **context)
{
	(void)context;
	for (int hooks = SITES_PLAIN; hooks <= SITES_DEBUG; hooks++) {
		world(13, hooks);
		/* Every granule has one but for the pools' first. */
		stand(0);
		for (uint64_t size = 1; size + cfg.hook_extra <= 160; size += 16)
			leave_entries(size);
		for (uint64_t header = 0; header <= 32; header += 16) {
			uint64_t block;
			__u32 two, three;

			two = stand(1);
			block = allocate(150);
			host_holds(two, 1, 150);
			three = stand(2);
			object_popped(host_thread(), block + cfg.hook_delta + header);
			host_holds(two, 0, 0);
			host_holds(three, 1, 150);
			pymalloc_free(&m.heap, block);
			stand(0);
			assert_int_equal(allocate(150), block);
			host_holds(three, 0, 0);
		}
		/* Where no pool is. */
		object_popped(host_thread(), 0x1000);
		host_lost_nothing();
	}
}

/*
 * In sampling windows an object that comes back from a free list is born anew; its pool says where
 * its block begins.
 */
static void test_freelist_pop_is_listed(void **context)
{
	(void)context;
	for (int hooks = SITES_PLAIN; hooks <= SITES_DEBUG; hooks++) {
		const struct tmbpf_allocation *listed;
		__u32 index = 0, stack;
		uint64_t block;

		world(13, hooks);
		stand(0);
		block = allocate(150);
		cfg.mode = TMBPF_MODE_SAMPLED;
		cfg.window_allocations = HOST_ALLOCATIONS;
		stack = stand(1);
		object_popped(host_thread(), block + cfg.hook_delta + 16);
		assert_int_equal(state.window_allocations, 1);
		listed = bpf_map_lookup_elem(&window_allocations, &index);
		assert_int_equal(listed->address, block);
		assert_int_equal(listed->kind, TMBPF_ALLOCATION_FREELIST);
		assert_int_equal(listed->stack, stack);
		/* Where no pool is. */
		object_popped(host_thread(), 0x1000);
		assert_int_equal(state.window_allocations, 1);
		host_lost_nothing();
	}
}

/* A code object whose block went unnoticed, and whose address libc hands out. */
static void test_libc_takes_over(void **context)
{
	(void)context;
	for (int hooks = SITES_PLAIN; hooks <= SITES_DEBUG; hooks++) {
		uint64_t block, code;
		__u32 one, epoch;

		world(13, hooks);
		allocate(40);
		one = stand(0);
		block = allocate(300);
		code = block + cfg.hook_delta;
		fake_code_at(code, "x", "x", 1);
		m.threads[0].frames[0].code = CODES - 1;
		m.codes[CODES - 1].address = code;
		frames_write();
		fake_stack();
		assert_true(ENTRY_CODE(entry_at(block)));
		assert_int_equal(ENTRY_STACK(entry_at(block)), one);
		epoch = state.epoch;
		/* With debug hooks on both domains libc's block begins one header earlier. */
		raw_block_add(block - (hooks == SITES_DEBUG ? cfg.hook_delta : 0), 1000, one);
		assert_int_equal(state.epoch, epoch + 1);
		assert_null(bpf_map_lookup_elem(&codes, &code));
		assert_int_equal(entry_at(block), 0);
		host_holds(one, 1, 1000);
		host_lost_nothing();
	}
}

/* A code object in a block from before tracing began. */
static void test_code_from_before(void **context)
{
	const struct block *before;
	uint64_t block;
	__u32 epoch;
	__u64 code;

	(void)context;
	world(13, SITES_PLAIN);
	for (before = m.blocks; before->raw; before++)
		assert_in_range(before - m.blocks, 0, m.count - 1);
	code = block = before->address;
	m.threads[0].depth = 1;
	m.threads[0].frames[0].code = before->code;
	m.threads[0].frames[0].unit = UNIT;
	frames_write();
	fake_stack();
	assert_int_equal(entry_at(block), ENTRY_CODE_ALONE);
	assert_non_null(bpf_map_lookup_elem(&codes, &code));
	/* An object there is not traced for that. */
	object_popped(host_thread(), block);
	assert_int_equal(entry_at(block), ENTRY_CODE_ALONE);
	epoch = state.epoch;
	m.threads[0].depth = 0;
	frames_write();
	pymalloc_free(&m.heap, block);
	while (allocate(300) != block)
		;
	assert_int_equal(state.epoch, epoch + 1);
	assert_null(bpf_map_lookup_elem(&codes, &code));
	assert_int_equal(host_stats(TMBPF_STACK_NONE).freed_count, 0);
	host_lost_nothing();
}

/* While user space suspects an entry, all that the programs do to it still works. */
static void test_suspected(void **context)
{
	uint64_t block;
	__u32 one, two;

	(void)context;
	world(13, SITES_PLAIN);
	allocate(40);
	one = stand(0);
	block = allocate(200);
	*shadow_entry(block, false) |= TMBPF_SUSPECT;
	two = stand(1);
	object_popped(host_thread(), block);
	host_holds(one, 0, 0);
	host_holds(two, 1, 200);
	assert_int_equal(entry_at(block), 200u << TMBPF_STACK_BITS | two);
	*shadow_entry(block, false) |= TMBPF_SUSPECT;
	pymalloc_free(&m.heap, block);
	stand(0);
	assert_int_equal(allocate(200), block);
	host_holds(one, 1, 200);
	host_holds(two, 0, 0);
	assert_int_equal(entry_at(block), 200u << TMBPF_STACK_BITS | one);
	*shadow_entry(block, false) |= TMBPF_SUSPECT;
	code_mark(block);
	assert_int_equal(ENTRY_SIZE(entry_at(block)), 200);
	assert_true(ENTRY_CODE(entry_at(block)));
	assert_false(entry_at(block) & TMBPF_SUSPECT);
	*shadow_entry(block, false) |= TMBPF_SUSPECT;
	hit(AT_REALLOC, block, 400);
	host_holds(one, 1, 400);
	assert_int_equal(entry_at(block), 0);
	host_lost_nothing();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handed_out_again),
		cmocka_unit_test(test_said_last),
		cmocka_unit_test(test_nested),
		cmocka_unit_test(test_freelist_pop_over_entries),
		cmocka_unit_test(test_freelist_pop_is_listed),
		cmocka_unit_test(test_libc_takes_over),
		cmocka_unit_test(test_code_from_before),
		cmocka_unit_test(test_suspected),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	world_end();
	emulation_reset();
	return failed;
}
