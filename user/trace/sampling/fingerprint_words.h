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

#define TRAITS_MAX 7

struct traits {
	uint16_t hash[TRAITS_MAX];
	uint8_t word[TRAITS_MAX]; /* positions */
	uint8_t count;
};

struct traits_common { /* addresses that mean the same in every block: the interpreter's own data */
	uint64_t start, end;
};

/* Of the SIZE bytes of a block at MEMORY from byte FROM on, its first words. */
void traits_take(const uint8_t *memory, uint32_t size, uint32_t from,
		 const struct traits_common *common, struct traits *ret);

/*
 * Whether more than half of the words are what they were; true where nothing was to be noted. Who
 * lives may change in part; who took a dead one's place is mostly different.
 */
bool traits_kept(const struct traits *traits, const uint8_t *memory, uint32_t size);

#endif
