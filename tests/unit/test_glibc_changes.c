// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * malloc's heaps that shrink, grow or go while they are walked, at each moment that there is:
 * between any two reads. And what a target says that cannot be.
 */
#include "support.h"
#include "base/cleanup.h"
#include "glibc_fake.h"
#include <stdlib.h>
#include <string.h>

#define LONG        0x300000 /* bytes of a heap that takes several buffers */
#define READS_MAX   200000   /* a walk that makes more does not end */
#define KEY         0x9c1d35f7a2e48b61ULL
#define SECOND_SIZE 0x180000 /* bytes of the second heap: likewise */

/* What is done to MADE before read number MOMENT. */
struct change {
	struct made *made;
	struct error *(*read)(struct memory *memory, uint64_t address, void *ret, size_t size);
	unsigned int reads, moment;
	void (*apply)(struct made *made, uint64_t argument);
	uint64_t argument;
	bool done;
};

static struct change change;

static struct error *changing_read(struct memory *memory, uint64_t address, void *ret, size_t size)
{
	assert_true(change.reads < READS_MAX);
	if (change.reads++ == change.moment) {
		change.done = true;
		change.apply(change.made, change.argument);
	}
	return change.read(memory, address, ret, size);
}

/* Counts the bytes that are read. */
static uint64_t bytes_read;

static struct error *counting_read(struct memory *memory, uint64_t address, void *ret, size_t size)
{
	bytes_read += size;
	return change.read(memory, address, ret, size);
}

/* The memory that begins at START ends SIZE bytes from there. */
static void mapping_resize(struct made *made, uint64_t start, uint64_t size)
{
	size_t i;

	for (i = 0; i < made->map_count; i++)
		if (made->maps[i].start == start)
			made->maps[i].end = start + size;
	for (i = 0; i < made->fake.count; i++)
		if (made->fake.pieces[i].address == start)
			made->fake.pieces[i].size = size;
}

/*
 * What is left of the last chunk is the top, where memory from START on, with chunks from FIRST on,
 * has SIZE bytes.
 */
static uint64_t top_cut(struct made *made, uint64_t start, uint64_t first, uint64_t size)
{
	uint64_t p = first, length = 0;

	for (;;) {
		support_ok(change.read(&made->fake.process.memory, p + 8, &length, sizeof(length)));
		length &= ~GLIBC_FLAGS;
		if (p + length >= start + size)
			break;
		p += length;
	}
	made_put(made, p + 8, (start + size - p) | GLIBC_PREV_INUSE);
	return p;
}

/* malloc gives back all of sbrk()'s memory but SIZE bytes. */
static void brk_trim(struct made *made, uint64_t size)
{
	if (size)
		made_put(made, STATE + made->bins - 16, top_cut(made, HEAP, HEAP, size));
	made_put(made, STATE + made->bins + 2032 + 40, size);
	mapping_resize(made, HEAP, size);
}

/* The same by somebody who leaves malloc's own records as they were. */
static void brk_cut(struct made *made, uint64_t size)
{
	mapping_resize(made, HEAP, size);
}

/* The same of a thread's newest heap. */
static void heap_trim(struct made *made, uint64_t size)
{
	if (size) {
		made_put(made, SECOND + 16, size);
		made_put(made, ARENA + 0x30 + made->bins - 16,
			 top_cut(made, SECOND, SECOND + 0x30, size));
	}
	mapping_resize(made, SECOND, size);
}

/* It says so alone. */
static void heap_lie(struct made *made, uint64_t size)
{
	made_put(made, SECOND + 16, size);
}

static void all_go(struct made *made, uint64_t argument)
{
	size_t i;

	(void)argument;
	for (i = 0; i < made->map_count; i++)
		mapping_resize(made, made->maps[i].start, 0);
}

static void nothing(struct made *made, uint64_t argument)
{
	(void)made;
	(void)argument;
}

/* Chunks of many sizes, one of them larger than a buffer, and a thread's arena. */
static void long_put(struct made *made)
{
	size_t i;

	made_init_sized(made, 0x70, LONG);
	for (i = 0; i < 40; i++)
		made_chunk(made, 0x40 + i % 7 * 0x30, GLIBC_PREV_INUSE);
	made_chunk(made, 0xa0000, GLIBC_PREV_INUSE);
	for (i = 0; i < 120; i++)
		made_chunk(made, 0x2000 + i % 5 * 0x1230, GLIBC_PREV_INUSE);
	made_top(made, STATE, made->end);
	made_arena_sized(made, SECOND_SIZE);
	for (i = 0; i < 100; i++)
		made_chunk(made, 0x2340 + i % 5 * 0x430, GLIBC_PREV_INUSE | GLIBC_NON_MAIN);
	made_top(made, ARENA + 0x30, SECOND + SECOND_SIZE);
}

