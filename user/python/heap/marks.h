/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A label for each of many blocks of a heap, in little memory: a bit for each granule says which
 * blocks have one, and how many of them come before tells where it stands.
 */
#ifndef TMBPF_PYTHON_HEAP_MARKS_H
#define TMBPF_PYTHON_HEAP_MARKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct python_marks_arena {
	uint64_t *bits;
	uint32_t *before; /* bits set in the words before each */
	uint16_t *labels; /* NULL until they are counted */
	uint32_t count;
};

struct python_marks {
	struct python_marks_arena *arenas;
	uint32_t arena_count;
	uint32_t granules; /* of an arena */
};

struct error *python_marks_init(struct python_marks *marks, uint32_t arenas, uint32_t granules);
void python_marks_deinit(struct python_marks *marks);

/* Marks the block that starts at GRANULE of ARENA. Before python_marks_count() only. */
struct error *python_marks_set(struct python_marks *marks, uint32_t arena, uint32_t granule);

/* Whether it was marked. */
static inline bool python_marks_has(const struct python_marks *marks, uint32_t arena,
				    uint32_t granule)
{
	const uint64_t *bits = marks->arenas[arena].bits;

	return bits && bits[granule / 64] >> granule % 64 & 1;
}

/* Makes room for the labels of all that are marked: 0 each. */
struct error *python_marks_count(struct python_marks *marks);

/* The label of the block that starts at GRANULE of ARENA; NULL if it is not marked. */
static inline uint16_t *python_marks_label(const struct python_marks *marks, uint32_t arena,
					   uint32_t granule)
{
	const struct python_marks_arena *marked = &marks->arenas[arena];
	uint32_t word = granule / 64;

	if (!marked->labels || !(marked->bits[word] >> granule % 64 & 1))
		return NULL;
	return &marked->labels[marked->before[word] +
			       (uint32_t)__builtin_popcountll(marked->bits[word] &
							      ((1ULL << granule % 64) - 1))];
}

#endif
