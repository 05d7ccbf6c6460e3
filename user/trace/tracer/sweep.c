// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/tracer/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/heap/pools.h"
#include "target/process/memory.h"

#define READ_AGAIN    5 /* a pool that did not hold together: a torn read hardly survives two */
#define POOLS_MAX     (TMBPF_SLAB_ENTRIES * 16 / 4096) /* in a slab */
#define POOL_GRANULES (PYTHON_POOL_MAX / 8)

/* What is known of a pool's memory. */
enum pool_memory { POOL_UNREAD, POOL_READ, POOL_GONE };

enum verdict { VERDICT_LIVE, VERDICT_DEAD, VERDICT_UNKNOWN };

struct suspect {
	uint32_t granule;
	uint32_t entry; /* without the mark */
};

struct reaper {
	const struct python_heap *heap;
	struct reaper_tracer tracer;
	uint64_t base; /* of the slab at hand */
	uint32_t *entries;
	uint32_t pool_count, pool_granules;
	uint8_t *memory; /* of all pools of a slab */
	enum pool_memory read[POOLS_MAX];
	bool wanted[POOLS_MAX];
	struct suspect *suspects;
	size_t suspect_count;
	uint64_t free_blocks[PYTHON_POOL_BLOCKS / 64]; /* of the pool at hand */
	uint64_t live[POOL_GRANULES / 64];             /* its granules where a live block begins */
	struct python_pool pool;
	enum python_pool_state state;
};

struct error *reaper_create(const struct python_heap *heap, const struct reaper_tracer *tracer,
			    struct reaper **ret)
{
	struct reaper *reaper = calloc(1, sizeof(*reaper));

	if (!reaper)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a walk over the pools");
	reaper->heap = heap;
	reaper->tracer = *tracer;
	reaper->pool_granules = heap->pool_size / heap->alignment;
	reaper->pool_count = TMBPF_SLAB_ENTRIES / reaper->pool_granules;
	reaper->memory = malloc(reaper_span(reaper));
	reaper->suspects = calloc(TMBPF_SLAB_ENTRIES, sizeof(*reaper->suspects));
	if (!reaper->memory || !reaper->suspects) {
		reaper_destroy(reaper);
		return error_create_errno(ERROR_FAILED, ENOMEM, "a walk over the pools");
	}
	*ret = reaper;
	return NULL;
}

void reaper_destroy(struct reaper *reaper)
{
	if (!reaper)
		return;
	free(reaper->memory);
	free(reaper->suspects);
	free(reaper);
}

uint64_t reaper_span(const struct reaper *reaper)
{
	return (uint64_t)TMBPF_SLAB_ENTRIES * reaper->heap->alignment;
}

/* Entries two at a time. */
typedef uint64_t __attribute__((may_alias)) entry_pair;

static bool range_has_entry(const uint32_t *entries, uint32_t count)
{
	const entry_pair *pairs = (const entry_pair *)entries;
	uint64_t any = 0;

	for (uint32_t i = 0; i < count / 2; i++)
		any |= __atomic_load_n(&pairs[i], __ATOMIC_RELAXED);
	return any;
}

static struct error *pool_read_alone(struct reaper *reaper, uint32_t pool)
{
	uint64_t offset = (uint64_t)pool * reaper->heap->pool_size;
	struct error *error = memory_read(reaper->tracer.memory, reaper->base + offset,
					  reaper->memory + offset, reaper->heap->pool_size);

	if (error && error_number(error) != EFAULT)
		return error;
	reaper->read[pool] = error ? POOL_GONE : POOL_READ;
	error_destroy(error);
	return NULL;
}

/* Reads the COUNT pools from FIRST on; in one go, if all of them are there. */
static struct error *pools_read_run(struct reaper *reaper, uint32_t first, uint32_t count)
{
	uint64_t offset = (uint64_t)first * reaper->heap->pool_size;
	struct error *error = memory_read(reaper->tracer.memory, reaper->base + offset,
					  reaper->memory + offset,
					  (uint64_t)count * reaper->heap->pool_size);

