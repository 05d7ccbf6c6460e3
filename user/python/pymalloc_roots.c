// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * pymalloc's roots, found by what they look like (Objects/obmalloc.c; from 3.12 also
 * Include/internal/pycore_obmalloc.h): usedpools is an array of pairs, one for each size class,
 * {next, prev} of a circular list of pools, laid out so that &pair - 16 stands in for a pool
 * header. An empty class' pair holds that address twice; any other leads to pools whose szidx is
 * the pair's index. Nothing else in an interpreter's data looks like 32 of these in a row.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/layout_table.h"
#include "python/python_internal.h"

#define PAIR         16  /* bytes */
#define CLASSES      32  /* 512 bytes in steps of 16; twice as many in steps of 8 */
#define RUN_MAX      512 /* words */
#define CHUNK        (256u << 10)
#define SEGMENT_MAX  (64u << 20) /* of data and bss; CPython has 1 to 2 MiB */
#define INTERP_MAX   (1u << 20)
#define POOL_ALIGNED 4096
#define ARENAS_MAX   (1u << 24)
#define ARENA_BITS   21 /* the largest arenas: huge pages, from 3.15 on */

/* struct pool_header, 48 bytes. */
enum { POOL_SZIDX = 36, POOL_MAXNEXTOFFSET = 44 };
/* struct arena_object, 48 bytes. */
enum { ARENA_SIZE = 48, ARENA_ADDRESS = 0, ARENA_NTOTALPOOLS = 20 };
/* struct _obmalloc_mgmt, from usable_arenas on backwards. */
enum { MGMT_ARENAS = -24, MGMT_MAXARENAS = -16 };

struct candidate {
	uint64_t address;
	unsigned classes;              /* pairs that fit in a row, from ADDRESS on */
	unsigned pools, valid;         /* classes with pools; of them, those whose pool agrees */
	uint32_t alignment, pool_size; /* 0: no pool told */
};

/*
 * Could WORD, at ADDRESS, be a pool, or the stand-in of the pair that it is the first or second
 * of?
 */
static bool word_fits(uint64_t word, uint64_t address)
{
	return word == address - PAIR || word == address - 8 - PAIR ||
	       (word && !(word & (POOL_ALIGNED - 1)) && word < 1ULL << 47);
}

/* Does each of COUNT pairs from ADDRESS on hold its own stand-in twice, or two pools? */
static bool pairs_fit(const uint64_t *words, uint64_t address, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		uint64_t self = address + (uint64_t)i * PAIR - PAIR;

		if ((words[2 * i] == self) != (words[2 * i + 1] == self))
			return false;
		if (words[2 * i] != self &&
		    ((words[2 * i] | words[2 * i + 1]) & (POOL_ALIGNED - 1)))
			return false;
	}
	return true;
}

/* Which step and pool size explain POOL's header? */
static void geometry_derive(uint32_t szidx, uint32_t maxnextoffset, struct candidate *candidate)
{
	static const uint32_t steps[] = {16, 8}, sizes[] = {4096, 16384};
	size_t i, j;

	for (i = 0; i < array_size(steps); i++) {
		for (j = 0; j < array_size(sizes); j++) {
			if (maxnextoffset + (szidx + 1) * steps[i] != sizes[j])
				continue;
			candidate->alignment = steps[i];
			candidate->pool_size = sizes[j];
			return;
		}
	}
}

/* Looks at the first pool of each class. What cannot be read counts as not valid. */
static void candidate_weigh(struct memory *memory, const uint64_t *words,
			    struct candidate *candidate)
{
	unsigned i;

	for (i = 0; i < candidate->classes; i++) {
		uint64_t slot = candidate->address + i * PAIR;
		uint32_t szidx, maxnextoffset;
		struct error *error;

		if (words[2 * i] == slot - PAIR)
			continue;
		candidate->pools++;
		error = memory_read_u32(memory, words[2 * i] + POOL_SZIDX, &szidx);
		if (!error)
			error = memory_read_u32(memory, words[2 * i] + POOL_MAXNEXTOFFSET,
						&maxnextoffset);
		if (error) {
			error_destroy(error);
			continue;
		}
		if (szidx != i)
			continue;
		candidate->valid++;
		geometry_derive(szidx, maxnextoffset, candidate);
	}
}

/*
 * A hot target changes pools while we look: three quarters have to agree (all classes would be too
 * much to ask: facts of measurement, not of theory).
 */
static bool candidate_good(const struct candidate *candidate)
{
	return candidate->valid * 4 >= candidate->pools * 3;
}

/* Arrays of one kind: the last one that was found, and how many there are. */
struct arrays {
	struct candidate found;
	unsigned count;
};

