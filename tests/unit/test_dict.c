// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Dicts of a target, whole and forged. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "python/heap/arenas.h"
#include "python/heap/space.h"
#include "python/heap/types.h"
#include "python_fake.h"

#define TYPE_TYPE    0x500000
#define UNICODE_TYPE 0x500100
#define DICT_TYPE    0x500200
#define DICT         0x600000
#define STRINGS      0x610000 /* one each 0x100 */
#define OUTSIDE      0x700000 /* keys that malloc has */
#define OUTSIDE_SIZE 0x40000
#define ARENA        0x7f0000000000
#define POOL         16384
#define ATTRIBUTES   5 /* of the dict; the last one is __module__ */

static const uint32_t versions[] = {0x030600f0, 0x030a00f0, 0x030b00f0, 0x030d00f0, 0x030f00f0};

static struct image_symbol symbols[] = {
	{.name = "PyType_Type", .address = TYPE_TYPE, .global = true},
	{.name = "PyUnicode_Type", .address = UNICODE_TYPE, .global = true},
	{.name = "PyDict_Type", .address = DICT_TYPE, .global = true},
};

/* A target with a dict, whose keys are at KEYS. */
struct target {
	struct world world;
	struct python_arena arena;
	struct python_arenas heap;
	struct python_heaps heaps;
	struct python_space *space;
	struct python_types *types;
	uint64_t keys;
	unsigned int reads,
		change_at; /* the read behind which the keys are no keys any more; 0: none */
	struct error *(*read)(struct memory *memory, uint64_t address, void *ret, size_t size);
};

static struct target *reading;

/* The keys are freed, and something else has their memory. */
static struct error *changing_read(struct memory *memory, uint64_t address, void *ret, size_t size)
{
	struct error *error = reading->read(memory, address, ret, size);

	if (++reading->reads == reading->change_at)
		for (unsigned int i = 0; i < 8; i++)
			memory_fake_put_u64(&reading->world.fake, reading->keys + 8 * i,
					    0x7f0000612340);
	return error;
}

static uint64_t string_put(struct target *target, unsigned int number, const char *text)
{
	const struct python_layout *layout = &target->world.python.layout;
	struct memory_fake *fake = &target->world.fake;
	uint64_t address = STRINGS + number * 0x100;
	uint32_t state = 1u << layout->unicode.kind_shift | 1u << layout->unicode.compact_shift |
			 1u << layout->unicode.ascii_shift;

	if (layout->unicode.ready_shift != PYTHON_NO_OFFSET)
		state |= 1u << layout->unicode.ready_shift;
	memory_fake_put_u64(fake, address + 8, UNICODE_TYPE);
	memory_fake_put_u64(fake, address + layout->unicode.length, strlen(text));
	memory_fake_put_u32(fake, address + layout->unicode.state, state);
	memory_fake_put(fake, address + layout->unicode.ascii_data, text, strlen(text));
	return address;
}

static bool is_old(const struct target *target)
{
	return target->world.python.layout.dict.keys_size != PYTHON_NO_OFFSET;
}

static void byte_put(struct target *target, uint32_t offset, uint8_t value)
{
	memory_fake_put(&target->world.fake, target->keys + offset, &value, 1);
}

static void count_put(struct target *target, uint64_t count)
{
	memory_fake_put_u64(&target->world.fake,
			    target->keys + target->world.python.layout.dict.keys_nentries, count);
}

/* Keys for eight, with ATTRIBUTES in them, at ADDRESS; KIND from 3.11 on. */
static void keys_put(struct target *target, uint64_t address, unsigned int kind)
{
	static const char *const names[ATTRIBUTES] = {"a", "module", "__module_", "long_name",
						      "__module__"};
	const struct python_layout *layout = &target->world.python.layout;
	struct memory_fake *fake = &target->world.fake;
	bool general = is_old(target) || kind == 0;
	uint64_t entry = address + layout->dict.keys_indices + 8;

	target->keys = address;
	memory_fake_put_u64(fake, DICT + 8, DICT_TYPE);
	memory_fake_put_u64(fake, DICT + layout->dict.keys, address);
	if (is_old(target)) {
		memory_fake_put_u64(fake, address + layout->dict.keys_size, 8);
	} else {
		byte_put(target, layout->dict.keys_log2_size, 3);
		byte_put(target, layout->dict.keys_log2_index_bytes, 3);
		byte_put(target, layout->dict.keys_kind, (uint8_t)kind);
	}
	count_put(target, ATTRIBUTES);
	for (unsigned int i = 0; i < ATTRIBUTES; i++) {
		if (general)
			memory_fake_put_u64(fake, entry, 0x1234567);
		entry += general ? 8 : 0;
		memory_fake_put_u64(fake, entry, string_put(target, i, names[i]));
		memory_fake_put_u64(fake, entry + 8,
				    i + 1 < ATTRIBUTES ? 0 : string_put(target, i + 1, "shop"));
		entry += 16;
	}
}

