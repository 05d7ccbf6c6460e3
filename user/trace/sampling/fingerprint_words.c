// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hashes some words of a block, to tell later whether they are the same. */
#include "trace/sampling/fingerprint_words.h"

#include <stddef.h>
#include <string.h>

#include "base/lookup.h"

/* Words that are looked at. */
#define WORDS 16
/* Lower numbers are counts, sizes and flags, which many blocks share. */
#define NUMBER_LEAST 65536
/*
 * Seven of the eight bytes that debug hooks put before a block: FORBIDDENBYTE, and up to 3.7.3
 * 0xfb.
 */
#define DEBUG_BYTES     0xfdfdfdfdfdfdfd00ull
#define DEBUG_BYTES_OLD 0xfbfbfbfbfbfbfb00ull
#define DEBUG_MASK      0xffffffffffffff00ull

static uint64_t word_at(const uint8_t *memory, uint32_t i)
{
	uint64_t word;

	memcpy(&word, memory + (size_t)i * sizeof(word), sizeof(word));
	return word;
}

static uint16_t word_hash(uint64_t word)
{
	return (uint16_t)(lookup_hash_number(0, word) >> 16);
}

static bool word_tells(uint64_t word, const struct fingerprint_common *common)
{
	if (word < NUMBER_LEAST || word > UINT64_MAX - NUMBER_LEAST)
		return false;
	if (word >= common->start && word < common->end)
		return false;
	return (word & DEBUG_MASK) != DEBUG_BYTES && (word & DEBUG_MASK) != DEBUG_BYTES_OLD;
}

void fingerprint_words_make(const uint8_t *memory, uint32_t size, uint32_t from,
			    const struct fingerprint_common *common, struct fingerprint_words *ret)
{
	uint32_t words = size / sizeof(uint64_t);

	*ret = (struct fingerprint_words){0};
	if (words > from / sizeof(uint64_t) + WORDS)
		words = from / sizeof(uint64_t) + WORDS;
	for (uint32_t i = from / sizeof(uint64_t); i < words && i <= UINT8_MAX; i++) {
		uint64_t word = word_at(memory, i);

		if (!word_tells(word, common))
			continue;
		ret->hash[ret->count] = word_hash(word);
		ret->word[ret->count++] = (uint8_t)i;
		if (ret->count == FINGERPRINT_WORDS_MAX)
			return;
	}
}

bool fingerprint_words_kept(const struct fingerprint_words *words, const uint8_t *memory,
			    uint32_t size)
{
	uint32_t count = size / sizeof(uint64_t);
	unsigned kept = 0;

	for (unsigned i = 0; i < words->count; i++)
		kept += words->word[i] < count &&
			word_hash(word_at(memory, words->word[i])) == words->hash[i];
	return !words->count || 2 * kept > words->count;
}
