/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose functions an allocator table names. Hooks keep the table that they stand in front of, and
 * how they keep it tells which they are:
 *  - debug hooks (PYTHONMALLOC=debug, -X dev): ctx is a debug_alloc_api_t (Objects/obmalloc.c): a
 *    char that names the domain, 'r', 'm' or 'o', then the table;
 *  - tracemalloc (Modules/_tracemalloc.c, Python/tracemalloc.c): ctx is the table.
 */
#ifndef TMBPF_PYTHON_ALLOCATORS_H
#define TMBPF_PYTHON_ALLOCATORS_H

#include <string.h>

#include "python/python.h"

/* What debug hooks put before a block: its size, big-endian; the domain's letter; FORBIDDENBYTE. */
#define PYTHON_DEBUG_HEADER 16

/* The letter, 'r', 'm' or 'o', of the PYTHON_DEBUG_HEADER bytes at HEADER; 0 if that is none. */
static inline char python_debug_header(const void *header)
{
	uint64_t word;

	memcpy(&word, (const char *)header + 8, sizeof(word));
	/* FORBIDDENBYTE: 0xfd; 0xfb up to 3.7.3 */
	if (word >> 8 != 0xfdfdfdfdfdfdfdULL && word >> 8 != 0xfbfbfbfbfbfbfbULL)
		return 0;
	word &= 0xff;
	return word == 'r' || word == 'm' || word == 'o' ? (char)word : 0;
}

enum python_allocator_kind {
	PYTHON_ALLOCATOR_PYMALLOC,
	PYTHON_ALLOCATOR_MALLOC,
	PYTHON_ALLOCATOR_DEBUG,
	PYTHON_ALLOCATOR_TRACEMALLOC,
	/*
	 * CPython's own copy of it, in the interpreter's file: PYTHONMALLOC=mimalloc, from 3.13 on
	 */
	PYTHON_ALLOCATOR_MIMALLOC,
	PYTHON_ALLOCATOR_OTHER, /* of the interpreter's file or of another one */
};

/* "pymalloc", "malloc", "debug", "tracemalloc", "mimalloc", "other" */
const char *python_allocator_name(enum python_allocator_kind kind);

/*
 * The kind of ALLOCATOR. PYMALLOC and RAW are the implementations' malloc functions (addresses in
 * the process; 0 unknown). RET_INNER is the table behind a hook, untouched for others.
 */
enum python_allocator_kind python_allocator_kind(const struct python *python,
						 const struct python_allocator *allocator,
						 uint64_t pymalloc, uint64_t raw,
						 struct python_allocator *ret_inner);

#define PYTHON_ALLOCATOR_SOURCE 128

/*
 * Where the functions of ALLOCATOR are, for messages: the name of a file, "code of no file". The
 * process' maps are read for it.
 */
struct error *python_allocator_source(const struct python *python,
				      const struct python_allocator *allocator,
				      char ret[PYTHON_ALLOCATOR_SOURCE]);

#endif
