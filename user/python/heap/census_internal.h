/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A census while it is taken: for census_work.c, census_owners.c and, above them, census.c. */
#ifndef TMBPF_PYTHON_HEAP_CENSUS_INTERNAL_H
#define TMBPF_PYTHON_HEAP_CENSUS_INTERNAL_H

#include "base/cleanup.h"
#include "base/lookup.h"
#include "python/heap/arenas.h"
#include "python/heap/census.h"
#include "python/heap/chunks.h"
#include "python/heap/extent.h"
#include "python/heap/marks.h"
#include "python/heap/space.h"
#include "target/malloc/glibc.h"

struct resident;

/* Labels of what has no owner: in pools, and malloc's. */
#define LABEL_UNOWNED 0
#define LABEL_NATIVE  1

/* An (owner's type, field, kind), and what it came to. */
struct label {
	struct python_census_row row;
	uint16_t indirect; /* the label of what blocks with this one lead to; 0 none yet */
	bool leaf;         /* they lead to objects alone, or nowhere */
};

/* What is kept of a type. */
struct tally {
	uint64_t count, size;
	uint64_t unreferenced_count, unreferenced_size;
	/* The last field that led to a block, as most lead to one after the other. */
	int32_t field;
	uint16_t label;
};

struct census_work {
	const struct python *python;
	enum python_census_depth depth;
	struct python_census *census;
	struct python_heaps heaps;
	struct python_space *space;
	struct python_pools *pools;
	struct python_marks marks;
	uint64_t class_pools[PYTHON_CENSUS_CLASSES + 1], class_blocks[PYTHON_CENSUS_CLASSES + 1];
	struct tally *tallies; /* by type */
	size_t tally_capacity;
	struct label *labels; /* a block's label 0 is none */
	size_t label_count, label_capacity;
	struct lookup label_lookup;
	struct glibc *glibc;          /* of the last walk */
	struct resident *resident;    /* NULL: not told */
	struct glibc_range *excluded; /* the arenas, sorted */
	struct python_chunks chunks;  /* malloc's that are no objects */
	/* In use, by the logarithm of their size. */
	struct glibc_sum native[PYTHON_CENSUS_NATIVE_CLASSES];
	struct python_extent_reader extents;
	unsigned round; /* of looking for owners */
	/* Blocks that got a label in all rounds; of them, malloc's. */
	uint64_t claimed, native_claimed, native_claimed_size;
};

/* census_work.c: makes room for the tally of TYPE, which has none yet. */
struct error *census_tallies_grow(struct census_work *work, uint32_t type);

/* The tally of TYPE; fails without memory. Here, because it is asked for at each object. */
static inline struct error *census_tally(struct census_work *work, uint32_t type,
					 struct tally **ret)
{
	if (type >= work->tally_capacity)
		try(census_tallies_grow(work, type));
	*ret = &work->tallies[type];
	return NULL;
}

/* census_work.c: calls VISIT for each chunk of malloc's. */
struct error *census_chunks_each(struct census_work *work,
				 struct error *(*visit)(void *context,
							const struct glibc_chunk *chunk));

/* census_owners.c: the labels that nobody looks for. To be called first. */
struct error *census_labels_init(struct census_work *work);
/* census_owners.c: finds owners for the blocks that were marked as no objects. */
struct error *census_owners_find(struct census_work *work);

#endif
