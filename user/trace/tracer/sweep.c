// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Takes dead blocks out of the shadow, by what their pools say. */
#include "trace/tracer/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/heap/pools.h"
#include "target/process/memory.h"

/* times, a pool that does not hold together: a torn read hardly survives two */
#define READ_AGAIN    5
#define POOLS_MAX     (TMBPF_SLAB_ENTRIES * 16 / 4096) /* in a slab */
#define POOL_GRANULES (PYTHON_POOL_MAX / 8)

/* What is known of a pool's memory. */
enum pool_memory { POOL_UNREAD, POOL_READ, POOL_GONE };

enum verdict { VERDICT_LIVE, VERDICT_DEAD, VERDICT_UNKNOWN };

struct suspect {
	uint32_t granule;
	uint32_t entry; /* without the mark */
};

struct sweep {
	const struct python_heap *heap;
	struct sweep_tracer tracer;
	uint64_t base; /* of this slab */
	uint32_t *entries;
	uint32_t pool_count, pool_granules;
	uint8_t *memory; /* of all pools of a slab */
	enum pool_memory read[POOLS_MAX];
	bool wanted[POOLS_MAX];
	struct suspect *suspects;
	size_t suspect_count;
	uint64_t free_blocks[PYTHON_POOL_BLOCKS / 64]; /* of this pool */
	uint64_t live[POOL_GRANULES / 64]; /* its granules at which a live block begins */
	struct python_pool pool;
	enum python_pool_state state;
};

struct error *sweep_create(const struct python_heap *heap, const struct sweep_tracer *tracer,
			   struct sweep **ret)
{
	struct sweep *sweep = calloc(1, sizeof(*sweep));

	if (!sweep)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a walk over the pools");
	sweep->heap = heap;
	sweep->tracer = *tracer;
	sweep->pool_granules = heap->pool_size / heap->alignment;
	sweep->pool_count = TMBPF_SLAB_ENTRIES / sweep->pool_granules;
	sweep->memory = malloc(sweep_range(sweep));
	sweep->suspects = calloc(TMBPF_SLAB_ENTRIES, sizeof(*sweep->suspects));
	if (!sweep->memory || !sweep->suspects) {
		sweep_destroy(sweep);
		return error_create_errno(ERROR_FAILED, ENOMEM, "a walk over the pools");
	}
	*ret = sweep;
	return NULL;
}

void sweep_destroy(struct sweep *sweep)
{
	if (!sweep)
		return;
	free(sweep->memory);
	free(sweep->suspects);
	free(sweep);
}

uint64_t sweep_range(const struct sweep *sweep)
{
	return (uint64_t)TMBPF_SLAB_ENTRIES * sweep->heap->alignment;
}

/* Two entries at a time. */
typedef uint64_t __attribute__((may_alias)) entry_pair;

static bool range_has_entry(const uint32_t *entries, uint32_t count)
{
	const entry_pair *pairs = (const entry_pair *)entries;
	uint64_t any = 0;

	for (uint32_t i = 0; i < count / 2; i++)
		any |= __atomic_load_n(&pairs[i], __ATOMIC_RELAXED);
	return any;
}

static struct error *pool_read_alone(struct sweep *sweep, uint32_t pool)
{
	uint64_t offset = (uint64_t)pool * sweep->heap->pool_size;
	struct error *error = memory_read(sweep->tracer.memory, sweep->base + offset,
					  sweep->memory + offset, sweep->heap->pool_size);

	if (error && error_number(error) != EFAULT)
		return error;
	sweep->read[pool] = error ? POOL_GONE : POOL_READ;
	error_destroy(error);
	return NULL;
}

/* Reads COUNT pools from FIRST on: in one go, if all of them are there. */
static struct error *pools_read_run(struct sweep *sweep, uint32_t first, uint32_t count)
{
	uint64_t offset = (uint64_t)first * sweep->heap->pool_size;
	struct error *error = memory_read(sweep->tracer.memory, sweep->base + offset,
					  sweep->memory + offset,
					  (uint64_t)count * sweep->heap->pool_size);