/*
 * An array without a pool says nothing: the bins of another allocator in the same data look alike
 * (libffi's, where it is linked in). So those with pools count first.
 */
struct search {
	struct memory *memory;
	struct arrays with_pools, empty;
};

static void array_found(struct search *search, const struct candidate *candidate)
{
	struct arrays *arrays = candidate->valid ? &search->with_pools : &search->empty;

	/* Chunks overlap: what lies there is seen twice. */
	if (arrays->count && arrays->found.address == candidate->address)
		return;
	arrays->found = *candidate;
	arrays->count++;
}

/* A run of COUNT words that fit, at ADDRESS: the array begins somewhere in it. */
static void run_examine(struct search *search, uint64_t address, const uint64_t *words,
			unsigned count)
{
	unsigned start;

	/* Its neighbours may fit by chance, so that the array need not begin where the run does. */
	for (start = 0; start + 2 * CLASSES <= count; start++) {
		struct candidate candidate = {.address = address + start * 8, .classes = CLASSES};

		if (!pairs_fit(words + start, candidate.address, CLASSES))
			continue;
		if (start + 4 * CLASSES <= count &&
		    pairs_fit(words + start, candidate.address, 2 * CLASSES))
			candidate.classes = 2 * CLASSES;
		candidate_weigh(search->memory, words + start, &candidate);
		if (!candidate_good(&candidate))
			continue;
		array_found(search, &candidate);
		return;
	}
}

static void chunk_search(struct search *search, uint64_t address, const uint64_t *words,
			 size_t count)
{
	size_t i, run = 0;

	for (i = 0; i <= count; i++) {
		if (i < count && run < RUN_MAX && word_fits(words[i], address + 8 * i)) {
			run++;
			continue;
		}
		if (run >= 2 * CLASSES)
			run_examine(search, address + 8 * (i - run), words + (i - run), run);
		run = 0;
	}
}

/* One writable segment, in chunks that overlap by what a run needs. */
static struct error *segment_search(struct search *search, uint64_t start, uint64_t size)
{
	cleanup_free uint64_t *words = NULL;
	uint64_t at;

	words = malloc(CHUNK);
	if (!words)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the search for pymalloc");
	for (at = 0; at + 2 * 8 * CLASSES <= size; at += CHUNK - RUN_MAX * 8) {
		uint64_t length = size - at < CHUNK ? size - at : CHUNK;

		try(memory_read(search->memory, start + at, words, length));
		chunk_search(search, start + at, words, length / 8);
	}
	return NULL;
}

bool python_segment_words(const struct python *python, const struct image_segment *segment,
			  uint64_t *ret_start, uint64_t *ret_size)
{
	uint64_t skipped = -segment->address & 7;

	if (!segment->writable || segment->memory_size > SEGMENT_MAX ||
	    segment->memory_size < skipped + sizeof(uint64_t))
		return false;
	*ret_start = segment->address + skipped + python->bias;
	*ret_size = (segment->memory_size - skipped) & ~7ULL;
	return true;
}

/*
 * The one array in the interpreter's data that has pools, or the one array at all. RET is left with
 * address 0 if there is none, or if it cannot be told which one it is.
 */
static struct error *usedpools_find(const struct python *python, struct candidate *ret)
{
	struct search search = {.memory = &python->process->memory};
	const struct arrays *arrays;
	size_t i;

	for (i = 0; i < python->image->segment_count; i++) {
		uint64_t start, size;

		if (python_segment_words(python, &python->image->segments[i], &start, &size))
			try(segment_search(&search, start, size));
	}
	arrays = search.with_pools.count ? &search.with_pools : &search.empty;
	*ret = arrays->count == 1 ? arrays->found : (struct candidate){0};
	return NULL;
}

/* From 3.12: where the interpreter has its state, or the pointer to it. */
static struct error *obmalloc_find(struct python *python, const struct layout_entry *entry,
				   uint64_t state)
{
	struct memory *memory = &python->process->memory;
	struct python_heap *heap = &python->heap;
	cleanup_free uint64_t *words = NULL;
	uint64_t word, offset = state - python->interpreter;
	size_t i, count = 0, at = 0;

	if (!entry->obmalloc_is_pointer) {
		if (offset < INTERP_MAX)
			heap->interp_obmalloc = offset;
		return NULL;
	}
	try(memory_read_u64(memory, python->interpreter + entry->interp_obmalloc, &word));
	if (word == state) {
		heap->interp_obmalloc = entry->interp_obmalloc;
		return NULL;
	}
	/* Another release: the one word around there that leads to it. */
	words = malloc(2 * entry->interp_obmalloc);
	if (!words)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the search for pymalloc");
	try(memory_read(memory, python->interpreter, words, 2 * entry->interp_obmalloc));
	for (i = 0; i < 2 * entry->interp_obmalloc / 8; i++) {
		if (words[i] != state)
			continue;
		count++;
		at = i;
	}
	if (count == 1)
		heap->interp_obmalloc = at * 8;
	return NULL;
}

