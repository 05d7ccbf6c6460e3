/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The classes that estimates are calibrated by: pymalloc's blocks by type and size, and two for all
 * that lies outside of its arenas (native_memory.h). How many there are, and how that changes, is read
 * from the heap.
 */
#ifndef TMBPF_TRACE_SAMPLING_CLASSES_H
#define TMBPF_TRACE_SAMPLING_CLASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/estimate/estimate.h"
#include "trace/sampling/native_memory.h"

struct error;
struct python;

/* What lies outside: small chunks of malloc's, and all else; both by their bytes. */
#define CLASSES_NATIVE 0
#define CLASSES_LARGE  1

struct classes;

struct classes_block { /* what a block is */
	uint32_t class;
	uint32_t type;   /* as the class knows it */
	uint32_t fields; /* where an object's own fields begin; 0: no object */
	uint32_t
		object_size; /* what was asked for it, if it is an object of one of the types with free lists */
	bool unreferenced; /* an object that nobody holds: it is on a free list */
	bool constant;     /* an object whose contents do not change while it lives */
	uint64_t content;  /* of a constant one: a hash */
};

struct error *classes_create(const struct python *python, struct classes **ret);
/* NULL is accepted. */
void classes_destroy(struct classes *classes);

/* The class of BLOCK, of SIZE bytes, a new one if it must be. */
struct error *classes_block(struct classes *classes, const uint8_t *block, uint32_t size,
			    struct classes_block *ret);

/*
 * Counts all blocks. The censuses make up each class's history; with KEEP this one is the next of it,
 * else only the latest. With KEEP, or if that was long ago, malloc's heaps are walked, with VISITOR at
 * each chunk.
 */
struct error *classes_census(struct classes *classes, bool keep,
			     struct native_memory_visitor *visitor);
const struct native_memory *classes_native(const struct classes *classes);

/* The classes as estimates want them, malloc'd. */
struct error *classes_list(const struct classes *classes, struct estimate_class **ret,
			   size_t *ret_count);

/* Whether one of them has grown of late by more than it fluctuates, or that is not known yet. */
bool classes_grow(const struct classes *classes);

/* Blocks that the last census counted as of no type, as there are more types and sizes than are told apart. */
uint64_t classes_untold(const struct classes *classes);
/* When the last census was, in monotonic seconds. */
double classes_time(const struct classes *classes);

/* Bytes in arenas' blocks and outside: now, and since the start. */
void classes_totals(const struct classes *classes, double *ret_bytes, double *ret_growth);

#endif
