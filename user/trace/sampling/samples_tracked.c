// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whether the pages and the large blocks that were sampled are still there. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "python/heap/arenas.h"
#include "python/heap/space.h"
#include "target/malloc/glibc.h"
#include "target/process/pagemap.h"
#include "target/process/process.h"
#include "target/process/resident.h"
#include "trace/sampling/tracked.h"
#include "trace/sampling/samples_internal.h"

/* Bytes of malloc_chunk before the memory. */
#define CHUNK_HEADER 16

static int address_compare(const void *left, const void *right)
{
	const struct sample *a = *(struct sample *const *)left, *b = *(struct sample *const *)right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return a->time < b->time ? -1 : a->time > b->time;
}

/* The live ones of KIND, by address and then by time; malloc'd. */
static struct error *alive_sort(struct samples *samples, uint8_t kind, struct sample ***ret,
				size_t *ret_count)
{
	struct sample **list = calloc(samples->count + 1, sizeof(*list));
	size_t count = 0;

	if (!list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot track pages");
	for (size_t i = 0; i < samples->count; i++)
		if (samples->list[i].kind == kind && sample_alive(&samples->list[i]))
			list[count++] = &samples->list[i];
	if (count)
		qsort(list, count, sizeof(*list), address_compare);
	*ret = list;
	*ret_count = count;
	return NULL;
}

/* The index of the first of LIST whose address is not below ADDRESS. */
static size_t sorted_from(struct sample *const *list, size_t count, uint64_t address)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (list[middle]->address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * Whether ADDRESS lies in the chunk of a live block, including its header, which malloc touches
 * first.
 */
static bool blocks_cover(struct sample *const *blocks, size_t count, uint64_t address)
{
	size_t i = sorted_from(blocks, count, address + CHUNK_HEADER + 1);

	/* Some that have just died may lie in between. Live ones do not overlap. */
	for (size_t back = 0; i-- > 0 && back < 8; back++)
		if (sample_alive(blocks[i]) &&
		    address + CHUNK_HEADER - blocks[i]->address < blocks[i]->chunk_size)
			return true;
	return false;
}

/* Looks at a block of the raw domain. FIRST: also notes its chunk's size. */
static void block_look(struct samples *samples, struct sample *block, bool first)
{
	uint64_t size = 0;
	enum tracked_chunk state = tracked_chunk(samples->process, block->address, &size);

	if (state == TRACKED_FREE ||
	    (state == TRACKED_USED &&
	     (size < block->size || (!first && size != block->chunk_size)))) {
		block->died = clock_now(CLOCK_MONOTONIC);
		return;
	}
	if (first)
		block->chunk_size = size;
	/* What is resident usually stays so. */
	if (block->resident + 2 * PAGEMAP_PAGE < block->size)
		block->resident = resident_bytes(samples->resident, block->address,
						 block->address + block->size);
}

/* A block is dead if another was allocated at its address later. */
static void blocks_replace(struct sample **blocks, size_t count)
{
	for (size_t i = 0; i + 1 < count; i++)
		if (blocks[i]->address == blocks[i + 1]->address)
			blocks[i]->died = blocks[i + 1]->time;
}

static struct error *blocks_settle(struct samples *samples, struct sample ***ret, size_t *ret_count)
{
	try(alive_sort(samples, TMBPF_SAMPLE_LARGE, ret, ret_count));
	blocks_replace(*ret, *ret_count);
	for (size_t i = samples->fresh; i < samples->count; i++) {
		struct sample *sample = &samples->list[i];

		if (sample->kind == TMBPF_SAMPLE_LARGE && sample_alive(sample))
			block_look(samples, sample, true);
	}
	return NULL;
}

static struct error *pages_settle(struct samples *samples, struct sample *const *blocks,
				  size_t block_count)
{
	struct python_heaps heaps;
	struct python_space *space;
	struct error *error;

	try(python_heaps_read(tracer_python(samples->tracer), &heaps));
	error = python_space_create(tracer_python(samples->tracer), &heaps, &space);
	python_heaps_deinit(&heaps);
	try(error);
	for (size_t i = samples->fresh; i < samples->count; i++) {
		struct sample *sample = &samples->list[i];

		if (sample->kind != TMBPF_SAMPLE_FAULT)
			continue;
		if (python_space_arena(space, sample->address) != PYTHON_NO_ARENA ||
		    !resident_page(samples->resident, sample->address) ||
		    blocks_cover(blocks, block_count, sample->address))
			sample->died = sample->time;
		else
			sample->size = resident_page_size(samples->resident, sample->address);
	}
	python_space_destroy(space);
	return NULL;
}

struct error *samples_settle(struct samples *samples)
{
	cleanup_free struct sample **blocks = NULL;
	size_t count, kept = samples->fresh;

	if (samples->fresh == samples->count)
		return NULL;
	try(blocks_settle(samples, &blocks, &count));
	try(pages_settle(samples, blocks, count));
	/* What was read of a process that ended meanwhile means nothing. */
	try(process_check(samples->process));
	for (size_t i = samples->fresh; i < samples->count; i++)
		if (sample_alive(&samples->list[i]))
			samples->list[kept++] = samples->list[i];
	samples->count = kept;
	return NULL;
}

static void page_look(struct samples *samples, struct sample *page, struct sample *const *blocks,
		      size_t block_count)
{
	enum tracked_chunk state = TRACKED_UNKNOWN;
	uint64_t size = 0;

	if (page->chunk)
		state = tracked_chunk(samples->process, page->chunk, &size);
	if (!resident_page(samples->resident, page->address) || state == TRACKED_FREE ||
	    (state == TRACKED_USED && page->chunk_size && size != page->chunk_size) ||
	    blocks_cover(blocks, block_count, page->address))
		page->died = clock_now(CLOCK_MONOTONIC);
	else if (state == TRACKED_USED)
		page->chunk_size = size;
}

struct error *samples_look(struct samples *samples)
{
	cleanup_free struct sample **blocks = NULL;
	uint64_t began = clock_now(CLOCK_MONOTONIC);
	struct error *error;
	size_t count;

	for (size_t i = 0; i < samples->fresh; i++)
		if (samples->list[i].kind == TMBPF_SAMPLE_LARGE && sample_alive(&samples->list[i]))
			block_look(samples, &samples->list[i], false);
	try(alive_sort(samples, TMBPF_SAMPLE_LARGE, &blocks, &count));
	for (size_t i = 0; i < samples->fresh; i++)
		if (samples->list[i].kind == TMBPF_SAMPLE_FAULT && sample_alive(&samples->list[i]))
			page_look(samples, &samples->list[i], blocks, count);
	error = process_check(samples->process);
	/* What was read of a process that ended meanwhile means nothing. */
	for (size_t i = 0; error && i < samples->fresh; i++)
		if (!sample_alive(&samples->list[i]) && samples->list[i].died >= began)
			samples->list[i].died = ESTIMATE_ALIVE;
	return error;
}

/* If the chunk in which PAGE was touched is not what it was, the page's owner is dead. */
static void page_place(struct sample *page, const struct glibc_chunk *chunk)
{
	if (glibc_state_free(chunk->state) ||
	    (page->chunk && (page->chunk != chunk->address || page->usable != chunk->size))) {
		page->ending = true;
		return;
	}
	page->chunk = chunk->address;
	page->usable = chunk->size;
	page->place = chunk->size < TRACER_LARGE_LEAST ? SAMPLE_SMALL : SAMPLE_LARGE;
}

/* Chunks come by address, but for a few turns back. */
static void chunk_see(void *context, const struct glibc_chunk *chunk)
{
	struct samples *samples = context;
	uint64_t start = chunk->address - CHUNK_HEADER;

	if (start < samples->chunk_last)
		samples->cursor = sorted_from(samples->sorted, samples->sorted_count, start);
	samples->chunk_last = start;
	while (samples->cursor < samples->sorted_count &&
	       samples->sorted[samples->cursor]->address < start)
		samples->cursor++;
	while (samples->cursor < samples->sorted_count &&
	       samples->sorted[samples->cursor]->address < start + chunk->total)
		page_place(samples->sorted[samples->cursor++], chunk);
}

struct error *samples_walk_begin(struct samples *samples, struct native_memory_visitor *ret)
{
	free(samples->sorted);
	samples->sorted = NULL;
	samples->cursor = samples->sorted_count = 0;
	samples->chunk_last = 0;
	try(alive_sort(samples, TMBPF_SAMPLE_FAULT, &samples->sorted, &samples->sorted_count));
	*ret = (struct native_memory_visitor){.visit = chunk_see, .context = samples};
	return NULL;
}

void samples_walk_end(struct samples *samples, const struct native_memory *native, bool done)
{
	for (size_t i = 0; i < samples->sorted_count; i++) {
		struct sample *page = samples->sorted[i];
		bool ending = page->ending;

		page->ending = false;
		/*
		 * A walk that failed tells nothing. A page in a heap but in no chunk is free memory
		 * at the heap's end.
		 */
		if (!done)
			continue;
		if (ending ||
		    (page->place == SAMPLE_UNKNOWN && native_memory_in_heap(native, page->address)))
			page->died = clock_now(CLOCK_MONOTONIC);
		else if (page->place == SAMPLE_UNKNOWN)
			page->place = SAMPLE_OTHER;
	}
	free(samples->sorted);
	samples->sorted = NULL;
	samples->sorted_count = 0;
}
