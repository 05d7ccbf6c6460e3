// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Remembers lines of source files. */
#include "target/source/source_memo.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include <string.h>

/* Of lines, a few hundred bytes each at most but for their names. Then it starts anew. */
#define MEMO_MAX 65536

struct source_memo_line {
	char *name;
	char *line; /* NULL: there is none */
	uint32_t lineno;
};

struct key {
	const char *name;
	uint32_t lineno;
};

static uint64_t hash_of(const char *name, uint32_t lineno)
{
	return lookup_hash_number(lookup_hash(0, name, strlen(name)), lineno);
}

static bool line_equal(const void *context, uint32_t position, const void *key_pointer)
{
	const struct source_memo *memo = context;
	const struct source_memo_line *line = &memo->lines[position];
	const struct key *key = key_pointer;

	return line->lineno == key->lineno && strcmp(line->name, key->name) == 0;
}

bool source_memo_find(const struct source_memo *memo, const char *name, uint32_t lineno,
		      const char **ret)
{
	const struct key key = {name, lineno};
	uint32_t position =
		lookup_find(&memo->lookup, hash_of(name, lineno), line_equal, memo, &key);

	if (position == LOOKUP_NONE)
		return false;
	*ret = memo->lines[position].line;
	return true;
}

void source_memo_add(struct source_memo *memo, const char *name, uint32_t lineno, const char *line)
{
	cleanup_free char *name_copy = strdup(name);
	cleanup_free char *line_copy = line ? strdup(line) : NULL;
	struct error *error;

	if (!name_copy || (line && !line_copy))
		return;
	if (memo->count == MEMO_MAX)
		source_memo_deinit(memo);
	error = array_reserve(&memo->lines, &memo->capacity, memo->count, 1, sizeof(*memo->lines));
	if (!error)
		error = lookup_add(&memo->lookup, hash_of(name, lineno), (uint32_t)memo->count);
	if (error) {
		/* It is asked for again the next time. */
		error_destroy(error);
		return;
	}
	memo->lines[memo->count++] =
		(struct source_memo_line){take(name_copy), take(line_copy), lineno};
}

void source_memo_deinit(struct source_memo *memo)
{
	for (size_t i = 0; i < memo->count; i++) {
		free(memo->lines[i].name);
		free(memo->lines[i].line);
	}
	free(memo->lines);
	lookup_deinit(&memo->lookup);
	*memo = (struct source_memo){0};
}
