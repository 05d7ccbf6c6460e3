/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the search for referrers looks at besides the heap. */
#ifndef TMBPF_PYTHON_HEAP_WORDS_H
#define TMBPF_PYTHON_HEAP_WORDS_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct python;

/* Words that are no heap's. */
struct python_words {
	const struct python *python;
	const uint64_t *list;
	size_t count;
	uint64_t address; /* of the first */
	uint64_t frame;   /* that they belong to; 0: they are variables of a library */
	uint64_t code;    /* that the frame runs */
	const char *path; /* of the library */
	size_t library;   /* its number */
	/* What they belong to is called; the caller's to free. */
	struct error *(*name)(const struct python_words *words, char **ret);
};

/*
 * Calls VISIT for the frames of all threads that are not on the heap (3.11 on), and for the
 * variables of the interpreter and of libraries (mappings of files that are written to).
 */
struct error *python_words_each(const struct python *python,
				struct error *(*visit)(void *context,
						       const struct python_words *words),
				void *context);

#endif
