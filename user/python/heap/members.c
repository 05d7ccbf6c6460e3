// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Objects and blocks whose referrers are looked for: sorted, and marked in the heap. */
#include "python/heap/members.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"

void python_members_deinit(struct python_members *members)
{
	free(members->list);
	python_marks_deinit(&members->marks);
	*members = (struct python_members){0};
}

struct error *python_members_add(struct python_members *members, const struct python_member *member)
{
	try(array_reserve(&members->list, &members->capacity, members->count, 1,
			  sizeof(*members->list)));
	members->list[members->count++] = *member;
	return NULL;
}

static int compare_members(const void *left, const void *right)
{
	const struct python_member *a = left, *b = right;

	return (a->start > b->start) - (a->start < b->start);
}

struct error *python_granules_mark(const struct python_space *space, struct python_marks *marks,
				   uint64_t start, uint64_t end)
{
	uint32_t arena = python_space_arena(space, start);
	uint64_t first, last;

	if (arena == PYTHON_NO_ARENA || end <= start)
		return NULL;
	/* No block goes on behind its arena, whatever is said of its size. */
	first = (start - space->arenas[arena]) >> space->granule_bits;
	last = (end - 1 - space->arenas[arena]) >> space->granule_bits;
	for (uint64_t i = first; i <= last && i < python_granules_per_arena(space); i++)
		try(python_marks_set(marks, arena, (uint32_t)i));
	return NULL;
}

struct error *python_members_settle(struct python_members *members,
				    const struct python_space *space)
{
	if (members->count > 0)
		qsort(members->list, members->count, sizeof(*members->list), compare_members);
	try(python_marks_init(&members->marks, space->arena_count,
			      python_granules_per_arena(space)));
	members->others_start = UINT64_MAX;
	members->others_end = 0;
	for (size_t i = 0; i < members->count; i++) {
		const struct python_member *member = &members->list[i];

		if (python_space_arena(space, member->start) != PYTHON_NO_ARENA) {
			try(python_granules_mark(space, &members->marks, member->start,
						 member->end));
			continue;
		}
		if (member->start < members->others_start)
			members->others_start = member->start;
		if (member->end > members->others_end)
			members->others_end = member->end;
	}
	return NULL;
}
