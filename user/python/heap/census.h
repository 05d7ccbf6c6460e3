/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What holds a process' memory, by reading it: each live block of pymalloc, what type of object it
 * is, and for those that are none (the tables of dicts, the items of lists) whose they are.
 *
 * An owner is found by looking for it: a word of an object that leads into a block which is no
 * object makes that block the object's. Blocks that only such blocks lead to are theirs in turn.
 * Which of several owners is taken is decided by where they lie, not by what they are.
 *
 * The heap is read arena by arena, twice and up to twice more for owners; what is kept of an arena
 * is a bit for each granule and two bytes for each block that is no object: on average 1.5 % of
 * the heap.
 */
#ifndef TMBPF_PYTHON_HEAP_CENSUS_H
#define TMBPF_PYTHON_HEAP_CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "python/heap/pools.h"
#include "python/heap/types.h"
#include "target/malloc/glibc.h"

struct error;
struct python;

enum python_census_depth {
	PYTHON_CENSUS_SIZES,  /* how many blocks of each size */
	PYTHON_CENSUS_TYPES,  /* and of what type */
	PYTHON_CENSUS_OWNERS, /* and whose those are that are no objects */
};

/* Blocks of one size class. */
struct python_census_size {
	uint32_t size; /* bytes */
	uint64_t pools, count;
};

#define PYTHON_CENSUS_CLASSES        64
#define PYTHON_CENSUS_NATIVE_CLASSES 48

enum python_census_kind {
	PYTHON_CENSUS_OBJECT,       /* instances of TYPE */
	PYTHON_CENSUS_UNREFERENCED, /* of TYPE with no reference: on a free list, or dead */
	PYTHON_CENSUS_OWNED,        /* no objects: FIELD of instances of TYPE leads to them */
	PYTHON_CENSUS_INDIRECT,     /* no objects: blocks that are OWNED by FIELD lead to them */
	PYTHON_CENSUS_UNOWNED,      /* no objects, and nobody's that was found */
	PYTHON_CENSUS_NATIVE,       /* the same of malloc's: as a rule C code's own */
};

struct python_census_row {
	enum python_census_kind kind;
	uint32_t type; /* PYTHON_NO_TYPE: UNOWNED, or of too many types and fields to tell apart */
	int32_t field; /* bytes from the object's start */
	uint64_t count, size; /* blocks, bytes of them as pymalloc has them */
};

/* Bytes of memory that is the process' own and there, by what it was for. */
struct python_census_memory {
	bool known;
	uint64_t arenas;        /* of pymalloc */
	uint64_t malloc_heaps;  /* of malloc, whatever is in them */
	uint64_t malloc_mapped; /* malloc's blocks that have a mapping of their own */
	uint64_t data;          /* mapped from files, and written to */
	uint64_t stack;         /* of the first thread */
	uint64_t anonymous;     /* in mappings without a file, arenas and heaps among them */
};

struct python_census {
	struct python_types *types;
	struct python_census_size
		sizes[PYTHON_CENSUS_CLASSES]; /* those that there are, ascending */
	size_t size_count;
	/* malloc's blocks in use: [i] those of up to 2^i bytes, and more than half of that. */
	struct glibc_sum native[PYTHON_CENSUS_NATIVE_CLASSES];
	struct glibc_totals malloc;
	char *malloc_absent; /* why there is nothing of malloc's; NULL there is */
	char *malloc_other;  /* the file whose malloc is used instead of glibc's; NULL none */
	struct python_census_memory memory;
	struct python_census_row *rows; /* in no order; none of count 0 */
	size_t row_count;
	size_t heaps, arenas;
	uint64_t arena_bytes; /* of all arenas, used or not */
	uint64_t count, size; /* of all blocks in pools */
	/* sys.getallocatedblocks(), with those from the raw allocator; UINT64_MAX unknown */
	uint64_t allocated_blocks;
	struct python_pools_unread unread;
};

/* What the field of a row's owner is called, "items"; NULL where no name is known. */
const char *python_census_field(const struct python *python, const struct python_type *type,
				int32_t field);

/*
 * Takes a census of the process while it runs: what is found was there at some moment of the
 * read. Without pymalloc it is empty (heaps is 0). Fails where the heaps are not found or do not
 * hold together, and when the process has gone.
 */
struct error *python_census_create(const struct python *python, enum python_census_depth depth,
				   struct python_census **ret);
/* NULL is accepted. */
void python_census_destroy(struct python_census *census);

#endif
