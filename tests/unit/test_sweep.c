// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What user/trace/tracer/sweep.c takes for dead, in made-up memory that may change between two
 * reads. test_bpf_model.c has a whole target that runs meanwhile.
 */
#include "trace/tracer/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "support.h"
#include "target/process/memory.h"

#define POOL   4096
#define STEP   16
#define BASE   0x7f0000000000ULL
#define BLOCK  64 /* bytes, of the pools made here */
#define FIRST  48
#define STACK  9
#define CARVED 20

/* struct pool_header */
struct header {
	uint32_t count, padding;
	uint64_t freeblock, nextpool, prevpool;
	uint32_t arenaindex, szidx, nextoffset, maxnextoffset;
};

static const struct python_heap heap = {.alignment = STEP, .pool_size = POOL};

static struct {
	struct memory memory; /* must be first */
	uint8_t bytes[TMBPF_SLAB_ENTRIES * STEP];
	bool gone[TMBPF_SLAB_ENTRIES * STEP / POOL];
	int number; /* errno of every read; 0: none fails */
	unsigned reads;
	void (*before)(unsigned read); /* called before each read */
	uint32_t entries[TMBPF_SLAB_ENTRIES];
	struct tmbpf_handed handed[TMBPF_HANDED_MAX];
	bool asleep;
	unsigned asked, ended, dropped;
	uint64_t ended_at;
	uint32_t last_dropped;
	struct sweep *sweep;
	struct sweep_counters counters;
} w;

static struct error *fake_read(struct memory *memory, uint64_t address, void *ret, size_t size)
{
	uint64_t offset = address - BASE;

	assert_ptr_equal(memory, &w.memory);
	if (w.before)
		w.before(w.reads);
	w.reads++;
	assert_in_range(offset + size, 1, sizeof(w.bytes));
	if (w.number)
		return error_create_errno(ERROR_FAILED, w.number, "cannot read");
	for (uint64_t pool = offset / POOL; pool * POOL < offset + size; pool++)
		if (w.gone[pool])
			return error_create_errno(ERROR_FAILED, EFAULT, "not there");
	memcpy(ret, w.bytes + offset, size);
	return NULL;
}

static bool fake_asleep(void *context)
{
	(void)context;
	w.asked++;
	return w.asleep;
}

static void fake_end_code(void *context, uint64_t address, const uint32_t *entry, uint32_t expected)
{
	(void)context;
	assert_int_equal(*entry, expected);
	assert_true(expected & TMBPF_SUSPECT);
	assert_true(ENTRY_CODE(expected));
	w.ended_at = address;
	w.ended++;
}

static void fake_drop(void *context, uint32_t entry)
{
	(void)context;
	w.last_dropped = entry;
	w.dropped++;
}

static void world(void)
{
	const struct sweep_tracer tracer = {
		.memory = &w.memory,
		.handed = w.handed,
		.asleep = fake_asleep,
		.end_code = fake_end_code,
		.drop = fake_drop,
	};

	sweep_destroy(w.sweep);
	memset(&w, 0, sizeof(w));
	w.memory.read = fake_read;
	support_ok(sweep_create(&heap, &tracer, &w.sweep));
	assert_int_equal(sweep_range(w.sweep), sizeof(w.bytes));
}

static struct header *header_of(unsigned pool)
{
	return (struct header *)(w.bytes + (size_t)pool * POOL);
}

static uint64_t block_address(unsigned pool, unsigned block)
{
	return BASE + (uint64_t)pool * POOL + FIRST + block * BLOCK;
}

static uint32_t *entry_of(uint64_t address)
{
	return &w.entries[(address - BASE) / STEP];
}

static void free_put(unsigned pool, uint64_t block)
{
	memcpy(w.bytes + (block - BASE), &header_of(pool)->freeblock, sizeof(uint64_t));
	header_of(pool)->freeblock = block;
	header_of(pool)->count--;
}

