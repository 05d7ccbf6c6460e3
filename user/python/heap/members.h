/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What words of a process are looked for at: the objects, or the blocks that are none, which others
 * may refer to.
 */
#ifndef TMBPF_PYTHON_HEAP_MEMBERS_H
#define TMBPF_PYTHON_HEAP_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "python/heap/marks.h"
#include "python/heap/space.h"

struct error;

/* What words lead to: an object's address, or anywhere in a block that is none. */
struct python_member {
	uint64_t start, end;
	uint32_t group;
	uint64_t word; /* of a block that is none: where it refers to the group; else 0 */
};

/* All zero is none. */
struct python_members {
	struct python_member *list;
	size_t count, capacity;
	uint64_t others_start, others_end; /* those that are in no arena lie between these */
	struct python_marks marks;         /* of those that are, each granule */
};

void python_members_deinit(struct python_members *members);
struct error *python_members_add(struct python_members *members,
				 const struct python_member *member);
/* Makes what was added fit to be looked for; to be called before the first look. */
struct error *python_members_settle(struct python_members *members,
				    const struct python_space *space);

/* Granules of an arena of SPACE. */
static inline uint32_t python_granules_per_arena(const struct python_space *space)
{
	return 1u << (space->arena_bits - space->granule_bits);
}

/* Marks the granules from START to END, as far as they are in the arena that START is in. */
struct error *python_granules_mark(const struct python_space *space, struct python_marks *marks,
				   uint64_t start, uint64_t end);

/* Is the granule marked that ADDRESS lies in? */
static inline bool python_granule_marked(const struct python_space *space,
					 const struct python_marks *marks, uint64_t address)
{
	uint32_t arena = python_space_arena(space, address);

	return arena != PYTHON_NO_ARENA &&
	       python_marks_has(marks, arena,
				(uint32_t)((address - space->arenas[arena]) >>
					   space->granule_bits));
}

/* The member that WORD leads to, or NULL. Here, because it is asked of each word of a heap. */
static inline const struct python_member *python_members_find(const struct python_members *members,
							      const struct python_space *space,
							      uint64_t word)
{
	size_t low = 0, high = members->count;

	if ((word < members->others_start || word >= members->others_end) &&
	    !python_granule_marked(space, &members->marks, word))
		return NULL;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (members->list[middle].end <= word)
			low = middle + 1;
		else
			high = middle;
	}
	return low < members->count && members->list[low].start <= word ? &members->list[low]
									: NULL;
}

#endif
