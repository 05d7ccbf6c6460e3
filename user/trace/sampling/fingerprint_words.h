/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a block looks like beside its type and size: some of its words, by which another block at
 * the same address is told from it. Pointers to what every program has (None, types) and small
 * numbers say nothing and are left out. Pure.
 */
#ifndef TMBPF_TRACE_SAMPLING_FINGERPRINT_WORDS_H
#define TMBPF_TRACE_SAMPLING_FINGERPRINT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#define FINGERPRINT_WORDS_MAX 7

struct fingerprint_words {
	uint16_t hash[FINGERPRINT_WORDS_MAX];
	uint8_t word[FINGERPRINT_WORDS_MAX]; /* positions */
	uint8_t count;
};

struct fingerprint_common { /* addresses that mean the same in every block: the interpreter's own data */
	uint64_t start, end;
};

/* Of the SIZE bytes of a block at MEMORY from byte FROM on, its first words. */
void fingerprint_words_make(const uint8_t *memory, uint32_t size, uint32_t from,
			    const struct fingerprint_common *common, struct fingerprint_words *ret);

/*
 * Whether more than half of the words are what they were; true where nothing was to be noted. Who
 * lives may change in part; who took a dead one's place is mostly different.
 */
bool fingerprint_words_kept(const struct fingerprint_words *words, const uint8_t *memory,
			    uint32_t size);

#endif
