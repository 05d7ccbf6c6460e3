// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Marks of blocks in made-up memory: user/trace/sampling/fingerprint.c. */
#include "support.h"

#include <string.h>

#include "python_fake.h"
#include "trace/sampling/fingerprint.h"

#define TYPES  0x500000
#define HEAP   0x7f0000600000
#define INT    (TYPES + 0x100)
#define STR    (TYPES + 0x200)
#define OTHER  (TYPES + 0x300)
#define FIELDS 32 /* of an object, behind the collector's links */

struct heap {
	struct world world;
	struct fingerprint_reader reader;
	uint64_t used;
};

static void heap_init(struct heap *heap)
{
	memset(heap, 0, sizeof(*heap));
	world_init(&heap->world, 0x030b0000);
	memory_fake_add(&heap->world.fake, HEAP, 0x10000);
	heap->reader = (struct fingerprint_reader){
		.python = &heap->world.python,
		.int_type = INT,
		.str_type = STR,
	};
}

/* Puts a thing of WORDS words to which COUNT refer. */
static uint64_t thing_put(struct heap *heap, uint64_t count, uint64_t type)
{
	uint64_t address = HEAP + (heap->used += 0x100);

	memory_fake_put_u64(&heap->world.fake, address, count);
	memory_fake_put_u64(&heap->world.fake, address + 8, type);
	return address;
}

static uint64_t int_put(struct heap *heap, uint64_t count, uint64_t value)
{
	uint64_t address = thing_put(heap, count, INT);

	memory_fake_put_u64(&heap->world.fake, address + 16, 1);
	memory_fake_put_u64(&heap->world.fake, address + 24, value);
	return address;
}

static enum fingerprint_match match(struct heap *heap, const uint64_t *words, uint32_t count,
				    const struct fingerprint *fingerprint)
{
	enum fingerprint_match found;

	support_ok(fingerprint_match(&heap->reader, (const uint8_t *)words, count * 8, fingerprint,
				     &found));
	return found;
}

static struct fingerprint taken(struct heap *heap, const uint64_t *words, uint32_t count,
				uint32_t fields)
{
	struct fingerprint fingerprint;

	support_ok(fingerprint_make(&heap->reader, (const uint8_t *)words, count * 8, fields,
				    &fingerprint));
	return fingerprint;
}

/* An object with two numbers is the same as long as one of them is. */
static void test_numbers(void **state)
{
	struct heap heap;
	struct fingerprint fingerprint;

	(void)state;
	heap_init(&heap);
	const uint64_t words[] = {
		HEAP, HEAP, 1, OTHER, int_put(&heap, 1, 1001), int_put(&heap, 2, 1002)};

	fingerprint = taken(&heap, words, 6, FIELDS);
	assert_int_equal(fingerprint.count, 2);
	assert_int_equal(match(&heap, words, 6, &fingerprint), FINGERPRINT_SAME);
	/* Others of the same kind in the same places: only their values differ. */
	memory_fake_put_u64(&heap.world.fake, words[4] + 24, 1003);
	assert_int_equal(match(&heap, words, 6, &fingerprint), FINGERPRINT_SAME);
	memory_fake_put_u64(&heap.world.fake, words[5] + 24, 1004);
	assert_int_equal(match(&heap, words, 6, &fingerprint), FINGERPRINT_OTHER);
	world_deinit(&heap.world);
}

/*
 * What others refer to as well, the links before the object, and what is no pointer: none of these
 * is a mark.
 */
static void test_no_marks(void **state)
{
	struct heap heap;
	struct fingerprint fingerprint;
	uint64_t own;

	(void)state;
	heap_init(&heap);
	own = int_put(&heap, 1, 1001);
	const uint64_t words[] = {own, own, 1,       OTHER,          int_put(&heap, 4, 1002),
				  7,   0,   own + 1, 0x7ffffffff000, ~0ull};

	fingerprint = taken(&heap, words, 10, FIELDS);
	assert_int_equal(fingerprint.count, 0);
	assert_int_equal(match(&heap, words, 10, &fingerprint), FINGERPRINT_UNKNOWN);
	world_deinit(&heap.world);
}

/* A list: its items are two steps away, and stay the same when it grows and its table moves. */
static void test_steps(void **state)
{
	struct heap heap;
	struct fingerprint fingerprint;
	uint64_t item, words[] = {HEAP, HEAP, 1, OTHER, 1, 0};

	(void)state;
	heap_init(&heap);
	item = int_put(&heap, 1, 1001);
	words[5] = thing_put(&heap, item, 0);
	fingerprint = taken(&heap, words, 6, FIELDS);
	assert_int_equal(fingerprint.count, 1);
	assert_int_equal(fingerprint.features[0].steps, 2);
	words[4] = 2;
	words[5] = thing_put(&heap, item, item);
	assert_int_equal(match(&heap, words, 6, &fingerprint), FINGERPRINT_SAME);
	memory_fake_put_u64(&heap.world.fake, item + 24, 1002);
	assert_int_equal(match(&heap, words, 6, &fingerprint), FINGERPRINT_OTHER);
	/* A way that leads nowhere any more. */
	words[5] = 8;
	assert_int_equal(match(&heap, words, 6, &fingerprint), FINGERPRINT_OTHER);
	assert_int_equal(match(&heap, words, 5, &fingerprint), FINGERPRINT_OTHER);
	world_deinit(&heap.world);
}

/* Circles end, and lengths that strings claim are not trusted. */
static void test_hostile(void **state)
{
	struct heap heap;
	struct fingerprint fingerprint;
	uint64_t circle, text, words[64];

	(void)state;
	heap_init(&heap);
	circle = thing_put(&heap, 1, OTHER);
	text = thing_put(&heap, 1, STR);
	for (int i = 2; i < 16; i++)
		memory_fake_put_u64(&heap.world.fake, circle + 8 * i, circle);
	memory_fake_put_u64(&heap.world.fake, text + 16, ~0ull);
	memory_fake_put_u64(&heap.world.fake, text + 32, ~0ull);
	for (int i = 0; i < 64; i++)
		words[i] = circle;
	fingerprint = taken(&heap, words, 64, 0);
	assert_int_equal(fingerprint.count, 0);
	words[0] = text;
	fingerprint = taken(&heap, words, 1, 0);
	assert_int_equal(fingerprint.count, 1);
	assert_int_equal(match(&heap, words, 1, &fingerprint), FINGERPRINT_SAME);
	world_deinit(&heap.world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_no_marks),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
