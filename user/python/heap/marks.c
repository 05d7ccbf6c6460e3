// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The bits and labels of marked blocks, arena by arena. */
#include "python/heap/marks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "labels of a heap's blocks");
}

static uint32_t words(const struct python_marks *marks)
{
	return (marks->granules + 63) / 64;
}

struct error *python_marks_init(struct python_marks *marks, uint32_t arenas, uint32_t granules)
{
	*marks = (struct python_marks){.arena_count = arenas, .granules = granules};
	marks->arenas = calloc((size_t)arenas + 1, sizeof(*marks->arenas));
	return marks->arenas ? NULL : no_memory();
}

void python_marks_deinit(struct python_marks *marks)
{
	for (uint32_t i = 0; marks->arenas && i < marks->arena_count; i++) {
		free(marks->arenas[i].bits);
		free(marks->arenas[i].before);
		free(marks->arenas[i].labels);
	}
	free(marks->arenas);
	*marks = (struct python_marks){0};
}

struct error *python_marks_set(struct python_marks *marks, uint32_t arena, uint32_t granule)
{
	struct python_marks_arena *marked = &marks->arenas[arena];

	if (!marked->bits)
		marked->bits = calloc(words(marks), sizeof(*marked->bits));
	if (!marked->bits)
		return no_memory();
	marked->bits[granule / 64] |= 1ULL << granule % 64;
	return NULL;
}

struct error *python_marks_count(struct python_marks *marks)
{
	for (uint32_t i = 0; i < marks->arena_count; i++) {
		struct python_marks_arena *marked = &marks->arenas[i];

		if (!marked->bits)
			continue;
		marked->before = calloc(words(marks), sizeof(*marked->before));
		if (!marked->before)
			return no_memory();
		for (uint32_t j = 0; j < words(marks); j++) {
			marked->before[j] = marked->count;
			marked->count += (uint32_t)__builtin_popcountll(marked->bits[j]);
		}
		marked->labels = calloc((size_t)marked->count + 1, sizeof(*marked->labels));
		if (!marked->labels)
			return no_memory();
	}
	return NULL;
}