	if (!error) {
		for (uint32_t i = 0; i < count; i++)
			sweep->read[first + i] = POOL_READ;
		return NULL;
	}
	error_destroy(error);
	for (uint32_t i = 0; i < count; i++)
		try(pool_read_alone(sweep, first + i));
	return NULL;
}

static struct error *pools_read(struct sweep *sweep)
{
	uint32_t first = 0, end;

	for (; first < sweep->pool_count; first = end + 1) {
		for (end = first; end < sweep->pool_count && sweep->wanted[end]; end++)
			;
		if (end > first)
			try(pools_read_run(sweep, first, end - first));
	}
	return NULL;
}

/* Notes where the live blocks of this pool begin. */
static void pool_live(struct sweep *sweep)
{
	const struct python_pool *pool = &sweep->pool;
	uint32_t granule = PYTHON_POOL_OVERHEAD / sweep->heap->alignment;
	uint32_t step =
		sweep->state == PYTHON_POOL_SOUND ? pool->block_size / sweep->heap->alignment : 0;

	memset(sweep->live, 0, sizeof(sweep->live));
	for (uint32_t i = 0; step && i < pool->carved; i++, granule += step)
		if (python_block_live(pool, i))
			sweep->live[granule / 64] |= 1ULL << (granule % 64);
}

/* Makes POOL the current one. RET false: it changed whenever it was read. */
static struct error *pool_load(struct sweep *sweep, uint32_t pool, bool *ret)
{
	const uint8_t *memory = sweep->memory + (uint64_t)pool * sweep->heap->pool_size;

	*ret = true;
	for (int i = 0; sweep->read[pool] == POOL_READ; i++) {
		sweep->pool.address = sweep->base + (uint64_t)pool * sweep->heap->pool_size;
		sweep->state =
			python_pool_parse(sweep->heap, memory, sweep->free_blocks, &sweep->pool);
		if (sweep->state == PYTHON_POOL_SOUND || sweep->state == PYTHON_POOL_EMPTY) {
			pool_live(sweep);
			return NULL;
		}
		if (i == READ_AGAIN)
			break;
		try(pool_read_alone(sweep, pool));
	}
	if (sweep->read[pool] == POOL_GONE)
		sweep->state = PYTHON_POOL_EMPTY;
	pool_live(sweep);
	/* If it is never a pool, its memory is something else's by now. */
	*ret = sweep->state != PYTHON_POOL_TORN;
	return NULL;
}

/* Whether the block at GRANULE of this pool is dead. */
static bool block_dead(const struct sweep *sweep, uint32_t granule)
{
	granule &= sweep->pool_granules - 1;
	return !(sweep->live[granule / 64] >> (granule % 64) & 1);
}

