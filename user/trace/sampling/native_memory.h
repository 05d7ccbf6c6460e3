/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory outside of pymalloc's arenas, in two classes. The first one is malloc's small chunks in
 * use, by their size. The second is the rest that is resident and not free: large chunks
 * (TRACER_LARGE_LEAST bytes or more) and other mappings. If malloc is not glibc's, its free memory
 * cannot be told from the rest, and everything is in the second class.
 */
#ifndef TMBPF_TRACE_SAMPLING_NATIVE_MEMORY_H
#define TMBPF_TRACE_SAMPLING_NATIVE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct glibc_chunk;
struct native_memory;
struct python;
struct python_heaps;

struct error *native_memory_create(const struct python *python, struct native_memory **ret);
/* NULL is accepted. */
void native_memory_destroy(struct native_memory *native);

/* Sees each chunk of a walk, as glibc_each() hands them out. VISIT may be NULL. */
struct native_memory_visitor {
	void (*visit)(void *context, const struct glibc_chunk *chunk);
	void *context;
	bool done; /* set by the walk: all chunks were seen */
};

/*
 * Walks malloc's heaps. HEAPS are pymalloc's as they are now. This takes as long as reading all
 * small chunks.
 */
struct error *native_memory_walk(struct native_memory *native, const struct python_heaps *heaps,
				 struct native_memory_visitor *visitor);
/*
 * Whether another walk may be asked for: the last one was long ago, compared with how long it took.
 */
bool native_memory_stale(const struct native_memory *native);
/* Whether the last walk could tell which chunks are small. */
bool native_memory_walked(const struct native_memory *native);
/*
 * Whether ADDRESS lay in one of malloc's heaps at the last walk, and not in a mapping of its own.
 */
bool native_memory_in_heap(const struct native_memory *native, uint64_t address);

/*
 * Splits BYTES, which are resident outside of arenas now, into the two classes, by the last walk.
 */
void native_memory_classes(const struct native_memory *native, double bytes, double *ret_small,
			   double *ret_rest);

#endif
