/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Blocks of malloc's that are no objects, with a label each; found by any address in them. */
#ifndef TMBPF_PYTHON_HEAP_CHUNKS_H
#define TMBPF_PYTHON_HEAP_CHUNKS_H

#include <stddef.h>
#include <stdint.h>

struct error;

struct python_chunk {
	uint64_t address, size;
	uint16_t label;
};

/* All zero is none. */
struct python_chunks {
	struct python_chunk *list;
	size_t count, capacity;
	/* Of those whose addresses are alike but for the last 20 bits the first, and so on. */
	uint64_t *units;
	size_t *firsts;
	size_t unit_count;
	uint64_t lowest, highest;
};

void python_chunks_deinit(struct python_chunks *chunks);
struct error *python_chunks_add(struct python_chunks *chunks, uint64_t address, uint64_t size);
/* Sorts them; to be called before the first python_chunks_find(). */
struct error *python_chunks_settle(struct python_chunks *chunks);
/* The chunk that ADDRESS lies in, or NULL. */
struct python_chunk *python_chunks_find(const struct python_chunks *chunks, uint64_t address);

#endif