/* Makes a pool of CARVED blocks: all live, each with an entry. */
static void pool_make(unsigned pool)
{
	*header_of(pool) = (struct header){
		.count = CARVED,
		.szidx = BLOCK / STEP - 1,
		.nextoffset = FIRST + CARVED * BLOCK,
		.maxnextoffset = POOL - BLOCK,
	};
	for (unsigned i = 0; i < CARVED; i++)
		*entry_of(block_address(pool, i)) = 50u << TMBPF_STACK_BITS | STACK;
}

static void reap(void)
{
	support_ok(sweep_slab(w.sweep, w.entries, BASE, &w.counters));
	for (size_t i = 0; i < TMBPF_SLAB_ENTRIES; i++)
		assert_false(w.entries[i] & TMBPF_SUSPECT);
}

static void test_nothing(void **context)
{
	(void)context;
	world();
	reap();
	assert_int_equal(w.reads, 0);
	assert_int_equal(w.counters.pools, 0);
}

static void test_live(void **context)
{
	(void)context;
	world();
	pool_make(3);
	pool_make(4);
	pool_make(6);
	reap();
	assert_int_equal(w.counters.pools, 3);
	assert_int_equal(w.counters.dead, 0);
	/* Neighbours are read at once, and nothing twice. */
	assert_int_equal(w.reads, 2);
	assert_int_equal(w.asked, 0);
}

static void test_dead(void **context)
{
	static const uint64_t odd[] = {
		16,                     /* in the header */
		FIRST + STEP,           /* within a block */
		FIRST + CARVED * BLOCK, /* not carved yet */
		POOL - STEP,            /* behind the last block */
	};
	uint64_t block;

	(void)context;
	world();
	pool_make(5);
	for (size_t i = 0; i < array_size(odd); i++) {
		*entry_of(BASE + 5 * POOL + odd[i]) = 33u << TMBPF_STACK_BITS | STACK;
		reap();
		assert_int_equal(w.dropped, i + 1);
		assert_int_equal(w.last_dropped, 33u << TMBPF_STACK_BITS | STACK);
	}
	/* They are on the free list. */
	for (unsigned i = 0; i < CARVED - 1; i++) {
		block = block_address(5, i * 7 % CARVED);
		free_put(5, block);
		reap();
		assert_int_equal(*entry_of(block), 0);
		assert_int_equal(w.counters.dead, array_size(odd) + i + 1);
	}
	/* The last one goes, and the pool is empty. */
	free_put(5, block_address(5, (CARVED - 1) * 7 % CARVED));
	reap();
	assert_int_equal(w.dropped, array_size(odd) + CARVED);
	assert_int_equal(w.counters.unstable, 0);
	assert_int_equal(w.ended, 0);
}

static void test_pool_is_none(void **context)
{
	(void)context;
	/* One is unmapped: its neighbours are still looked at. */
	world();
	pool_make(0);
	pool_make(1);
	pool_make(2);
	w.gone[1] = true;
	reap();
	assert_int_equal(w.dropped, CARVED);
	/* One is something else's memory. */
	world();
	pool_make(1);
	memset(header_of(1), 0x5a, sizeof(struct header));
	reap();
	assert_int_equal(w.dropped, CARVED);
	/* One is of another class by now, whose blocks begin elsewhere but for two. */
	world();
	pool_make(1);
	*header_of(1) = (struct header){.count = 3,
					.szidx = 512 / STEP - 1,
					.nextoffset = FIRST + 3 * 512,
					.maxnextoffset = POOL - 512};
	reap();
	assert_int_equal(w.dropped, CARVED - 3);
	assert_int_not_equal(*entry_of(BASE + POOL + FIRST + 1024), 0);
}

static void grow_together(unsigned read)
{
	if (read == 3)
		header_of(1)->count = CARVED - 1;
}

/*
 * If a pool's count and its free list do not agree it is being changed. Its blocks are left alone.
 */
static void test_torn(void **context)
{
	(void)context;
	world();
	pool_make(1);
	free_put(1, block_address(1, 4));
	header_of(1)->count++;
	reap();
	assert_int_equal(w.dropped, 0);
	assert_int_equal(w.counters.unstable, 1);
	assert_int_not_equal(*entry_of(block_address(1, 4)), 0);
	w.reads = 0;
	w.before = grow_together;
	reap();
	assert_int_equal(w.dropped, 1);
	assert_int_equal(w.counters.unstable, 1);
	/* A list without an end, and one that leaves the pool. */
	memcpy(w.bytes + (block_address(1, 4) - BASE), &header_of(1)->freeblock, 8);
	reap();
	header_of(1)->freeblock = BASE + 17 * POOL;
	reap();
	assert_int_equal(w.dropped, 1);
	assert_int_equal(w.counters.unstable, 3);
}

