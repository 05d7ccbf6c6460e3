/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What lies outside of pymalloc's arenas, in two classes: small chunks of malloc's that are in use, by their size, and
 * all else that is resident and not free: large chunks (TRACER_LARGE_LEAST and more), other mappings. Where malloc is
 * not glibc's, what it holds free cannot be told from the rest, and all is the second class.
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

/* Sees each chunk of a walk, as glibc_each() hands them out; NULL for none. */
struct native_memory_visitor {
	void (*visit)(void *context, const struct glibc_chunk *chunk);
	void *context;
	bool done; /* set: all were seen */
};

/* Walks malloc's heaps; HEAPS are pymalloc's, now. Takes as long as reading all small chunks. */
struct error *native_memory_walk(struct native_memory *native, const struct python_heaps *heaps,
				 struct native_memory_visitor *visitor);
/* Whether the last walk is so long ago, measured by how long it took, that who asks may have another. */
bool native_memory_stale(const struct native_memory *native);
/* Whether the last walk could tell small chunks. */
bool native_memory_walked(const struct native_memory *native);
/* Whether ADDRESS lay in one of malloc's heaps at the last walk: not in a mapping of its own. */
bool native_memory_in_heap(const struct native_memory *native, uint64_t address);

/* What of BYTES, resident outside of arenas now, is in which class, by the last walk. */
void native_memory_classes(const struct native_memory *native, double bytes, double *ret_small,
			   double *ret_large);

#endif
