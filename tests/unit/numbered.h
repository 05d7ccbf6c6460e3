/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Things on the heap that are found by a number, which each has as its first member. */
#ifndef TMBPF_TESTS_NUMBERED_H
#define TMBPF_TESTS_NUMBERED_H

#include <stdlib.h>

#include "base/array.h"
#include "base/lookup.h"
#include "support.h"

struct numbered {
	uint64_t number;
	uint32_t position;
};

struct numbered_table { /* all zero is an empty one */
	struct numbered **list;
	size_t count, capacity;
	struct lookup lookup;
};

static inline bool numbered_equal(const void *context, uint32_t position, const void *key)
{
	const struct numbered_table *table = context;

	return table->list[position]->number == *(const uint64_t *)key;
}

/* NULL if there is none. */
static inline void *numbered_find(const struct numbered_table *table, uint64_t number)
{
	uint32_t found = lookup_find(&table->lookup, lookup_hash_number(0, number), numbered_equal,
				     table, &number);

	return found == LOOKUP_NONE ? NULL : table->list[found];
}

/* Adds a zeroed thing of SIZE bytes. */
static inline void *numbered_add(struct numbered_table *table, uint64_t number, size_t size)
{
	struct numbered *added = calloc(1, size);

	assert_non_null(added);
	added->number = number;
	added->position = (uint32_t)table->count;
	support_ok(array_reserve(&table->list, &table->capacity, table->count, 1, sizeof(added)));
	support_ok(lookup_add(&table->lookup, lookup_hash_number(0, number), added->position));
	table->list[table->count++] = added;
	return added;
}

/* Frees the thing that has NUMBER. */
static inline void numbered_remove(struct numbered_table *table, uint64_t number)
{
	struct numbered *gone = numbered_find(table, number);
	struct numbered *last = table->list[--table->count];

	lookup_remove(&table->lookup, lookup_hash_number(0, number), gone->position);
	if (last != gone) {
		lookup_move(&table->lookup, lookup_hash_number(0, last->number), last->position,
			    gone->position);
		last->position = gone->position;
		table->list[last->position] = last;
	}
	free(gone);
}

/* Frees all; the table is an empty one then. */
static inline void numbered_clear(struct numbered_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->list[i]);
	free(table->list);
	lookup_deinit(&table->lookup);
	*table = (struct numbered_table){0};
}

#endif
