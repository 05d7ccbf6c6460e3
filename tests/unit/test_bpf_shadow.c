// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The live blocks: the shadow of the arenas and the table of raw blocks, bpf/shadow.h. */
#include "bpf_python.h"

#define BLOCK 0x7f3300010030ULL
#define ONE   10 /* stack ids */
#define TWO   11

#define CHUNK_BYTES ((__u64)TMBPF_SLAB_ENTRIES << cfg.granule_shift)

static void world(const struct host_sizes *sizes)
{
	fake_start(11, sizes);
}

/* The thread runs CODE alone; its stack's id. */
static __u32 stack_of_code(uint64_t code)
{
	struct fake_frame frame = {.code = code, .unit = 50};

	fake_frames(&frame, 1);
	return fake_stack();
}

static void test_add_and_remove(void **context)
{
	(void)context;
	world(NULL);
	assert_null(shadow_entry(BLOCK, false));
	assert_false(shadow_remove(BLOCK));
	shadow_add(BLOCK, 48, ONE);
	shadow_add(BLOCK + 48, 512, ONE);
	shadow_add(BLOCK + 1024, 0, TWO);
	host_holds(ONE, 2, 560);
	host_holds(TWO, 1, 0);
	assert_int_equal(state.current, 560);
	/* Neighbours are no blocks. */
	assert_false(shadow_remove(BLOCK + 16));
	assert_false(shadow_remove(BLOCK - 16));
	assert_false(shadow_remove(BLOCK + CHUNK_BYTES));
	assert_true(shadow_remove(BLOCK));
	assert_false(shadow_remove(BLOCK));
	assert_true(shadow_remove(BLOCK + 1024));
	host_holds(ONE, 1, 512);
	host_holds(TWO, 0, 0);
	assert_true(shadow_remove(BLOCK + 48));
	host_holds(ONE, 0, 0);
	assert_int_equal(state.current, 0);
	assert_int_equal(state.peak, 560);
	assert_int_equal(host_stats(ONE).allocated_size, 560);
	assert_int_equal(host_stats(ONE).allocated_count, 2);
	host_lost_nothing();
}

/* A nested call within the allocator sees the same block once more. */
static void test_add_again(void **context)
{
	(void)context;
	world(NULL);
	for (int i = 0; i < 3; i++)
		shadow_add(BLOCK, 100, ONE);
	host_holds(ONE, 1, 100);
	assert_int_equal(host_stats(ONE).allocated_count, 1);
	assert_int_equal(state.current, 100);
	host_lost_nothing();
}

static void test_stale_block(void **context)
{
	(void)context;
	world(NULL);
	shadow_add(BLOCK, 100, ONE);
	shadow_add(BLOCK, 101, ONE);
	host_lost(TMBPF_LOSS_STALE_BLOCK, 1);
	host_holds(ONE, 1, 101);
	shadow_add(BLOCK, 101, TWO);
	host_lost(TMBPF_LOSS_STALE_BLOCK, 2);
	host_holds(ONE, 0, 0);
	host_holds(TWO, 1, 101);
	assert_int_equal(state.current, 101);
}

static void test_assign(void **context)
{
	(void)context;
	world(NULL);
	assert_false(shadow_assign(BLOCK, ONE));
	shadow_add(BLOCK, 100, ONE);
	assert_true(shadow_assign(BLOCK, ONE));
	host_holds(ONE, 1, 100);
	assert_true(shadow_assign(BLOCK, TWO));
	host_holds(ONE, 0, 0);
	host_holds(TWO, 1, 100);
	assert_int_equal(state.current, 100);
	assert_int_equal(state.peak, 100);
	assert_true(shadow_remove(BLOCK));
	host_holds(TWO, 0, 0);
	assert_false(shadow_assign(BLOCK, ONE));
	host_lost_nothing();
}

/* All 10 bits of sizes and all 22 of stacks. */
static void test_entries(void **context)
{
	(void)context;
	world(&(struct host_sizes){.stacks = 64});
	for (__u32 size = 0; size <= TMBPF_SIZE_MAX; size++) {
		__u32 *entry;

		shadow_add(BLOCK, size, TMBPF_STACK_MAX - 1);
		entry = shadow_entry(BLOCK, false);
		assert_int_equal(ENTRY_STACK(*entry), TMBPF_STACK_MAX - 1);
		assert_int_equal(entry_size(*entry), size);
		assert_false(ENTRY_CODE(*entry));
		assert_int_equal(state.current, size);
		assert_true(shadow_remove(BLOCK));
	}
	assert_int_equal(state.current, 0);
}

