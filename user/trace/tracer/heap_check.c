// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Compares the traced blocks with those in the pools of pymalloc. */
#include "trace/tracer/heap_check.h"

#include <errno.h>
#include <linux/types.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/heap/arenas.h"
#include "python/heap/marks.h"
#include "python/heap/pools.h"
#include "python/python.h"
#include "python/heap/space.h"
#include "tmbpf.h"

#define LOOK_AGAIN 5 /* times, at a pool on which tracing disagrees */

/* Which blocks of a heap were there at the start. */
struct old {
	struct python_space *space;
	struct python_marks marks;
};

struct heap_check {
	struct heap_check_source source;
	struct python_pools *pools;
	struct old old; /* at the last look */
	struct heap_check_counts start;
	uint32_t *entries; /* of one arena */
	uint64_t *again;   /* pools of one arena to look at once more */
};

/* One look at all arenas. */
struct look {
	struct heap_check *check;
	bool begins;
	struct old left; /* those old blocks that are still there */
	const struct python_arena *arena;
	size_t again_count;
	uint64_t seen; /* address behind the last pool that was seen of the arena */
	/*
	 * Of a pool that is looked at alone: this is the last look; it was counted; it holds
	 * nothing.
	 */
	bool last, settled, empty;
	struct heap_check_counts counts;
};

/* The blocks of one pool. */
struct pool_counts {
	uint64_t count, matched; /* those since the start, and those of them that are traced */
	uint64_t traced_count, traced_size; /* all entries */
	uint64_t before;                    /* there at the start */
};

static uint32_t arena_granules(const struct heap_check *check)
{
	const struct python_heap *heap = &check->source.python->heap;

	return (1u << heap->arena_bits) / heap->alignment;
}

static void old_deinit(struct old *old)
{
	python_space_destroy(old->space);
	python_marks_deinit(&old->marks);
	old->space = NULL;
}

static struct error *old_init(struct old *old, const struct heap_check *check,
			      const struct python_heaps *heaps)
{
	try(python_space_create(check->source.python, heaps, &old->space));
	return python_marks_init(&old->marks, old->space->arena_count, arena_granules(check));
}

/*
 * Where the marks of the pool at ADDRESS begin. False: it lies in no arena that was there then, so
 * its blocks were not there either.
 */
static bool old_place(const struct old *old, uint64_t address, uint32_t size, uint32_t *ret_arena,
		      uint32_t *ret_granule)
{
	uint32_t arena;

	if (!old->space)
		return false;
	arena = python_space_arena(old->space, address);
	if (arena == PYTHON_NO_ARENA ||
	    address + size - old->space->arenas[arena] > 1ULL << old->space->arena_bits)
		return false;
	*ret_arena = arena;
	*ret_granule =
		(uint32_t)((address - old->space->arenas[arena]) >> old->space->granule_bits);
	return true;
}

static uint32_t pool_granules(const struct heap_check *check)
{
	const struct python_heap *heap = &check->source.python->heap;

	return heap->pool_size / heap->alignment;
}

/* Counts the entries of one pool. */
static void entries_count(const struct heap_check *check, const uint32_t *entries,
			  struct pool_counts *counts)
{
	uint32_t alignment = check->source.python->heap.alignment, count = pool_granules(check);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t size = ENTRY_SIZE(entries[i]) + check->source.hook_extra;

		if (!ENTRY_STACK(entries[i]))
			continue;
		counts->traced_count++;
		counts->traced_size += size ? (size + alignment - 1) & -alignment : alignment;
	}
}

