// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Words of blocks: user/trace/sampling/fingerprint_words.c. */
#include "support.h"

#include <string.h>

#include "trace/sampling/fingerprint_words.h"

static const struct fingerprint_common common = {0x400000, 0x900000};

static struct fingerprint_words taken(const uint64_t *words, uint32_t count, uint32_t from)
{
	struct fingerprint_words kept;

	fingerprint_words_make((const uint8_t *)words, count * 8, from, &common, &kept);
	return kept;
}

/* Numbers, pointers that every program has, and what debug hooks write tell nothing. */
static void test_common_words(void **state)
{
	const uint64_t words[] = {0,
				  1,
				  65535,
				  UINT64_MAX,
				  0x400000,
				  0x8fffff,
				  0xfdfdfdfdfdfdfd6full,
				  0xfbfbfbfbfbfbfb6dull};
	struct fingerprint_words kept = taken(words, 8, 0);

	(void)state;
	assert_int_equal(kept.count, 0);
	assert_true(fingerprint_words_kept(&kept, (const uint8_t *)words, sizeof(words)));
}

static void test_changes(void **state)
{
	uint64_t words[] = {0x7f0000001000, 0x7f0000002000, 0x7f0000003000, 5, 0x7f0000004000};
	struct fingerprint_words kept = taken(words, 5, 0);

	(void)state;
	assert_int_equal(kept.count, 4);
	words[3] = 6;
	words[0] += 0x40;
	assert_true(fingerprint_words_kept(&kept, (const uint8_t *)words, sizeof(words)));
	/* Half of them: another block that has the same keys. */
	words[2] += 0x40;
	assert_false(fingerprint_words_kept(&kept, (const uint8_t *)words, sizeof(words)));
}

/* Words before FROM are not looked at, nor words far behind it. */
static void test_bounds(void **state)
{
	uint64_t words[64];
	struct fingerprint_words kept;

	(void)state;
	for (int i = 0; i < 64; i++)
		words[i] = 0x7f0000001000 + 64 * (uint64_t)i;
	kept = taken(words, 64, 16);
	assert_int_equal(kept.count, FINGERPRINT_WORDS_MAX);
	assert_int_equal(kept.word[0], 2);
	kept = taken(words, 1, 0);
	assert_int_equal(kept.count, 1);
	kept = taken(words, 2, 16);
	assert_int_equal(kept.count, 0);
	memset(words + 2, 0, 30 * 8);
	kept = taken(words, 64, 16);
	assert_int_equal(kept.count, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_common_words),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