static void take_it(unsigned read)
{
	struct header *header = header_of(1);

	if (read != 1)
		return;
	header->freeblock = 0;
	header->count = CARVED;
}

static void hand_it(unsigned read)
{
	if (read == 1)
		*entry_of(block_address(1, 4)) = 50u << TMBPF_STACK_BITS | STACK;
}

/* The probe has told of the block, and the interpreter takes it a moment later. */
static void test_on_its_way(void **context)
{
	(void)context;
	/* Taken between the two looks. */
	world();
	pool_make(1);
	free_put(1, block_address(1, 4));
	w.before = take_it;
	reap();
	assert_int_equal(w.dropped, 0);
	/* Told between the two looks: its entry is the same, but not suspected any more. */
	world();
	pool_make(1);
	free_put(1, block_address(1, 4));
	w.before = hand_it;
	reap();
	assert_int_equal(w.dropped, 0);
	assert_int_equal(*entry_of(block_address(1, 4)), 50u << TMBPF_STACK_BITS | STACK);
	/* Told before, and not taken for long. */
	w.before = NULL;
	w.handed[77].address = block_address(1, 4);
	reap();
	assert_int_equal(w.dropped, 0);
	assert_int_equal(w.asked, 1);
	/* A thread that sleeps has taken it. */
	w.asleep = true;
	reap();
	assert_int_equal(w.dropped, 1);
}

static void test_code(void **context)
{
	uint32_t marked;

	(void)context;
	world();
	marked = (100u - TMBPF_CODE_BASE + TMBPF_SIZE_MAX) << TMBPF_STACK_BITS | STACK;
	pool_make(1);
	*entry_of(block_address(1, 4)) = marked;
	*entry_of(block_address(1, 5)) = (TMBPF_SIZE_MAX + 1) << TMBPF_STACK_BITS;
	reap();
	assert_int_equal(w.ended, 0);
	free_put(1, block_address(1, 4));
	reap();
	assert_int_equal(w.ended, 1);
	assert_int_equal(w.ended_at, block_address(1, 4));
	assert_int_equal(w.last_dropped, marked);
	/* One that is known for its code alone. */
	free_put(1, block_address(1, 5));
	reap();
	assert_int_equal(w.ended, 2);
	assert_int_equal(w.dropped, 2);
	assert_int_equal(ENTRY_STACK(w.last_dropped), TMBPF_STACK_NONE);
}

static void fail_later(unsigned read)
{
	if (read == 1)
		w.number = ESRCH;
}

/* The target is gone: nothing is taken for dead, and nothing stays suspected. */
static void test_unreadable(void **context)
{
	static const int numbers[] = {ESRCH, EPERM};

	(void)context;
	for (size_t i = 0; i < array_size(numbers); i++) {
		struct error *error;

		world();
		pool_make(1);
		free_put(1, block_address(1, 4));
		w.number = numbers[i];
		error = sweep_slab(w.sweep, w.entries, BASE, &w.counters);
		assert_non_null(error);
		error_destroy(error);
		w.number = 0;
		w.reads = 0;
		w.before = fail_later;
		error = sweep_slab(w.sweep, w.entries, BASE, &w.counters);
		assert_non_null(error);
		error_destroy(error);
		assert_int_equal(w.dropped, 0);
		assert_int_equal(*entry_of(block_address(1, 4)), 50u << TMBPF_STACK_BITS | STACK);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing), cmocka_unit_test(test_live),
		cmocka_unit_test(test_dead),    cmocka_unit_test(test_pool_is_none),
		cmocka_unit_test(test_torn),    cmocka_unit_test(test_on_its_way),
		cmocka_unit_test(test_code),    cmocka_unit_test(test_unreadable),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	sweep_destroy(w.sweep);
	return failed;
}