/* Counts the blocks of POOL, and marks the old ones that are still there. */
static struct error *blocks_count(struct look *look, const struct python_pool *pool,
				  const uint32_t *entries, struct pool_counts *counts)
{
	const struct heap_check *check = look->check;
	const struct python_heap *heap = &check->source.python->heap;
	uint32_t old_arena = 0, old_first = 0, arena, first;
	uint32_t step = pool->block_size / heap->alignment;
	uint32_t at = PYTHON_POOL_OVERHEAD / heap->alignment;
	bool was = old_place(&check->old, pool->address, heap->pool_size, &old_arena, &old_first);

	/* The pool lies in this arena, which is in the same list. */
	if (!old_place(&look->left, pool->address, heap->pool_size, &arena, &first))
		return NULL;
	for (uint32_t i = 0; i < pool->carved; i++, at += step) {
		if (!python_block_live(pool, i))
			continue;
		if (ENTRY_STACK(entries[at])) {
			counts->matched++;
		} else if (look->begins || (was && python_marks_has(&check->old.marks, old_arena,
								    old_first + at))) {
			try(python_marks_set(&look->left.marks, arena, first + at));
			counts->before++;
			continue;
		}
		counts->count++;
	}
	return NULL;
}

/* Whether tracing and the pool say the same. */
static bool counts_agree(const struct look *look, const struct pool_counts *counts)
{
	return look->begins ||
	       (counts->matched == counts->count &&
		(look->check->source.lazy || counts->matched == counts->traced_count));
}

static void counts_add(struct look *look, const struct pool_counts *counts, uint32_t block_size)
{
	bool lazy = look->check->source.lazy;

	look->counts.before_count += counts->before;
	look->counts.before_size += counts->before * block_size;
	look->counts.count += counts->count;
	look->counts.size += counts->count * block_size;
	look->counts.traced_count += lazy ? counts->matched : counts->traced_count;
	look->counts.traced_size += lazy ? counts->matched * block_size : counts->traced_size;
}

/* Counts POOL if tracing agrees with it, or if this is the LAST look. */
static struct error *pool_count(struct look *look, const struct python_pool *pool,
				const uint32_t *entries, bool last, bool *ret_counted)
{
	struct pool_counts counts = {0};

	entries_count(look->check, entries, &counts);
	try(blocks_count(look, pool, entries, &counts));
	*ret_counted = last || counts_agree(look, &counts);
	if (*ret_counted)
		counts_add(look, &counts, pool->block_size);
	return NULL;
}

/*
 * The caller hands out no empty pools. Checks those before END: their entries must be empty as
 * well.
 */
static void empty_look(struct look *look, uint64_t end)
{
	const struct heap_check *check = look->check;
	const struct python_heap *heap = &check->source.python->heap;

	for (; look->seen < end; look->seen += heap->pool_size) {
		struct pool_counts counts = {0};

		entries_count(check,
			      check->entries +
				      (look->seen - look->arena->address) / heap->alignment,
			      &counts);
		if (!counts_agree(look, &counts))
			check->again[look->again_count++] = look->seen;
	}
}

static struct error *pool_look(void *context, const struct python_pool *pool)
{
	struct look *look = context;
	const struct heap_check *check = look->check;
	const struct python_heap *heap = &check->source.python->heap;
	bool counted;

	empty_look(look, pool->address);
	look->seen += heap->pool_size;
	try(pool_count(look, pool,
		       check->entries + (pool->address - look->arena->address) / heap->alignment,
		       false, &counted));
	if (!counted)
		check->again[look->again_count++] = pool->address;
	return NULL;
}

static struct error *pool_look_again(void *context, const struct python_pool *pool)
{
	struct look *look = context;

	look->empty = false;
	return pool_count(look, pool, look->check->entries, look->last, &look->settled);
}

static bool unread_same(const struct python_pools_unread *a, const struct python_pools_unread *b)
{
	return a->arenas == b->arenas && a->unstable == b->unstable;
}

/*
 * The target runs between reading a pool and reading its entries. If they differ each time that
 * both are read, there is another reason.
 */
static struct error *pool_settle(struct look *look, uint64_t address)
{
	struct heap_check *check = look->check;
	const struct heap_check_source *source = &check->source;
	struct python_pools_unread before = python_pools_unread(check->pools), after;