/* A block that is marked as a code object's keeps its size and stack, whatever its size. */
static void test_code_marks(void **context)
{
	(void)context;
	for (__u32 size = TMBPF_CODE_BASE + 1; size <= TMBPF_SIZE_MAX; size++) {
		uint64_t code;
		__u32 *entry, id;

		if (size % 64 == 1) /* the tables here are small */
			world(NULL);
		code = fake_code("/srv/a.py", "a", 1);
		shadow_add(code, size, ONE);
		id = stack_of_code(code);
		assert_in_range(id, TMBPF_STACK_FIRST, HOST_STACKS);
		entry = shadow_entry(code, false);
		assert_true(ENTRY_CODE(*entry));
		assert_int_equal(entry_size(*entry), size);
		assert_int_equal(ENTRY_STACK(*entry), ONE);
		assert_int_equal(emulation_ring_drop(TMBPF_RECORD_CODE), 1);
		assert_true(shadow_remove(code));
		assert_int_equal(emulation_ring_drop(TMBPF_RECORD_CODE_END), 1);
		host_holds(ONE, 0, 0);
		assert_int_equal(state.current, 0);
		assert_int_not_equal(stack_of_code(code), id);
		emulation_ring_drop(0);
		host_lost_nothing();
	}
}

/* What overwrites a code object ends it as well, and the mark survives a new owner. */
static void test_code_overwritten(void **context)
{
	uint64_t code;

	(void)context;
	world(NULL);
	code = fake_code("/srv/a.py", "a", 1);
	shadow_add(code, 300, ONE);
	stack_of_code(code);
	emulation_ring_drop(0);
	assert_true(shadow_assign(code, TWO));
	host_holds(TWO, 1, 300);
	assert_true(ENTRY_CODE(*shadow_entry(code, false)));
	shadow_add(code, 300, TWO);
	assert_int_equal(emulation_ring_drop(TMBPF_RECORD_CODE_END), 1);
	host_lost(TMBPF_LOSS_STALE_BLOCK, 1);
	host_holds(TWO, 1, 300);
	assert_false(ENTRY_CODE(*shadow_entry(code, false)));
}

/* A code object from before tracing began: its free is of an unknown block. */
static void test_code_from_before(void **context)
{
	uint64_t code;
	__u32 id;

	(void)context;
	world(NULL);
	code = fake_code("/srv/a.py", "a", 1);
	id = stack_of_code(code);
	emulation_ring_drop(0);
	unknown_free(code - 16);
	assert_int_equal(emulation_ring_drop(0), 0);
	unknown_free(code);
	assert_int_equal(state.unknown_frees, 2);
	assert_int_equal(emulation_ring_drop(TMBPF_RECORD_CODE_END), 1);
	assert_int_not_equal(stack_of_code(code), id);
}

/* With debug hooks the code object begins behind what they put before it. */
static void test_code_behind_hooks(void **context)
{
	uint64_t block, code;

	(void)context;
	fake_hooks = SITES_DEBUG;
	world(NULL);
	fake_hooks = SITES_PLAIN;
	assert_int_equal(cfg.hook_delta, 16);
	block = fake_object(16 + fake_code_size());
	code = block + 16;
	fake_code_at(code, "/srv/a.py", "a", 1);
	shadow_add(block, 300, ONE);
	stack_of_code(code);
	assert_true(ENTRY_CODE(*shadow_entry(block, false)));
	emulation_ring_drop(0);
	assert_true(shadow_remove(block));
	assert_int_equal(emulation_ring_drop(TMBPF_RECORD_CODE_END), 1);
	/* From before. */
	stack_of_code(code);
	emulation_ring_drop(0);
	unknown_free(block);
	assert_int_equal(emulation_ring_drop(TMBPF_RECORD_CODE_END), 1);
	/* One of the raw domain. */
	raw_block_add(block, 3000, ONE);
	stack_of_code(code);
	emulation_ring_drop(0);
	assert_true(raw_block_remove(block, &(struct tmbpf_raw_block){0}));
	assert_int_equal(emulation_ring_drop(TMBPF_RECORD_CODE_END), 1);
}

