/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What pymalloc's heap grew by since the start, read from its pools, and what of that tracing
 * knows: the check of exact tracing against what it does not depend on.
 *
 * A block counts as grown if it lives and was not there at the start. Which were is remembered, a
 * bit for each granule: less than a hundredth of the heap. So blocks from before that die meanwhile
 * do not count against those that came. One thing is not seen: a block that no probe saw, at an
 * address where one from before died. It counts as that one.
 *
 * The large blocks are malloc's, and not looked at.
 */
#ifndef TMBPF_TRACE_TRACER_HEAP_CHECK_H
#define TMBPF_TRACE_TRACER_HEAP_CHECK_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct python;
struct python_heaps;

/* Growth below this is too little to tell anything, bytes. */
#define GROWTH_LEAST (64u << 10)

struct heap_check_source {
	const struct python *python;
	/* Frees are not probed: what is traced at a block's address lives if the block does. */
	bool lazy;
	uint32_t hook_extra; /* bytes that debug hooks add to a request */
	void *context;
	/* The entries (TMBPF_SLAB_ENTRIES) of COUNT granules from ADDRESS on; 0 where there is none. */
	struct error *(*entries)(void *context, uint64_t address, uint32_t count, uint32_t *ret);
	/* Between two arenas, for what must not wait. May be NULL. */
	void (*rest)(void *context);
};

struct heap_check_counts {
	uint64_t count, size; /* live blocks that were not there; bytes, as pymalloc has them */
	uint64_t traced_count, traced_size; /* what tracing takes for live */
	uint64_t unstable; /* pools that could not be made out, now or at the start */
	uint64_t before_count, before_size; /* live blocks that were there; bytes likewise */
};

struct heap_check;

/* What was there at the start is nothing, until heap_check_begin(). */
struct error *heap_check_create(const struct heap_check_source *source, struct heap_check **ret);
/* NULL is accepted. */
void heap_check_destroy(struct heap_check *check);

/*
 * All that lives in HEAPS, as they were just read, and is not traced was there at the start. To be
 * called when tracing has begun.
 */
struct error *heap_check_begin(struct heap_check *check, const struct python_heaps *heaps);
/* What was there at the start, as heap_check_begin() has counted it: count and size are 0. */
const struct heap_check_counts *growth_before(const struct heap_check *check);
struct error *growth_count(struct heap_check *check, const struct python_heaps *heaps,
			   struct heap_check_counts *ret);

/* Traced over grown, in bytes; negative: grown by less than GROWTH_LEAST. */
double growth_share(const struct heap_check_counts *counts);

#endif