static struct glibc *change_begin(struct made *made, unsigned int moment,
				  void (*apply)(struct made *made, uint64_t argument),
				  uint64_t argument)
{
	struct glibc *glibc;

	change = (struct change){made, made->fake.process.memory.read, 0, moment, apply, argument,
				 false};
	made->fake.process.memory.read = changing_read;
	glibc = made_walk_begin(made, NULL, 0);
	/* More than there are, so that all chunks are asked whether they are caches. */
	glibc->threads = 3;
	return glibc;
}

/*
 * Ends, and tells of no more than there ever was. *RET: what vanished; returns whether the change
 * came.
 */
static bool change_walk(unsigned int moment, void (*apply)(struct made *made, uint64_t argument),
			uint64_t argument, uint64_t *ret)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	const struct glibc_totals *totals;
	struct error *error;
	struct glibc *glibc;
	struct made made;

	assert_non_null(seen);
	long_put(&made);
	glibc = change_begin(&made, moment, apply, argument);
	error = glibc_init(glibc, &made.fake.process.memory, -1);
	/* Without the C library there is no walk. */
	assert_true(!error || apply == all_go);
	if (!error)
		error = glibc_each(glibc, made_see, seen);
	error_destroy(error);
	totals = glibc_totals(glibc);
	assert_true(made_bytes(totals) <= LONG + ARENA_SIZE + SECOND_SIZE);
	assert_true(totals->mapped_unknown <= LONG + ARENA_SIZE + SECOND_SIZE);
	assert_true(totals->vanished <= LONG + ARENA_SIZE + SECOND_SIZE);
	*ret = totals->vanished;
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	free(seen);
	return change.done;
}

/* At each moment that there is; how often BYTES vanished is returned. They do or nothing does. */
static unsigned int change_each(void (*apply)(struct made *made, uint64_t argument),
				uint64_t argument, uint64_t bytes)
{
	unsigned int moment, count = 0;
	uint64_t vanished;

	for (moment = 0; change_walk(moment, apply, argument, &vanished); moment++) {
		if (vanished && bytes)
			assert_int_equal(vanished, bytes);
		count += vanished != 0;
	}
	return count;
}

static void test_unchanged(void **state)
{
	uint64_t vanished;

	(void)state;
	change_walk(READS_MAX, nothing, 0, &vanished);
	assert_int_equal(vanished, 0);
	/* There are moments enough for the tests below. */
	assert_true(change.reads > 60);
}

static void test_shrinks(void **state)
{
	static const uint64_t left[] = {0x1000, 0x6000, 0xa0000, 0x1ff000, 0x200000, LONG - 0x1000};
	size_t i;

	(void)state;
	for (i = 0; i < array_size(left); i++) {
		assert_true(change_each(brk_trim, left[i], LONG - left[i]) > 50);
		assert_true(change_each(brk_cut, left[i], LONG - left[i]) > 50);
	}
	/* All of it. */
	change_each(brk_trim, 0, LONG);
}

static void test_heap_shrinks(void **state)
{
	static const uint64_t left[] = {0x1000, 0x30000, 0x81000, 0x100000, SECOND_SIZE - 0x1000};
	size_t i;

	(void)state;
	for (i = 0; i < array_size(left); i++)
		assert_true(change_each(heap_trim, left[i], SECOND_SIZE - left[i]) > 50);
	assert_true(change_each(heap_trim, 0, SECOND_SIZE) > 50);
}

/*
 * A heap that says what it cannot be is none, and one that says more than it has is not believed.
 */
static void test_heap_lies(void **state)
{
	static const uint64_t none[] = {0,          0x20,       0x3010,    GLIBC_HEAP_MAX + 0x1000,
					1ULL << 40, UINT64_MAX, -0x1000ULL};
	size_t i;

	(void)state;
	for (i = 0; i < array_size(none); i++)
		assert_true(change_each(heap_lie, none[i], SECOND_SIZE) > 50);
	assert_int_equal(change_each(heap_lie, GLIBC_HEAP_MAX, 0), 0);
}