/*
 * Whether an arena of POOLS pools has a size that there is, RET_BITS or more. An arena that is not
 * aligned to its pools has one less.
 */
static bool arena_bits_find(uint32_t pools, uint32_t pool_size, uint32_t *ret_bits)
{
	for (uint32_t bits = *ret_bits; bits <= ARENA_BITS; bits++) {
		uint32_t most = (1u << bits) / pool_size;

		if (pools != most && pools != most - 1)
			continue;
		*ret_bits = bits;
		return true;
	}
	return false;
}

/*
 * usable_arenas is NULL or leads into the array `arenas`; the pools of its arenas tell the arenas'
 * size (from 3.15 on they may be huge pages'). False if it does not hold together.
 */
static struct error *arenas_check(const struct python *python, uint32_t *ret_bits, bool *ret_good)
{
	struct memory *memory = &python->process->memory;
	uint64_t field = python->heap.usable_arenas, usable, arenas;
	uint32_t count, pools = 0;

	*ret_good = false;
	try(memory_read_u64(memory, field, &usable));
	try(memory_read_u64(memory, field + MGMT_ARENAS, &arenas));
	try(memory_read_u32(memory, field + MGMT_MAXARENAS, &count));
	/* Not in use: PYTHONMALLOC=malloc. */
	if (!usable && !arenas && !count) {
		*ret_good = true;
		return NULL;
	}
	if (!arenas || !count || count > ARENAS_MAX)
		return NULL;
	if (usable && (usable < arenas || (usable - arenas) % ARENA_SIZE ||
		       (usable - arenas) / ARENA_SIZE >= count))
		return NULL;
	try(memory_read_u32(memory, (usable ? usable : arenas) + ARENA_NTOTALPOOLS, &pools));
	*ret_good = arena_bits_find(pools, python->heap.pool_size, ret_bits);
	return NULL;
}

static struct error *state_find(struct python *python, const struct layout_entry *entry)
{
	struct python_heap *heap = &python->heap;
	uint64_t state = heap->usedpools - entry->obmalloc_usedpools;
	uint32_t bits = heap->arena_bits;
	bool good;

	heap->obmalloc_is_pointer = entry->obmalloc_is_pointer;
	heap->obmalloc_usedpools = entry->obmalloc_usedpools;
	heap->obmalloc_usable_arenas = entry->obmalloc_usable_arenas;
	if (!heap->usedpools)
		return NULL;
	try(obmalloc_find(python, entry, state));
	heap->usable_arenas = state + entry->obmalloc_usable_arenas;
	try(arenas_check(python, &bits, &good));
	if (good)
		heap->arena_bits = bits;
	/* Without the one, or with an arena list that is none, nothing of it is to be used. */
	if (!good || heap->interp_obmalloc == PYTHON_NO_OFFSET) {
		heap->usedpools = heap->usable_arenas = 0;
		heap->interp_obmalloc = PYTHON_NO_OFFSET;
	}
	return NULL;
}

static struct error *find_once(struct python *python)
{
	const struct layout_entry *entry = python_layout_entry(python->version);
	struct python_heap *heap = &python->heap;
	struct candidate candidate;
	bool radix = python->version >= 0x030a0000; /* larger pools came with the radix tree */

	*heap = (struct python_heap){.interp_obmalloc = PYTHON_NO_OFFSET};
	try(usedpools_find(python, &candidate));
	heap->usedpools = candidate.address;
	heap->pool_size = candidate.pool_size ? candidate.pool_size : radix ? 16384 : 4096;
	heap->arena_bits = heap->pool_size == 16384 ? 20 : 18;
	/* With no pool in use the array's length tells. */
	if (candidate.alignment)
		heap->alignment = candidate.alignment;
	else
		heap->alignment = candidate.classes == 2 * CLASSES ? 8 : 16;
	if (python->layout.frames == PYTHON_FRAMES_OBJECT || python->version < 0x030c0000)
		return NULL;
	return state_find(python, entry);
}

struct error *python_heap_find(struct python *python)
{
	unsigned tries = 0;

	do
		try(find_once(python));
	while (!python->heap.usedpools && python_try_again(&tries));
	return NULL;
}