	look->settled = false;
	for (unsigned i = 0; i < LOOK_AGAIN && !look->settled; i++) {
		struct pool_counts counts = {0};

		look->last = i == LOOK_AGAIN - 1;
		look->empty = true;
		try(source->entries(source->context, address, pool_granules(check),
				    check->entries));
		try(python_pools_at(check->pools, address, pool_look_again, look));
		after = python_pools_unread(check->pools);
		if (!unread_same(&before, &after))
			return NULL; /* nothing is known of it */
		if (!look->empty)
			continue;
		entries_count(check, check->entries, &counts);
		look->settled = look->last || counts_agree(look, &counts);
		if (look->settled)
			counts_add(look, &counts, 0);
	}
	return NULL;
}

/* The entries are read first, so that little time passes between them and the pools. */
static struct error *arena_look(void *context, const struct python_arena *arena)
{
	struct look *look = context;
	struct heap_check *check = look->check;
	const struct heap_check_source *source = &check->source;
	uint64_t pool_size = source->python->heap.pool_size;

	look->arena = arena;
	look->again_count = 0;
	look->seen = (arena->address + pool_size - 1) & -pool_size;
	try(source->entries(source->context, arena->address, arena_granules(check),
			    check->entries));
	try(python_pools_each(check->pools, arena, pool_look, look));
	empty_look(look, arena->pool_address & -pool_size);
	for (size_t i = 0; i < look->again_count; i++)
		try(pool_settle(look, check->again[i]));
	if (source->rest)
		source->rest(source->context);
	return NULL;
}

static struct error *heaps_look(struct heap_check *check, const struct python_heaps *heaps,
				struct look *look)
{
	uint64_t unstable = python_pools_unread(check->pools).unstable;
	struct error *error = old_init(&look->left, check, heaps);

	if (!error)
		error = python_heaps_each(heaps, arena_look, look);
	if (error) {
		old_deinit(&look->left);
		return error;
	}
	look->counts.unstable = python_pools_unread(check->pools).unstable - unstable;
	old_deinit(&check->old);
	check->old = look->left;
	return NULL;
}

struct error *heap_check_begin(struct heap_check *check, const struct python_heaps *heaps)
{
	struct look look = {.check = check, .begins = true};

	try(heaps_look(check, heaps, &look));
	check->start = look.counts;
	check->start.count = check->start.size = 0;
	return NULL;
}

const struct heap_check_counts *heap_check_before(const struct heap_check *check)
{
	return &check->start;
}

struct error *heap_check_count(struct heap_check *check, const struct python_heaps *heaps,
			       struct heap_check_counts *ret)
{
	struct look look = {.check = check};

	try(heaps_look(check, heaps, &look));
	look.counts.unstable += check->start.unstable;
	*ret = look.counts;
	return NULL;
}

double heap_check_share(const struct heap_check_counts *counts)
{
	return counts->size < HEAP_CHECK_LEAST ? -1 : (double)counts->traced_size / counts->size;
}

struct error *heap_check_create(const struct heap_check_source *source, struct heap_check **ret)
{
	struct heap_check *check = calloc(1, sizeof(*check));
	struct error *error;

	if (!check)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the heap's growth");
	check->source = *source;
	error = python_pools_create(source->python, &check->pools);
	if (!error) {
		check->entries = calloc(arena_granules(check), sizeof(*check->entries));
		check->again =
			calloc(arena_granules(check) / pool_granules(check), sizeof(*check->again));
		if (!check->entries || !check->again)
			error = error_create_errno(ERROR_FAILED, ENOMEM, "the heap's growth");
	}
	if (error) {
		heap_check_destroy(check);
		return error;
	}
	*ret = check;
	return NULL;
}

void heap_check_destroy(struct heap_check *check)
{
	if (!check)
		return;
	old_deinit(&check->old);
	python_pools_destroy(check->pools);
	free(check->entries);
	free(check->again);
	free(check);
}