static void test_ends(void **state)
{
	(void)state;
	assert_true(change_each(all_go, 0, 0) > 50);
}

/* Sizes that wrap lead the walk back to where it was: each of these is the next one's neighbour. */
static void test_size_wraps(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	struct glibc *glibc;
	struct made made;
	uint64_t chunk;

	(void)state;
	assert_non_null(seen);
	made_init(&made, 0x70);
	made_chunks(&made, 100);
	chunk = HEAP + 10 * (7 * 0x40 + 21 * 0x30);
	made_put(&made, chunk + 8, -16ULL | GLIBC_PREV_INUSE);
	made_put(&made, chunk - 8, 0x20 | GLIBC_PREV_INUSE);
	made_put(&made, chunk + 24, -16ULL | GLIBC_PREV_INUSE);
	glibc = change_begin(&made, READS_MAX, nothing, 0);
	support_ok(glibc_init(glibc, &made.fake.process.memory, -1));
	support_ok(glibc_each(glibc, made_see, seen));
	assert_int_equal(made_bytes(glibc_totals(glibc)), HEAP_SIZE);
	assert_true(glibc_totals(glibc)->broken > 0);
	assert_true(seen->count < 100);
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	free(seen);
}

/* Whatever the top says it is, it ends where the heap does. */
static void test_top_lies(void **state)
{
	static const uint64_t sizes[] = {0, 0x10, HEAP_SIZE * 2, 1ULL << 60, -16ULL};
	struct seen *seen = calloc(1, sizeof(*seen));
	size_t i;

	(void)state;
	assert_non_null(seen);
	for (i = 0; i < array_size(sizes); i++) {
		const struct glibc_totals *totals;
		struct glibc *glibc;
		struct made made;

		made_init(&made, 0x70);
		made_chunks(&made, 100);
		made_put(&made, made.at + 8, sizes[i] | GLIBC_PREV_INUSE);
		glibc = made_walk(&made, NULL, 0, seen);
		totals = glibc_totals(glibc);
		assert_int_equal(seen->count, 100);
		assert_int_equal(totals->top.bytes, 0);
		assert_true(totals->broken > 0);
		assert_int_equal(made_bytes(totals), HEAP_SIZE);
		made_walk_end(glibc);
		memory_fake_deinit(&made.fake);
	}
	free(seen);
}

/* What malloc says it has is no more than the process could write to. */
static void test_sums_lie(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	const struct glibc_totals *totals;
	struct glibc *glibc;
	struct made made;

	(void)state;
	assert_non_null(seen);
	made_init(&made, 0x70);
	made_chunks(&made, 100);
	made_put(&made, STATE + made.bins + 2032 + 40, 1ULL << 46);
	made_put(&made, DATA + 0x80, 1ULL << 62);
	glibc = made_walk_begin(&made, NULL, 0);
	support_ok(glibc_init(glibc, &made.fake.process.memory, -1));
	glibc->parameters = DATA + 0x80;
	support_ok(glibc_each(glibc, made_see, seen));
	totals = glibc_totals(glibc);
	assert_int_equal(totals->unknown, DATA_SIZE);
	assert_int_equal(totals->mapped_unknown, HEAP_SIZE + DATA_SIZE);
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	free(seen);
}

/*
 * A heap that has grown since it was found, and chunks in a thread's cache far behind what it was
 * then.
 */
static void test_grows(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));
	uint64_t cache, at, behind;
	struct glibc *glibc;
	struct made made;

	(void)state;
	assert_non_null(seen);
	made_init_sized(&made, 0x70, LONG);
	cache = made_chunk(&made, 0x290, GLIBC_PREV_INUSE);
	made_chunk(&made, 0x1000, GLIBC_PREV_INUSE);
	behind = made.at;
	made_top(&made, STATE, HEAP + HEAP_SIZE);
	mapping_resize(&made, HEAP, HEAP_SIZE);
	glibc = made_walk_begin(&made, NULL, 0);
	support_ok(glibc_init(glibc, &made.fake.process.memory, -1));
	mapping_resize(&made, HEAP, LONG);
	made.at = behind;
	made_chunk(&made, 0x180000, GLIBC_PREV_INUSE);
	at = made_chunk(&made, 0x40, GLIBC_PREV_INUSE);
	made_top(&made, STATE, HEAP + LONG);
	memory_fake_put(&made.fake, cache + 4, "\1", 1);
	made_put(&made, cache + 128 + 16, at);
	made_put(&made, at, at >> 12);
	made_put(&made, at + 8, KEY);
	support_ok(glibc_each(glibc, made_see, seen));
	assert_int_equal(seen->count, 3);
	assert_int_equal(seen->list[2].address, at);
	assert_int_equal(seen->list[2].state, GLIBC_TCACHE);
	assert_int_equal(made_bytes(glibc_totals(glibc)), LONG);
	assert_int_equal(glibc_totals(glibc)->broken + glibc_totals(glibc)->vanished, 0);
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	free(seen);
}