	if (!error) {
		for (uint32_t i = 0; i < count; i++)
			reaper->read[first + i] = POOL_READ;
		return NULL;
	}
	error_destroy(error);
	for (uint32_t i = 0; i < count; i++)
		try(pool_read_alone(reaper, first + i));
	return NULL;
}

static struct error *pools_read(struct reaper *reaper)
{
	uint32_t first = 0, end;

	for (; first < reaper->pool_count; first = end + 1) {
		for (end = first; end < reaper->pool_count && reaper->wanted[end]; end++)
			;
		if (end > first)
			try(pools_read_run(reaper, first, end - first));
	}
	return NULL;
}

/* Notes where the live blocks of the pool at hand begin. */
static void pool_live(struct reaper *reaper)
{
	const struct python_pool *pool = &reaper->pool;
	uint32_t granule = PYTHON_POOL_OVERHEAD / reaper->heap->alignment;
	uint32_t step =
		reaper->state == PYTHON_POOL_SOUND ? pool->block_size / reaper->heap->alignment : 0;

	memset(reaper->live, 0, sizeof(reaper->live));
	for (uint32_t i = 0; step && i < pool->carved; i++, granule += step)
		if (python_block_live(pool, i))
			reaper->live[granule / 64] |= 1ULL << (granule % 64);
}

/* Makes POOL the one at hand. False if it never held together. */
static struct error *pool_take(struct reaper *reaper, uint32_t pool, bool *ret)
{
	const uint8_t *memory = reaper->memory + (uint64_t)pool * reaper->heap->pool_size;

	*ret = true;
	for (int i = 0; reaper->read[pool] == POOL_READ; i++) {
		reaper->pool.address = reaper->base + (uint64_t)pool * reaper->heap->pool_size;
		reaper->state =
			python_pool_parse(reaper->heap, memory, reaper->free_blocks, &reaper->pool);
		if (reaper->state == PYTHON_POOL_SOUND || reaper->state == PYTHON_POOL_EMPTY) {
			pool_live(reaper);
			return NULL;
		}
		if (i == READ_AGAIN)
			break;
		try(pool_read_alone(reaper, pool));
	}
	if (reaper->read[pool] == POOL_GONE)
		reaper->state = PYTHON_POOL_EMPTY;
	pool_live(reaper);
	/* What is no pool each time it is looked at is something else's memory by now. */
	*ret = reaper->state != PYTHON_POOL_TORN;
	return NULL;
}

/* Whether the block whose entry is GRANULE of the pool at hand is dead. */
static bool block_dead(const struct reaper *reaper, uint32_t granule)
{
	granule &= reaper->pool_granules - 1;
	return !(reaper->live[granule / 64] >> (granule % 64) & 1);
}