static void test_slabs_used_up(void **context)
{
	(void)context;
	world(&(struct host_sizes){.slabs = 4});
	for (__u64 i = 0; i < 6; i++)
		shadow_add(BLOCK + i * CHUNK_BYTES, 100, ONE);
	host_lost(TMBPF_LOSS_SHADOW_FULL, 2);
	host_holds(ONE, 4, 400);
	assert_int_equal(state.current, 400);
	assert_false(shadow_remove(BLOCK + 5 * CHUNK_BYTES));
	/* What has its slab goes on. */
	shadow_add(BLOCK + 3 * CHUNK_BYTES + 512, 100, ONE);
	host_holds(ONE, 5, 500);
	host_lost(TMBPF_LOSS_SHADOW_FULL, 2);
}

/* User space adds slabs while the program runs; it is woken when few are left. */
static void test_slabs_grow(void **context)
{
	(void)context;
	world(&(struct host_sizes){.slabs = 80, .chunks = 256});
	state.ready_slabs = 34;
	for (__u64 i = 0; i < 4; i++) {
		assert_int_equal(emulation.ring_wakeups, 0);
		shadow_add(BLOCK + i * CHUNK_BYTES, 100, ONE);
	}
	assert_int_equal(emulation.ring_wakeups, 1);
	assert_int_equal(emulation_ring_drop(TMBPF_RECORD_SLAB), 1);
	for (__u64 i = 4; i < 36; i++)
		shadow_add(BLOCK + i * CHUNK_BYTES, 100, ONE);
	host_lost(TMBPF_LOSS_SHADOW_FULL, 2);
	state.ready_slabs = 80;
	for (__u64 i = 34; i < 80; i++)
		shadow_add(BLOCK + i * CHUNK_BYTES, 100, ONE);
	host_lost(TMBPF_LOSS_SHADOW_FULL, 2);
	host_holds(ONE, 80, 8000);
	for (__u64 i = 0; i < 80; i++)
		assert_true(shadow_remove(BLOCK + i * CHUNK_BYTES));
	assert_int_equal(state.current, 0);
}

/* A full ring loses no block. */
static void test_slab_while_ring_is_full(void **context)
{
	(void)context;
	world(&(struct host_sizes){.slabs = 4});
	emulation.ring_limit = 0;
	shadow_add(BLOCK, 100, ONE);
	host_holds(ONE, 1, 100);
	host_lost_nothing();
}

static __u32 chunk_place(__u64 address)
{
	__u64 chunk = tmbpf_chunk_number(address, cfg.granule_shift);

	return (chunk * 0x9e3779b97f4a7c15ULL) >> 40 & cfg.chunk_mask;
}

/*
 * Chunks that belong at one place of the directory stand behind one another, up to
 * TMBPF_CHUNK_PROBES.
 */
static void test_directory_collisions(void **context)
{
	__u64 addresses[TMBPF_CHUNK_PROBES + 1], address = BLOCK;
	__u32 place, found = 0;

	(void)context;
	world(NULL);
	place = cfg.chunk_mask - 2; /* so that they go round its end */
	while (found < array_size(addresses)) {
		if (chunk_place(address) == place)
			addresses[found++] = address;
		address += CHUNK_BYTES;
	}
	for (__u32 i = 0; i < TMBPF_CHUNK_PROBES; i++)
		shadow_add(addresses[i], 100 + i, ONE);
	host_lost_nothing();
	shadow_add(addresses[TMBPF_CHUNK_PROBES], 99, ONE);
	host_lost(TMBPF_LOSS_SHADOW_FULL, 1);
	for (__u32 i = 0; i < TMBPF_CHUNK_PROBES; i++) {
		assert_int_equal(entry_size(*shadow_entry(addresses[i], false)), 100 + i);
		assert_true(shadow_remove(addresses[i]));
	}
	assert_false(shadow_remove(addresses[TMBPF_CHUNK_PROBES]));
	assert_int_equal(state.current, 0);
	/* Looking for one that is not there is no loss. */
	host_lost(TMBPF_LOSS_SHADOW_FULL, 1);
}

/* Addresses of the two ends of a slab, and both granules. */
static void test_slab_ends(void **context)
{
	(void)context;
	for (__u32 shift = 3; shift <= 4; shift++) {
		__u64 start, granule = 1u << shift;

		world(NULL);
		cfg.granule_shift = shift;
		start = BLOCK & -CHUNK_BYTES;
		shadow_add(start, 10, ONE);
		shadow_add(start + CHUNK_BYTES - granule, 20, ONE);
		shadow_add(start + CHUNK_BYTES, 30, ONE);
		shadow_add(start - granule, 40, ONE);
		assert_int_equal(state.next_slab, 3);
		assert_int_equal(entry_size(*shadow_entry(start, false)), 10);
		assert_int_equal(entry_size(*shadow_entry(start + CHUNK_BYTES - granule, false)),
				 20);
		assert_int_equal(entry_size(*shadow_entry(start + CHUNK_BYTES, false)), 30);
		assert_int_equal(entry_size(*shadow_entry(start - granule, false)), 40);
	}
}