/* A buffer holds what there is room for, and nothing of what ends before it begins. */
static void test_buffer(void **state)
{
	struct glibc_buffer buffer = {0};
	struct made made;

	(void)state;
	made_init_sized(&made, 0x70, LONG);
	support_ok(glibc_buffer_init(&buffer, &made.fake.process.memory, -1, GLIBC_PAGE));
	glibc_buffer_load(&buffer, HEAP, HEAP + LONG);
	assert_int_equal(buffer.end - buffer.start, GLIBC_PAGE);
	glibc_buffer_load(&buffer, HEAP, UINT64_MAX);
	assert_int_equal(buffer.end - buffer.start, GLIBC_PAGE);
	glibc_buffer_load(&buffer, HEAP + 0x2000, HEAP + 0x1000);
	assert_int_equal(buffer.end, buffer.start);
	assert_null(glibc_buffer_at(&buffer, HEAP + 0x2000, 8));
	glibc_buffer_load(&buffer, HEAP, HEAP);
	assert_int_equal(buffer.end, buffer.start);
	assert_int_equal(glibc_pages_next(&buffer, HEAP + 0x2000, HEAP + 0x1000), HEAP + 0x1000);
	glibc_buffer_deinit(&buffer);
	support_ok(glibc_buffer_init(&buffer, &made.fake.process.memory, -1, GLIBC_BUFFER));
	glibc_buffer_load(&buffer, HEAP, UINT64_MAX);
	assert_int_equal(buffer.end - buffer.start, GLIBC_BUFFER);
	glibc_buffer_load(&buffer, -GLIBC_PAGE, UINT64_MAX);
	assert_null(glibc_buffer_at(&buffer, HEAP, 8));
	glibc_buffer_deinit(&buffer);
	memory_fake_deinit(&made.fake);
}

/*
 * Chunks that break off again and again: 17 sound ones of 32 bytes, then one that says it were
 * mapped. However often that is so, the memory is read a few times, and the rest is unknown.
 */
static void test_broken_again(void **state)
{
	static const uint64_t size = 8 << 20;
	struct made made;
	struct seen *seen = calloc(1, sizeof(*seen));
	struct glibc *glibc;

	(void)state;
	assert_non_null(seen);
	made_init_sized(&made, 0x70, size);
	for (uint64_t p = HEAP; p + 18 * 32 + 64 < HEAP + size; p += 18 * 32)
		for (uint64_t i = 0; i < 18; i++)
			made_put(&made, p + 32 * i + 8,
				 32 | GLIBC_PREV_INUSE | (i == 17 ? GLIBC_IS_MMAPPED : 0));
	made_put(&made, STATE + made.bins - 16, HEAP + size - 32);
	change.read = made.fake.process.memory.read;
	made.fake.process.memory.read = counting_read;
	bytes_read = 0;
	glibc = made_walk_begin(&made, NULL, 0);
	support_ok(glibc_init(glibc, &made.fake.process.memory, -1));
	support_ok(glibc_each(glibc, made_see, seen));
	assert_true(bytes_read < 64 * size);
	assert_true(glibc_totals(glibc)->unknown > size / 2);
	assert_int_equal(made_bytes(glibc_totals(glibc)), size);
	made_walk_end(glibc);
	memory_fake_deinit(&made.fake);
	free(seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unchanged),    cmocka_unit_test(test_shrinks),
		cmocka_unit_test(test_heap_shrinks), cmocka_unit_test(test_heap_lies),
		cmocka_unit_test(test_ends),         cmocka_unit_test(test_size_wraps),
		cmocka_unit_test(test_top_lies),     cmocka_unit_test(test_sums_lie),
		cmocka_unit_test(test_grows),        cmocka_unit_test(test_buffer),
		cmocka_unit_test(test_broken_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