static bool entry_exchange(uint32_t *entry, uint32_t from, uint32_t to)
{
	return __atomic_compare_exchange_n(entry, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

/* Marks the entries of this pool that seem dead as suspects. FIRST is its first granule. */
static void pool_suspect(struct sweep *sweep, uint32_t first)
{
	for (uint32_t i = first; i < first + sweep->pool_granules; i++) {
		uint32_t entry = __atomic_load_n(&sweep->entries[i], __ATOMIC_RELAXED);

		if (!entry || !block_dead(sweep, i) ||
		    !entry_exchange(&sweep->entries[i], entry, entry | TMBPF_SUSPECT))
			continue;
		sweep->suspects[sweep->suspect_count++] =
			(struct suspect){i, entry & ~TMBPF_SUSPECT};
	}
}

static struct error *slab_suspect(struct sweep *sweep, struct sweep_counters *counters)
{
	for (uint32_t i = 0; i < sweep->pool_count; i++) {
		size_t before = sweep->suspect_count;
		bool stable;

		if (!sweep->wanted[i])
			continue;
		counters->pools++;
		try(pool_load(sweep, i, &stable));
		if (stable)
			pool_suspect(sweep, i * sweep->pool_granules);
		else
			counters->unstable++;
		/* Only pools with suspects are read again. */
		sweep->wanted[i] = sweep->suspect_count > before;
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

/* Copies what the heaps handed out last to RET. Returns how many there are. */
static size_t handed_read(const struct sweep *sweep, struct tmbpf_handed *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < TMBPF_HANDED_MAX; i++) {
		ret[count].address =
			__atomic_load_n(&sweep->tracer.handed[i].address, __ATOMIC_SEQ_CST);
		if (ret[count].address)
			count++;
	}
	return count;
}

/* Takes SUSPECT out, if its address was not handed out since. */
static void suspect_drop(struct sweep *sweep, const struct suspect *suspect,
			 struct sweep_counters *counters)
{
	uint32_t *entry = &sweep->entries[suspect->granule];
	uint32_t marked = suspect->entry | TMBPF_SUSPECT;

	if (ENTRY_CODE(suspect->entry))
		sweep->tracer.end_code(sweep->tracer.context,
				       sweep->base +
					       (uint64_t)suspect->granule * sweep->heap->alignment,
				       entry, marked);
	if (!entry_exchange(entry, marked, 0))
		return;
	counters->dead++;
	sweep->tracer.drop(sweep->tracer.context, suspect->entry);
}

/* Looks at each suspect again, pool by pool. One that is not dead for certain is spared. */
static struct error *suspects_judge(struct sweep *sweep, const struct tmbpf_handed *handed,
				    size_t handed_count, struct sweep_counters *counters)
{
	uint32_t at = UINT32_MAX;
	bool stable = false;

	for (size_t i = 0; i < sweep->suspect_count; i++) {
		const struct suspect *suspect = &sweep->suspects[i];
		uint32_t pool = suspect->granule / sweep->pool_granules;
		uint64_t address =
			sweep->base + (uint64_t)suspect->granule * sweep->heap->alignment;

		if (pool != at) {
			try(pool_load(sweep, pool, &stable));
			counters->unstable += !stable;
			at = pool;
		}
		if (stable && block_dead(sweep, suspect->granule) &&
		    !is_handed(handed, handed_count, address))
			suspect_drop(sweep, suspect, counters);
	}
	return NULL;
}

static struct error *suspects_settle(struct sweep *sweep, struct sweep_counters *counters)
{
	struct tmbpf_handed handed[TMBPF_HANDED_MAX + 1];
	size_t count = handed_read(sweep, handed);
	bool any = false;

	for (size_t i = 0; i < sweep->suspect_count && !any; i++)
		any = is_handed(handed, count,
				sweep->base + (uint64_t)sweep->suspects[i].granule *
						      sweep->heap->alignment);
	/*
	 * Before the pools are read again: a thread that sleeps now has taken its block already, or
	 * takes it later.
	 */
	if (any && sweep->tracer.asleep(sweep->tracer.context))
		count = 0;
	try(pools_read(sweep));
	return suspects_judge(sweep, handed, count, counters);
}

struct error *sweep_slab(struct sweep *sweep, uint32_t *entries, uint64_t address,
			 struct sweep_counters *counters)
{
	struct error *error;

	sweep->entries = entries;
	sweep->base = address;
	sweep->suspect_count = 0;
	for (uint32_t i = 0; i < sweep->pool_count; i++)
		sweep->wanted[i] =
			range_has_entry(entries + i * sweep->pool_granules, sweep->pool_granules);
	error = pools_read(sweep);
	if (!error)
		error = slab_suspect(sweep, counters);
	if (!error && sweep->suspect_count)
		error = suspects_settle(sweep, counters);
	/* Removes the marks. This fails for entries that were taken out or handed out again. */
	for (size_t i = 0; i < sweep->suspect_count; i++)
		entry_exchange(&entries[sweep->suspects[i].granule],
			       sweep->suspects[i].entry | TMBPF_SUSPECT, sweep->suspects[i].entry);
	return error;
}