static void test_raw_blocks(void **context)
{
	struct tmbpf_raw_block block;

	(void)context;
	world(NULL);
	assert_false(raw_block_remove(BLOCK, &block));
	raw_block_add(BLOCK, 5ull << 32, ONE);
	raw_block_add(BLOCK + 16, 600, TWO);
	host_holds(ONE, 1, 5ull << 32);
	assert_int_equal(state.current, (5ull << 32) + 600);
	assert_true(raw_block_remove(BLOCK, &block));
	assert_int_equal(block.size, 5ull << 32);
	assert_int_equal(block.stack, ONE);
	assert_false(raw_block_remove(BLOCK, &block));
	host_holds(ONE, 0, 0);
	host_lost_nothing();
	raw_block_add(BLOCK + 16, 700, ONE);
	host_lost(TMBPF_LOSS_STALE_BLOCK, 1);
	host_holds(TWO, 0, 0);
	host_holds(ONE, 1, 700);
	assert_int_equal(state.current, 700);
	assert_int_equal(state.peak, (5ull << 32) + 600);
}

static void test_raw_blocks_full(void **context)
{
	struct tmbpf_raw_block block;

	(void)context;
	world(&(struct host_sizes){.large = 3});
	for (__u64 i = 0; i < 5; i++)
		raw_block_add(BLOCK + 4096 * i, 1000, ONE);
	host_lost(TMBPF_LOSS_RAW_BLOCKS_FULL, 2);
	host_holds(ONE, 3, 3000);
	assert_int_equal(state.current, 3000);
	assert_false(raw_block_remove(BLOCK + 4096 * 4, &block));
	assert_true(raw_block_remove(BLOCK, &block));
	raw_block_add(BLOCK + 4096 * 4, 1000, ONE);
	host_lost(TMBPF_LOSS_RAW_BLOCKS_FULL, 2);
	host_holds(ONE, 3, 3000);
}

static void test_raw_block_code(void **context)
{
	struct tmbpf_raw_block block;
	uint64_t code;
	__u32 id;

	(void)context;
	world(NULL);
	code = fake_code("/srv/a.py", "a", 1);
	raw_block_add(code, 4000, ONE);
	id = stack_of_code(code);
	emulation_ring_drop(0);
	assert_true(raw_block_remove(code, &block));
	assert_int_equal(block.code, 1);
	assert_int_equal(emulation_ring_drop(TMBPF_RECORD_CODE_END), 1);
	raw_block_add(code, 4000, ONE);
	assert_int_not_equal(stack_of_code(code), id);
	emulation_ring_drop(0);
	raw_block_add(code, 4000, ONE); /* its free was not seen */
	assert_int_equal(emulation_ring_drop(TMBPF_RECORD_CODE_END), 1);
}

/* A stack beyond the table of totals: the block is known, and nothing is written elsewhere. */
static void test_totals_of_no_stack(void **context)
{
	(void)context;
	world(&(struct host_sizes){.stacks = 16});
	totals_add(16, 100);
	totals_add(TMBPF_STACK_MAX - 1, 100);
	totals_remove(16, 50);
	assert_int_equal(state.current, 150);
	assert_int_equal(state.peak, 200);
	totals_add(16, 50);
	assert_int_equal(state.peak, 200);
	totals_add(16, 1);
	assert_int_equal(state.peak, 201);
	host_holds(15, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_and_remove),
		cmocka_unit_test(test_add_again),
		cmocka_unit_test(test_stale_block),
		cmocka_unit_test(test_assign),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_code_marks),
		cmocka_unit_test(test_code_overwritten),
		cmocka_unit_test(test_code_from_before),
		cmocka_unit_test(test_code_behind_hooks),
		cmocka_unit_test(test_slabs_used_up),
		cmocka_unit_test(test_slabs_grow),
		cmocka_unit_test(test_slab_while_ring_is_full),
		cmocka_unit_test(test_directory_collisions),
		cmocka_unit_test(test_slab_ends),
		cmocka_unit_test(test_raw_blocks),
		cmocka_unit_test(test_raw_blocks_full),
		cmocka_unit_test(test_raw_block_code),
		cmocka_unit_test(test_totals_of_no_stack),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	emulation_reset();
	return failed;
}
