/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the search for referrers looks at besides the heap, and what it calls what it finds. */
#ifndef TMBPF_PYTHON_HEAP_REFERRERS_INTERNAL_H
#define TMBPF_PYTHON_HEAP_REFERRERS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct python;
struct python_referrer;
struct python_type;
struct python_types;

/* Is TYPE called NAME, or with LAST so behind its last dot? */
bool python_type_called(const struct python_type *type, const char *name, bool last);

/* REFERRER's name, where the object at its address has one: a module's, a class'. */
struct error *python_referrer_name(const struct python *python, struct python_types *types,
				   struct python_referrer *referrer);

/* REFERRER's key: that of the entry of a dict's table whose value is the word at ADDRESS. */
struct error *python_referrer_key(const struct python *python, uint64_t address,
				  struct python_referrer *referrer);

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