static void target_init(struct target *target, uint32_t version)
{
	*target = (struct target){0};
	world_init(&target->world, version);
	target->world.image.symbols = symbols;
	target->world.image.symbol_count = array_size(symbols);
	target->world.python.heap =
		(struct python_heap){.alignment = 16, .pool_size = POOL, .arena_bits = 20};
	memory_fake_add(&target->world.fake, DICT, 0x1000);
	memory_fake_add(&target->world.fake, STRINGS, 0x1000);
	memory_fake_add(&target->world.fake, OUTSIDE, OUTSIDE_SIZE);
	memory_fake_add(&target->world.fake, ARENA, 2 * POOL);
	target->arena = (struct python_arena){.address = ARENA, .pool_address = ARENA + 2 * POOL};
	target->heap = (struct python_arenas){.list = &target->arena, .count = 1};
	target->heaps = (struct python_heaps){&target->heap, 1};
	support_ok(python_space_create(&target->world.python, &target->heaps, &target->space));
	support_ok(python_types_create(&target->world.python, target->space, &target->types));
}

static void target_deinit(struct target *target)
{
	python_types_destroy(target->types);
	python_space_destroy(target->space);
	world_deinit(&target->world);
}

/* What the dict says of its module; NULL: nothing. */
static char *module(struct target *target)
{
	char *text;

	support_ok(python_dict_string(target->types, DICT, "__module__", &text));
	return text;
}

static void expect_shop(struct target *target)
{
	cleanup_free char *text = module(target);

	assert_non_null(text);
	assert_string_equal(text, "shop");
}

static void expect_nothing(struct target *target)
{
	cleanup_free char *text = module(target);

	assert_null(text);
}

static void test_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(versions); i++) {
		struct target target;

		target_init(&target, versions[i]);
		for (unsigned int kind = 0; kind < (is_old(&target) ? 1 : 3); kind++) {
			keys_put(&target, OUTSIDE, kind);
			expect_shop(&target);
			keys_put(&target, ARENA + PYTHON_POOL_OVERHEAD, kind);
			expect_shop(&target);
		}
		target_deinit(&target);
	}
}

/* A dict of another size than eight, with its module first. */
static void test_sizes(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(versions); i++) {
		struct target target;

		target_init(&target, versions[i]);
		for (unsigned int bits = 3; bits <= 13; bits++) {
			const struct python_layout *layout = &target.world.python.layout;
			uint64_t usable = (2ULL << bits) / 3, entries = OUTSIDE;
			unsigned int bytes = bits + (bits >= 8);

			keys_put(&target, OUTSIDE, 1);
			if (is_old(&target)) {
				memory_fake_put_u64(&target.world.fake,
						    OUTSIDE + layout->dict.keys_size, 1ULL << bits);
			} else {
				byte_put(&target, layout->dict.keys_log2_size, (uint8_t)bits);
				byte_put(&target, layout->dict.keys_log2_index_bytes,
					 (uint8_t)bytes);
			}
			count_put(&target, usable);
			entries += layout->dict.keys_indices + (1ULL << bytes);
			entries += is_old(&target) ? 8 : 0;
			memory_fake_put_u64(&target.world.fake, entries,
					    string_put(&target, 0, "__module__"));
			memory_fake_put_u64(&target.world.fake, entries + 8,
					    string_put(&target, 1, "shop"));
			expect_shop(&target);
			count_put(&target, usable + 1);
			expect_nothing(&target);
		}
		target_deinit(&target);
	}
}

