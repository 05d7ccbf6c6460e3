// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A table of tracebacks by index. */
#include "trace/symbols/tracebacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

struct lines { /* the first traceback of each line */
	const struct tracebacks *tracebacks;
	struct lookup lookup;
};

static void lines_deinit(struct lines *lines)
{
	lookup_deinit(&lines->lookup);
}

static bool line_equal(const void *context, uint32_t position, const void *key)
{
	const struct lines *lines = context;
	struct symbols_line line = symbols_traceback_line(lines->tracebacks->list[position]);

	return memcmp(&line, key, sizeof(line)) == 0;
}

struct error *tracebacks_lines(const struct tracebacks *tracebacks, uint32_t **ret)
{
	cleanup(lines_deinit) struct lines lines = {.tracebacks = tracebacks};
	cleanup_free uint32_t *first = calloc(tracebacks->count + 1, sizeof(*first));

	if (!first)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	for (size_t i = 0; i < tracebacks->count; i++) {
		struct symbols_line line = symbols_traceback_line(tracebacks->list[i]);
		uint64_t hash = lookup_hash(0, &line, sizeof(line));
		uint32_t found = lookup_find(&lines.lookup, hash, line_equal, &lines, &line);

		if (found == LOOKUP_NONE) {
			found = (uint32_t)i;
			try(lookup_add(&lines.lookup, hash, found));
		}
		first[i] = found;
	}
	*ret = take(first);
	return NULL;
}

struct error *tracebacks_keep(struct tracebacks *tracebacks, uint32_t *map)
{
	struct lookup lookup = {0};
	uint32_t kept = 0;

	for (size_t i = 0; i < tracebacks->count; i++) {
		struct error *error;

		if (!map[i])
			continue;
		error = lookup_add(&lookup, lookup_hash_number(0, (uintptr_t)tracebacks->list[i]),
				   kept++);
		if (error) {
			lookup_deinit(&lookup);
			return error;
		}
	}
	kept = 0;
	for (size_t i = 0; i < tracebacks->count; i++) {
		if (!map[i]) {
			symbols_release(tracebacks->symbols, tracebacks->list[i]);
			continue;
		}
		map[i] = kept;
		tracebacks->list[kept++] = tracebacks->list[i];
	}
	lookup_deinit(&tracebacks->lookup);
	tracebacks->lookup = lookup;
	tracebacks->count = kept;
	return NULL;
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
