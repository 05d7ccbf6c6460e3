/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which words of an object's block may refer to something. Some only look like it: what numbers and
 * bytes hold, also those of classes derived from int and bytes, and items that are no words
 * (re.Pattern's code). Behind an object is what was in the block before. By Include/cpython and
 * Objects/ of 3.6 to 3.15.
 */
#ifndef TMBPF_PYTHON_HEAP_EXTENT_H
#define TMBPF_PYTHON_HEAP_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "python/heap/types.h"

struct python;

#define PYTHON_EXTENT_LEAVES 3

struct python_extent_reader {
	const struct python *python;               /* borrowed */
	uint64_t leaf_types[PYTHON_EXTENT_LEAVES]; /* whose instances lead nowhere; 0: not known */
	uint64_t code_type, tuple_type;            /* likewise */
};

/* Bytes from the block's start: words from 0 to HOLE and from HOLE_END to END. */
struct python_extent {
	uint64_t hole, hole_end, end;
	uint64_t most; /* where END is not known for certain, as far as they may go; else END */
};

void python_extent_reader_init(struct python_extent_reader *reader, const struct python *python);

/* Of OBJECT, of TYPE, in a block of SIZE bytes, of which ROOM are in BLOCK. */
void python_extent_find(const struct python_extent_reader *reader, const struct python_type *type,
			const struct python_object *object, const uint8_t *block, uint32_t room,
			uint64_t size, struct python_extent *ret);

#endif
