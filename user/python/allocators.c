// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Tells the kinds of allocator tables apart. */
#include "python/allocators.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

#define TABLE_WORDS    5
#define MIMALLOC_SINCE 0x030d0000 /* hexversion */

const char *python_allocator_name(enum python_allocator_kind kind)
{
	static const char *const names[] = {
		[PYTHON_ALLOCATOR_PYMALLOC] = "pymalloc",
		[PYTHON_ALLOCATOR_MALLOC] = "malloc",
		[PYTHON_ALLOCATOR_DEBUG] = "debug",
		[PYTHON_ALLOCATOR_TRACEMALLOC] = "tracemalloc",
		[PYTHON_ALLOCATOR_MIMALLOC] = "mimalloc",
		[PYTHON_ALLOCATOR_OTHER] = "other",
	};

	return (unsigned)kind < array_size(names) ? names[kind] : "other";
}

/* Does the interpreter's own code stand at ADDRESS of the process? */
static bool is_code(const struct python *python, uint64_t address)
{
	const struct image *image = python->image;
	size_t i;

	for (i = 0; i < image->segment_count; i++) {
		const struct image_segment *segment = &image->segments[i];
		uint64_t start = segment->address + python->bias;

		if (segment->executable && address >= start &&
		    address - start < segment->memory_size)
			return true;
	}
	return false;
}

/*
 * Of CPython's own allocators (Objects/obmalloc.c) only mimalloc's are functions without a context
 * that are neither pymalloc's nor the raw domain's. An interpreter that has it knows its name as
 * one of PYTHONMALLOC's, and that name is in its file.
 */
static bool is_mimalloc(const struct python *python, const struct python_allocator *allocator)
{
	static const char name[] = "mimalloc_debug";
	const struct image *image = python->image;

	return python->version >= MIMALLOC_SINCE && !allocator->context &&
	       is_code(python, allocator->malloc) && is_code(python, allocator->calloc) &&
	       is_code(python, allocator->realloc) && is_code(python, allocator->free) &&
	       image->data && memmem(image->data, image->size, name, sizeof(name));
}

/* WORDS: ctx and four functions, of the interpreter's own or any (malloc's, another library's). */
static bool is_table(const uint64_t *words)
{
	size_t i;

	for (i = 1; i < TABLE_WORDS; i++)
		if (words[i] < 4096 || words[i] >= 1ULL << 47)
			return false;
	return true;
}

enum python_allocator_kind python_allocator_kind(const struct python *python,
						 const struct python_allocator *allocator,
						 uint64_t pymalloc, uint64_t raw,
						 struct python_allocator *ret_inner)
{
	uint64_t words[TABLE_WORDS + 1];
	struct error *error;
	unsigned domain;

	if (pymalloc && allocator->malloc == pymalloc)
		return PYTHON_ALLOCATOR_PYMALLOC;
	if (raw && allocator->malloc == raw)
		return PYTHON_ALLOCATOR_MALLOC;
	/* Without the two it cannot be told. */
	if (pymalloc && raw && is_mimalloc(python, allocator))
		return PYTHON_ALLOCATOR_MIMALLOC;
	if (!allocator->context || !is_code(python, allocator->malloc))
		return PYTHON_ALLOCATOR_OTHER;
	error = memory_read(&python->process->memory, allocator->context, words, sizeof(words));
	if (error) {
		/* Then its context is none of the two. */
		error_destroy(error);
		return PYTHON_ALLOCATOR_OTHER;
	}
	domain = words[0] & 0xff;
	if ((domain == 'r' || domain == 'm' || domain == 'o') && is_table(words + 1)) {
		memcpy(ret_inner, words + 1, sizeof(*ret_inner));
		return PYTHON_ALLOCATOR_DEBUG;
	}
	if (is_table(words)) {
		memcpy(ret_inner, words, sizeof(*ret_inner));
		return PYTHON_ALLOCATOR_TRACEMALLOC;
	}
	return PYTHON_ALLOCATOR_OTHER;
}

struct error *python_allocator_source(const struct python *python,
				      const struct python_allocator *allocator,
				      char ret[PYTHON_ALLOCATOR_SOURCE])
{
	struct process_map *maps;
	const char *name = "code of no file", *slash;
	size_t count;

	try(process_maps(python->process, &maps, &count));
	for (size_t i = 0; i < count; i++) {
		if (allocator->malloc < maps[i].start || allocator->malloc >= maps[i].end ||
		    maps[i].path[0] != '/')
			continue;
		slash = strrchr(maps[i].path, '/');
		name = slash[1] ? slash + 1 : maps[i].path;
	}
	snprintf(ret, PYTHON_ALLOCATOR_SOURCE, "%s", name);
	process_maps_destroy(maps, count);
	return NULL;
}
