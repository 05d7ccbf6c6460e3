/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The word that says whether new objects are to be told of; see freelist.h. */
#ifndef TMBPF_PROBE_FIND_FREELIST_WORD_H
#define TMBPF_PROBE_FIND_FREELIST_WORD_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/code/listing.h"

struct image;

/* From this version on _Py_NewReference() tells tracemalloc. */
#define FREELIST_VERSION_FIRST 0x03080000

/* The word that is tested; all 0 where it is not known. */
struct freelist_word {
	uint64_t address;
	/*
	 * Or it lies DISTANCE bytes behind the address that this word of the GOT holds.
	 */
	uint64_t owner;
	int64_t distance;
};

/* Whether loads at the word's distance from a register are worth looking for. */
static inline bool freelist_word_displaced(const struct freelist_word *word)
{
	return word->owner && word->distance >= 0x80;
}

/* Says where an interpreter of VERSION has the word; RET all 0 where that is not known. */
void freelist_word_find(const struct image *image, uint32_t version, struct freelist_word *ret);

/*
 * The conditional jump that tests WORD, at the end of the straight line from ADDRESS on. OWNERS:
 * registers that hold the content of the word's owner there, a bit each. False if there is none.
 */
bool freelist_test_find(struct listing *listing, const struct freelist_word *word, uint64_t address,
			uint16_t owners, struct x86_instruction *ret);

#endif
