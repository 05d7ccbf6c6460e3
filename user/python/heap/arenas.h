/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * pymalloc's arenas: the roots of each interpreter's heap, and what each arena holds
 * (Objects/obmalloc.c; from 3.12 also Include/internal/pycore_obmalloc.h). Only reads; a running
 * target changes them meanwhile, so that what is found is what was there at some moment of the
 * read.
 */
#ifndef TMBPF_PYTHON_HEAP_ARENAS_H
#define TMBPF_PYTHON_HEAP_ARENAS_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct python;

struct python_arena {
	uint64_t address;      /* of its memory */
	uint64_t pool_address; /* where pools not carved yet begin */
	uint32_t free_pools;   /* nfreepools: carved and empty, and those not carved */
	uint32_t total_pools;  /* ntotalpools */
};

/* What the interpreter counts itself (_Py_GetAllocatedBlocks() and what came after it). */
enum python_counted {
	PYTHON_COUNTED_UNKNOWN,
	PYTHON_COUNTED_RAW, /* 3.9 on: blocks that the obj and mem domains took from the raw one */
	PYTHON_COUNTED_ALL, /* before: these and those in arenas */
};

/* One pymalloc: up to 3.11 the process's, from 3.12 an interpreter's own. */
struct python_arenas {
	uint64_t state; /* address: of _obmalloc_state from 3.12, else of the array of arenas */
	struct python_arena *list; /* those in use */
	size_t count;
	/* The interpreter's own count of blocks, as COUNTED says. */
	uint64_t blocks;
	enum python_counted counted;
};

struct python_heaps {
	struct python_arenas *list;
	size_t count;
};

/*
 * The heaps of all interpreters, those that share one once. None if the process does not use
 * pymalloc. Fails where the arenas are not found or do not hold together: no two of them overlap.
 */
struct error *python_heaps_read(const struct python *python, struct python_heaps *ret);
void python_heaps_deinit(struct python_heaps *heaps);

/* Calls VISIT for each arena of each heap, until it fails. */
struct error *python_heaps_each(const struct python_heaps *heaps,
				struct error *(*visit)(void *context,
						       const struct python_arena *arena),
				void *context);

#endif