static bool entry_exchange(uint32_t *entry, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(entry, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

/* Suspects those of the pool at hand, whose first granule is FIRST, that seem dead. */
static void pool_suspect(struct reaper *reaper, uint32_t first)
{
	for (uint32_t i = first; i < first + reaper->pool_granules; i++) {
		uint32_t entry = __atomic_load_n(&reaper->entries[i], __ATOMIC_RELAXED);

		if (!entry || !block_dead(reaper, i) ||
		    !entry_exchange(&reaper->entries[i], entry, entry | TMBPF_SUSPECT))
			continue;
		reaper->suspects[reaper->suspect_count++] =
			(struct suspect){i, entry & ~TMBPF_SUSPECT};
	}
}

static struct error *slab_suspect(struct reaper *reaper, struct reaper_counters *counters)
{
	for (uint32_t i = 0; i < reaper->pool_count; i++) {
		size_t before = reaper->suspect_count;
		bool stable;

		if (!reaper->wanted[i])
			continue;
		counters->pools++;
		try(pool_take(reaper, i, &stable));
		if (stable)
			pool_suspect(reaper, i * reaper->pool_granules);
		else
			counters->unstable++;
		/* Only those are read again. */
		reaper->wanted[i] = reaper->suspect_count > before;
	}
	return NULL;
}

static bool is_handed(const struct tmbpf_handed *handed, size_t count, uint64_t address)
{
	for (size_t i = 0; i < count; i++)
		if (handed[i].address == address)
			return true;
	return false;
}

/* Copies what the heaps handed out last to the front of RET; how many there are. */
static size_t handed_read(const struct reaper *reaper, struct tmbpf_handed *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < TMBPF_HANDED_MAX; i++) {
		ret[count].address =
			__atomic_load_n(&reaper->tracer.handed[i].address, __ATOMIC_SEQ_CST);
		if (ret[count].address)
			count++;
	}
	return count;
}

/* Takes SUSPECT out, if its address was not handed out since. */
static void suspect_drop(struct reaper *reaper, const struct suspect *suspect,
			 struct reaper_counters *counters)
{
	uint32_t *entry = &reaper->entries[suspect->granule];
	uint32_t marked = suspect->entry | TMBPF_SUSPECT;

	if (ENTRY_CODE(suspect->entry))
		reaper->tracer.end_code(reaper->tracer.context,
					reaper->base + (uint64_t)suspect->granule *
							       reaper->heap->alignment,
					entry, marked);
	if (!entry_exchange(entry, marked, 0))
		return;
	counters->dead++;
	reaper->tracer.drop(reaper->tracer.context, suspect->entry);
}

/* Looks again at each suspect, pool by pool; what is not dead for certain is suspected no more. */
static struct error *suspects_judge(struct reaper *reaper, const struct tmbpf_handed *handed,
				    size_t handed_count, struct reaper_counters *counters)
{
	uint32_t at = UINT32_MAX;
	bool stable = false;

	for (size_t i = 0; i < reaper->suspect_count; i++) {
		const struct suspect *suspect = &reaper->suspects[i];
		uint32_t pool = suspect->granule / reaper->pool_granules;
		uint64_t address =
			reaper->base + (uint64_t)suspect->granule * reaper->heap->alignment;

		if (pool != at) {
			try(pool_take(reaper, pool, &stable));
			counters->unstable += !stable;
			at = pool;
		}
		if (stable && block_dead(reaper, suspect->granule) &&
		    !is_handed(handed, handed_count, address))
			suspect_drop(reaper, suspect, counters);
	}
	return NULL;
}

static struct error *suspects_settle(struct reaper *reaper, struct reaper_counters *counters)
{
	struct tmbpf_handed handed[TMBPF_HANDED_MAX + 1];
	size_t count = handed_read(reaper, handed);
	bool any = false;

	for (size_t i = 0; i < reaper->suspect_count && !any; i++)
		any = is_handed(handed, count,
				reaper->base + (uint64_t)reaper->suspects[i].granule *
						       reaper->heap->alignment);
	/* Before the pools are read again: who sleeps now has taken its block, or takes it later. */
	if (any && reaper->tracer.asleep(reaper->tracer.context))
		count = 0;
	try(pools_read(reaper));
	return suspects_judge(reaper, handed, count, counters);
}

struct error *reaper_slab(struct reaper *reaper, uint32_t *entries, uint64_t address,
			  struct reaper_counters *counters)
{
	struct error *error;

	reaper->entries = entries;
	reaper->base = address;
	reaper->suspect_count = 0;
	for (uint32_t i = 0; i < reaper->pool_count; i++)
		reaper->wanted[i] =
			range_has_entry(entries + i * reaper->pool_granules, reaper->pool_granules);
	error = pools_read(reaper);
	if (!error)
		error = slab_suspect(reaper, counters);
	if (!error && reaper->suspect_count)
		error = suspects_settle(reaper, counters);
	/* Fails where it was dropped, or handed out again. */
	for (size_t i = 0; i < reaper->suspect_count; i++)
		entry_exchange(&entries[reaper->suspects[i].granule],
			       reaper->suspects[i].entry | TMBPF_SUSPECT,
			       reaper->suspects[i].entry);
	return error;
}
