/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Some words of a block, which tell it from another block of the same type and size at its address.
 * Pointers to what every program has (None, types) and small numbers tell nothing, and are left
 * out. Pure.
 */
#ifndef TMBPF_TRACE_SAMPLING_FINGERPRINT_WORDS_H
#define TMBPF_TRACE_SAMPLING_FINGERPRINT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

#define FINGERPRINT_WORDS_MAX 7

struct fingerprint_words {
	uint16_t hash[FINGERPRINT_WORDS_MAX];
	uint8_t word[FINGERPRINT_WORDS_MAX]; /* their positions */
	uint8_t count;
};

/* addresses that mean the same in every block: those of the interpreter's own data */
struct fingerprint_common {
	uint64_t start, end;
};

/* Hashes the first telling words of a block: of its SIZE bytes at MEMORY, from byte FROM on. */
void fingerprint_words_make(const uint8_t *memory, uint32_t size, uint32_t from,
			    const struct fingerprint_common *common, struct fingerprint_words *ret);

/*
 * Whether more than half of the words are the same; true if there are none. A block that lives may
 * change in part. One that took a dead block's place differs in most words.
 */
bool fingerprint_words_kept(const struct fingerprint_words *words, const uint8_t *memory,
			    uint32_t size);

#endif
