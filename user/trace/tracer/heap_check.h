/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The heap check: compares what exact tracing knows with pymalloc's pools, which do not depend on
 * it. It tells how much the heap grew since the start, and how much of that is traced.
 *
 * A block counts as grown if it lives and was not there at the start. Those that were are
 * remembered by a bit for each granule, less than a hundredth of the heap. So a block from before
 * that dies meanwhile is not set off against a new one. One case goes unnoticed: a block that no
 * probe saw, at an address where a block from before died. It counts as that one.
 *
 * Blocks of the raw domain are malloc's, and not looked at.
 */
#ifndef TMBPF_TRACE_TRACER_HEAP_CHECK_H
#define TMBPF_TRACE_TRACER_HEAP_CHECK_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct python;
struct python_heaps;

/* Bytes. Less growth than this tells nothing. */
#define HEAP_CHECK_LEAST (64u << 10)

struct heap_check_source {
	const struct python *python;
	/* Frees are not probed: what is traced at a block's address lives as long as the block. */
	bool lazy;
	uint32_t hook_extra; /* bytes that debug hooks add to a request */
	void *context;
	/* Reads the shadow's entries of COUNT granules from ADDRESS on; 0 where there is none. */
	struct error *(*entries)(void *context, uint64_t address, uint32_t count, uint32_t *ret);
	/* Called between two arenas, for what must not wait. May be NULL. */
	void (*rest)(void *context);
};

struct heap_check_counts {
	/* live blocks that were not there at the start; bytes, as pymalloc has them */
	uint64_t count, size;
	uint64_t traced_count, traced_size; /* what tracing takes for live */
	uint64_t unstable; /* pools that changed whenever they were read, now or at the start */
	/* live blocks that were there at the start, and their bytes */
	uint64_t before_count, before_size;
};

struct heap_check;

/* Until heap_check_begin(), nothing counts as there at the start. */
struct error *heap_check_create(const struct heap_check_source *source, struct heap_check **ret);
/* NULL is accepted. */
void heap_check_destroy(struct heap_check *check);

/*
 * What lives in HEAPS and is not traced was there at the start. HEAPS were just read. To be called
 * when tracing has begun.
 */
struct error *heap_check_begin(struct heap_check *check, const struct python_heaps *heaps);
/* What was there at the start, as heap_check_begin() counted it; count and size are 0. */
const struct heap_check_counts *heap_check_before(const struct heap_check *check);
struct error *heap_check_count(struct heap_check *check, const struct python_heaps *heaps,
			       struct heap_check_counts *ret);

/*
 * The traced part of the growth, by bytes; negative: the heap grew by less than HEAP_CHECK_LEAST.
 */
double heap_check_share(const struct heap_check_counts *counts);

#endif
