/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Objects that come back from free lists. No allocator is called then, but tracemalloc gives the
 * object's block its new owner: _Py_NewReference() (Objects/object.c; inlined from
 * Include/object.h in 3.8) tells it, if a word is not zero: _Py_tracemalloc_config.tracing (3.8 to
 * 3.11), _PyRuntime.tracemalloc.config.tracing (3.12), _PyRuntime.ref_tracer.tracer_func (3.13 on).
 *
 * A site stands where an object has just been taken from its list, on the way to that test or to a
 * call of _Py_NewReference(), and where nothing else can come by: compilers often let new objects
 * go through the same test.
 */
#ifndef TMBPF_PROBE_FIND_FREELIST_H
#define TMBPF_PROBE_FIND_FREELIST_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/code/listing.h"

struct builder;
struct error;

/* Since then does _Py_NewReference() tell tracemalloc. */
#define REUSE_VERSION_FIRST 0x03080000

/* The word that is tested; all 0 where it is not known. */
struct freelist_word {
	uint64_t address;
	/* Or it is reached through this word of the GOT, DISTANCE behind what that one points to. */
	uint64_t owner;
	int64_t distance;
};

/* Whether loads at the word's distance from a register are worth looking for. */
static inline bool freelist_word_displaced(const struct freelist_word *word)
{
	return word->owner && word->distance >= 0x80;
}

/* Says where an interpreter of VERSION has the word; before the sweep, which is to watch for it. */
void freelist_word_find(struct builder *builder);

/*
 * The conditional jump that tests WORD, at the end of the straight line from ADDRESS on. OWNERS:
 * registers that hold the content of the word's owner there, a bit each. False if there is none.
 */
bool reuse_test_find(struct listing *listing, const struct freelist_word *word, uint64_t address,
		     uint16_t owners, struct x86_instruction *ret);

/* Adds the sites. They come last: other kinds have the first choice of instructions. */
struct error *freelist_sites(struct builder *builder);

#endif