/* Heads of keys that no keys have, alone and with a count that none have. */
static void forged_check(struct target *target, uint64_t address)
{
	static const uint64_t counts[] = {6, 64, 4096, 1ULL << 32, 1ULL << 62, 1ULL << 63, ~0ULL};
	static const struct {
		uint8_t log2_size, log2_bytes, kind;
	} heads[] = {
		{3, 4, 1},   {3, 24, 1},  {3, 25, 1},  {3, 63, 1},  {3, 64, 1},
		{3, 255, 1}, {40, 43, 0}, {41, 44, 1}, {255, 3, 1}, {255, 255, 255},
		{3, 3, 3},   {3, 3, 255}, {0, 3, 1},   {0, 0, 1},   {24, 26, 1},
	};
	static const uint64_t sizes[] = {0, 5, 1ULL << 40, 1ULL << 41, 1ULL << 63, ~0ULL};
	const struct python_layout *layout = &target->world.python.layout;
	size_t bad = is_old(target) ? array_size(sizes) : array_size(heads);

	for (size_t i = 0; i < array_size(counts); i++) {
		keys_put(target, address, 1);
		count_put(target, counts[i]);
		expect_nothing(target);
	}
	for (size_t i = 0; i < bad * array_size(counts) * 2; i++) {
		size_t head = i / 2 / array_size(counts);

		keys_put(target, address, 1);
		if (is_old(target)) {
			memory_fake_put_u64(&target->world.fake, address + layout->dict.keys_size,
					    sizes[head]);
		} else {
			byte_put(target, layout->dict.keys_log2_size, heads[head].log2_size);
			byte_put(target, layout->dict.keys_log2_index_bytes,
				 heads[head].log2_bytes);
			byte_put(target, layout->dict.keys_kind, heads[head].kind);
		}
		if (i % 2)
			count_put(target, counts[i / 2 % array_size(counts)]);
		expect_nothing(target);
	}
}

static void test_forged(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(versions); i++) {
		struct target target;

		target_init(&target, versions[i]);
		forged_check(&target, OUTSIDE);
		forged_check(&target, ARENA + PYTHON_POOL_OVERHEAD);
		target_deinit(&target);
	}
}

/* What is said to lie in a pool has to end in it, behind its head. */
static void test_pools(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(versions); i++) {
		struct target target;

		target_init(&target, versions[i]);
		keys_put(&target, ARENA + POOL - 256, 1);
		expect_shop(&target);
		keys_put(&target, ARENA + POOL - 64, 1);
		expect_nothing(&target);
		keys_put(&target, ARENA + POOL, 1);
		expect_nothing(&target);
		target_deinit(&target);
	}
}

/*
 * Whatever is read after the first read of a dict's keys, they are what they were then, or nothing.
 */
static void test_changing(void **state)
{
	(void)state;
	for (size_t i = 0; i < array_size(versions); i++) {
		struct target target;

		target_init(&target, versions[i]);
		target.read = target.world.fake.process.memory.read;
		target.world.fake.process.memory.read = changing_read;
		reading = &target;
		for (target.change_at = 1; target.change_at < 6; target.change_at++) {
			cleanup_free char *text = NULL;

			keys_put(&target, OUTSIDE, 1);
			target.reads = 0;
			text = module(&target);
			assert_true(!text || strcmp(text, "shop") == 0);
		}
		target_deinit(&target);
	}
}

/* No dict, no keys, keys that are not there, entries that are not. */
static void test_unreadable(void **state)
{
	struct target target;
	uint64_t edge = OUTSIDE + OUTSIDE_SIZE;
	char *text;

	(void)state;
	target_init(&target, 0x030d00f0);
	keys_put(&target, OUTSIDE, 1);
	memory_fake_put_u64(&target.world.fake, DICT + 8, UNICODE_TYPE);
	expect_nothing(&target);
	keys_put(&target, OUTSIDE, 1);
	for (size_t i = 0; i < 3; i++) {
		const uint64_t nowhere[] = {0, 0x7f1234567890, OUTSIDE + 1};

		memory_fake_put_u64(&target.world.fake, DICT + 32, nowhere[i]);
		expect_nothing(&target);
	}
	for (uint64_t left = 8; left < 64; left += 8) {
		memory_fake_put_u64(&target.world.fake, DICT + 32, edge - left);
		target.keys = edge - left;
		byte_put(&target, 0, 1);
		if (left >= 32) {
			byte_put(&target, 8, 3);
			byte_put(&target, 9, 3);
			byte_put(&target, 10, 1);
			count_put(&target, 5);
		}
		expect_nothing(&target);
	}
	support_ok(python_dict_string(target.types, 0x7f1234567890, "__module__", &text));
	assert_null(text);
	target_deinit(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),    cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_forged),   cmocka_unit_test(test_pools),
		cmocka_unit_test(test_changing), cmocka_unit_test(test_unreadable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
