// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The tables of code objects and of rows. */
#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "trace/symbols/symbols_internal.h"

struct error *entries_add(struct entries *entries, struct entry *entry, uint64_t hash)
{
	if (entries->count >= LOOKUP_NONE)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot keep the stacks");
	try(array_reserve(&entries->list, &entries->capacity, entries->count, 1,
			  sizeof(*entries->list)));
	entry->hash = entries_hash(hash);
	entry->position = (uint32_t)entries->count;
	try(lookup_add(&entries->lookup, entry->hash, entry->position));
	entries->list[entries->count++] = entry;
	return NULL;
}

void entries_remove(struct entries *entries, struct entry *entry)
{
	struct entry *last = entries->list[--entries->count];

	lookup_remove(&entries->lookup, entry->hash, entry->position);
	if (last == entry)
		return;
	lookup_move(&entries->lookup, last->hash, last->position, entry->position);
	entries->list[entry->position] = last;
	last->position = entry->position;
}

void entries_deinit(struct entries *entries)
{
	lookup_deinit(&entries->lookup);
	free(entries->list);
	*entries = (struct entries){0};
}
