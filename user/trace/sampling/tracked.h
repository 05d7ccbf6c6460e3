/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tracked blocks: whether each is still what it was, found out by reading the heap. */
#ifndef TMBPF_TRACE_SAMPLING_TRACKED_H
#define TMBPF_TRACE_SAMPLING_TRACKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trace/sampling/fingerprint_words.h"
#include "trace/sampling/fingerprint.h"

struct classes;
struct error;
struct process;
struct python;
struct python_pools;

struct tracked {
	uint64_t address, size, content, died;
	uint32_t window, traceback, class, type;
	uint32_t block_size;
	struct fingerprint_words words;
	bool raw, replaced, constant;
	bool reused;                    /* from a free list: its object tells its size */
	struct fingerprint fingerprint; /* if it is not constant */
};

enum tracked_chunk {
	TRACKED_UNKNOWN, /* the process has gone */
	TRACKED_FREE,    /* no chunk in use is there */
	TRACKED_USED,
};

/*
 * What malloc's chunk for the memory at ADDRESS says. RET_SIZE is its size, including what malloc
 * adds.
 */
enum tracked_chunk tracked_chunk(struct process *process, uint64_t address, uint64_t *ret_size);

struct tracked_heap { /* where the blocks are; all of it is borrowed */
	const struct python *python;
	struct process *process;
	struct classes *classes;
	struct python_pools *pools;
	struct fingerprint_common common;
	struct fingerprint_reader reader;
};

/* Prepares to look at blocks of PYTHON: finds what they have in common. */
void tracked_heap_init(struct tracked_heap *heap, const struct python *python,
		       struct process *process, struct classes *classes,
		       struct python_pools *pools);

/*
 * Looks whether the COUNT blocks of LIST, all alive until now, still live. The others get the
 * current time as that of their death. FIRST: this is the look after their window, at which they
 * get their type and marks. Sorts LIST.
 */
struct error *tracked_look(const struct tracked_heap *heap, struct tracked **list, size_t count,
			   bool first);

#endif
