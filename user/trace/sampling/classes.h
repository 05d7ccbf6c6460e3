/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The classes to which estimates are calibrated: pymalloc's blocks by type and size, and two for
 * all that lies outside of its arenas (native_memory.h). The census reads from the heap how many
 * blocks each has, and how that changes.
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

/* Outside of arenas: small chunks of malloc's, and all the rest. Both count bytes. */
#define CLASSES_NATIVE 0
#define CLASSES_REST   1

struct classes;

struct classes_block { /* what a block is */
	uint32_t class;
	uint32_t type;        /* as the class has it */
	uint32_t fields;      /* where an object's own fields begin; 0: no object */
	uint32_t object_size; /* what was asked for it, if its type is one with a free list */
	bool unreferenced;    /* nobody holds the object: it is on a free list */
	bool constant;        /* the object's contents do not change while it lives */
	uint64_t content;     /* a hash of them, if it is constant */
};

struct error *classes_create(const struct python *python, struct classes **ret);
/* NULL is accepted. */
void classes_destroy(struct classes *classes);

/* The class of BLOCK, which is of SIZE bytes. Makes a new one if there is none yet. */
struct error *classes_block(struct classes *classes, const uint8_t *block, uint32_t size,
			    struct classes_block *ret);

/*
 * Counts all blocks. KEEP: this census is the next one of each class's history; otherwise only the
 * latest one. With KEEP, or if the last walk was long ago, malloc's heaps are walked, and VISITOR
 * sees each chunk.
 */
struct error *classes_census(struct classes *classes, bool keep,
			     struct native_memory_visitor *visitor);
const struct native_memory *classes_native(const struct classes *classes);

/* The classes in the form that estimates take, malloc'd. */
struct error *classes_list(const struct classes *classes, struct estimate_class **ret,
			   size_t *ret_count);

/*
 * Whether a class has grown of late by more than it fluctuates. True also while that is not known.
 */
bool classes_grow(const struct classes *classes);

/* Blocks that the last census counted as of no type, since there are too many types and sizes. */
uint64_t classes_untold(const struct classes *classes);
/* When the last census was, in monotonic seconds. */
double classes_time(const struct classes *classes);

/* Bytes in the blocks of arenas and outside: now, and how many more than at the start. */
void classes_totals(const struct classes *classes, double *ret_bytes, double *ret_growth);

#endif
