// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/tracebacks.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"

static bool traceback_equal(const void *context, uint32_t position, const void *key)
{
	return ((const struct tracebacks *)context)->list[position] ==
	       *(struct symbols_traceback *const *)key;
}

static struct error *traceback_add(struct tracebacks *tracebacks,
				   struct symbols_traceback *traceback, uint64_t hash)
{
	try(array_reserve(&tracebacks->list, &tracebacks->capacity, tracebacks->count, 1,
			  sizeof(traceback)));
	try(lookup_add(&tracebacks->lookup, hash, (uint32_t)tracebacks->count));
	tracebacks->list[tracebacks->count++] = traceback;
	return NULL;
}

struct error *tracebacks_index(struct tracebacks *tracebacks, struct symbols_traceback *traceback,
			       uint32_t *ret)
{
	uint64_t hash = lookup_hash_number(0, (uintptr_t)traceback);
	uint32_t found =
		lookup_find(&tracebacks->lookup, hash, traceback_equal, tracebacks, &traceback);
	struct error *error;

	if (found != LOOKUP_NONE) {
		symbols_release(tracebacks->symbols, traceback);
		*ret = found;
		return NULL;
	}
	error = traceback_add(tracebacks, traceback, hash);
	if (error) {
		symbols_release(tracebacks->symbols, traceback);
		return error;
	}
	*ret = (uint32_t)tracebacks->count - 1;
	return NULL;
}

const struct symbols_traceback *tracebacks_get(const struct tracebacks *tracebacks, uint32_t index)
{
	return index < tracebacks->count ? tracebacks->list[index] : NULL;
}

void tracebacks_clear(struct tracebacks *tracebacks)
{
	for (size_t i = 0; i < tracebacks->count; i++)
		symbols_release(tracebacks->symbols, tracebacks->list[i]);
	tracebacks->count = 0;
	lookup_deinit(&tracebacks->lookup);
}

void tracebacks_deinit(struct tracebacks *tracebacks)
{
	tracebacks_clear(tracebacks);
	free(tracebacks->list);
}
