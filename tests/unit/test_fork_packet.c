// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What one session sends to another comes out as it went in; what is inconsistent is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "trace/fork/fork_packet.h"

static char text[] = "a.py\0fill\0b.py";

static void fork_packet_make(struct fork_packet *ret)
{
	static struct fork_packet_block pools[] = {
		{0x1000, 32, 0}, {0x1020, 16, 1}, {0x1030, 512, 0}};
	static struct fork_packet_block raw[] = {{0x900000, FORK_PACKET_SIZE_MAX, 1}};
	static struct fork_packet_frame frames[] = {{0, 5, 3, 1}, {10, 5, 7, 0}, {0, 9, 4, 1}};
	static struct fork_packet_stack stacks[] = {{0, 2, 9}, {2, 1, 1}};

	*ret = (struct fork_packet){.pools = pools,
				    .raw = raw,
				    .stacks = stacks,
				    .frames = frames,
				    .text = text,
				    .pool_count = 3,
				    .raw_count = 1,
				    .stack_count = 2,
				    .frame_count = 3,
				    .text_size = sizeof(text)};
}

static void *copy_of(const void *data, size_t size)
{
	void *copy = size ? malloc(size) : NULL;

	if (copy)
		memcpy(copy, data, size);
	return copy;
}

/* Packs a copy, as packing empties what it is given. */
static uint8_t *pack(const struct fork_packet *made, size_t *ret_size)
{
	struct fork_packet copy = *made;
	void *packed;

	copy.pools = copy_of(made->pools, made->pool_count * sizeof(*made->pools));
	copy.raw = copy_of(made->raw, made->raw_count * sizeof(*made->raw));
	copy.stacks = copy_of(made->stacks, made->stack_count * sizeof(*made->stacks));
	copy.frames = copy_of(made->frames, made->frame_count * sizeof(*made->frames));
	copy.text = copy_of(made->text, made->text_size);
	assert_null(fork_packet_pack(&copy, &packed, ret_size));
	assert_null(copy.pools);
	assert_int_equal(copy.pool_count, 0);
	return packed;
}

static void test_round_trip(void **state)
{
	struct fork_packet made, found = {0};
	size_t size;
	uint8_t *packed;

	(void)state;
	fork_packet_make(&made);
	packed = pack(&made, &size);
	assert_null(fork_packet_unpack(packed, size, &found));
	assert_int_equal(found.pool_count, 3);
	assert_memory_equal(found.pools, made.pools, 3 * sizeof(*made.pools));
	assert_int_equal(found.raw_count, 1);
	assert_int_equal(found.raw[0].size, FORK_PACKET_SIZE_MAX);
	assert_int_equal(found.stack_count, 2);
	assert_memory_equal(found.stacks, made.stacks, 2 * sizeof(*made.stacks));
	assert_memory_equal(found.frames, made.frames, 3 * sizeof(*made.frames));
	assert_string_equal(found.text + found.frames[1].filename, "b.py");
	fork_packet_deinit(&found);
}

static void test_nothing(void **state)
{
	struct fork_packet made = {0}, found = {0};
	size_t size;
	uint8_t *packed = pack(&made, &size);

	(void)state;
	assert_null(fork_packet_unpack(packed, size, &found));
	assert_int_equal(found.pool_count + found.raw_count + found.stack_count, 0);
	fork_packet_deinit(&found);
}

static void refused(uint8_t *packed, size_t size)
{
	struct fork_packet found = {0};
	struct error *error = fork_packet_unpack(packed, size, &found);

	assert_non_null(error);
	error_destroy(error);
	assert_null(found.pools);
}

static void test_cut_anywhere(void **state)
{
	struct fork_packet made;
	size_t size, cut;

	(void)state;
	fork_packet_make(&made);
	free(pack(&made, &size));
	for (cut = 0; cut < size; cut++)
		refused(pack(&made, &size), cut);
}

/* One field is wrong at a time. */
static void test_damaged(void **state)
{
	struct fork_packet_block blocks[3];
	struct fork_packet_frame frames[3];
	struct fork_packet_stack stacks[2];
	struct fork_packet made;
	uint8_t *packed;
	size_t size;

	(void)state;
	for (int i = 0; i < 8; i++) {
		fork_packet_make(&made);
		memcpy(blocks, made.pools, sizeof(blocks));
		memcpy(frames, made.frames, sizeof(frames));
		memcpy(stacks, made.stacks, sizeof(stacks));
		made.pools = blocks;
		made.frames = frames;
		made.stacks = stacks;
		switch (i) {
		case 0: /* a stack that is not there */
			blocks[1].stack = 2;
			break;
		case 1: /* no order */
			blocks[2].address = blocks[0].address;
			break;
		case 2:
			frames[2].filename = sizeof(text);
			break;
		case 3:
			frames[0].name = UINT32_MAX;
			break;
		case 4:
			stacks[1].nframe = 2;
			break;
		case 5:
			stacks[0].first = UINT64_MAX;
			break;
		case 6: /* a string without an end */
			made.text_size--;
			break;
		case 7:
			stacks[1].nframe = 0;
			break;
		}
		packed = pack(&made, &size);
		refused(packed, size);
	}
}

static void test_counts_beyond(void **state)
{
	struct fork_packet made;
	size_t size;

	(void)state;
	for (size_t at = 0; at < 5; at++) {
		const uint64_t much = UINT64_MAX / 16 + 1;
		uint8_t *packed;

		fork_packet_make(&made);
		packed = pack(&made, &size);
		memcpy(packed + size - (5 - at) * sizeof(much), &much, sizeof(much));
		refused(packed, size);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_cut_anywhere),  cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_counts_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
