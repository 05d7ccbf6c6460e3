// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Takes a census: counts the blocks of pools and of malloc, and what they are. */
#include "python/heap/census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "python/heap/census_internal.h"
#include "python/malloc.h"
#include "python/python_internal.h"
#include "target/process/resident.h"

/* An object, or none: RET says which. */
static struct error *block_tally(struct census_work *work, const uint8_t *block, uint32_t room,
				 uint64_t size, bool *ret)
{
	struct python_object object;
	struct tally *tally;

	try(python_types_object(work->census->types, block, room, &object));
	*ret = object.type != PYTHON_NO_TYPE;
	if (!*ret)
		return NULL;
	try(census_tally(work, object.type, &tally));
	if (object.unreferenced) {
		tally->unreferenced_count++;
		tally->unreferenced_size += size;
	} else {
		tally->count++;
		tally->size += size;
	}
	return NULL;
}

static void label_tally(struct census_work *work, unsigned int label, uint64_t size)
{
	work->labels[label].row.count++;
	work->labels[label].row.size += size;
}

static struct error *block_count(struct census_work *work, const struct python_pool *pool,
				 uint32_t i)
{
	uint32_t offset = PYTHON_POOL_OVERHEAD + i * pool->block_size;
	struct python_space_block found;
	bool typed;

	try(block_tally(work, pool->memory + offset, pool->block_size, pool->block_size, &typed));
	if (typed)
		return NULL;
	label_tally(work, LABEL_UNOWNED, pool->block_size);
	if (work->depth == PYTHON_CENSUS_OWNERS &&
	    python_space_block(work->space, pool->address + offset, &found))
		try(python_marks_set(&work->marks, found.arena, found.granule));
	return NULL;
}

static unsigned int native_class(uint64_t size)
{
	unsigned int bits = size > 1 ? 64 - (unsigned int)__builtin_clzll(size - 1) : 0;

	return bits < PYTHON_CENSUS_NATIVE_CLASSES ? bits : PYTHON_CENSUS_NATIVE_CLASSES - 1;
}

static struct error *chunk_count(void *context, const struct glibc_chunk *chunk)
{
	struct census_work *work = context;
	struct glibc_sum *sum = &work->native[native_class(chunk->size)];
	uint32_t room = (uint32_t)chunk->start_size;
	bool typed;

	if (glibc_state_free(chunk->state))
		return NULL;
	if (chunk->state == GLIBC_MAPPED && work->resident)
		work->census->memory.malloc_mapped += resident_bytes(work->resident, chunk->address,
								     chunk->address + chunk->size);
	sum->count++;
	sum->bytes += chunk->size;
	if (work->depth == PYTHON_CENSUS_SIZES)
		return NULL;
	if (chunk->size < room)
		room = (uint32_t)chunk->size;
	try(block_tally(work, chunk->start, room, chunk->size, &typed));
	if (typed)
		return NULL;
	label_tally(work, LABEL_NATIVE, chunk->size);
	return work->depth == PYTHON_CENSUS_OWNERS
		       ? python_chunks_add(&work->chunks, chunk->address, chunk->size)
		       : NULL;
}

static struct error *pool_count(void *context, const struct python_pool *pool)
{
	struct census_work *work = context;
	uint32_t class = pool->block_size / work->python->heap.alignment;

	work->class_pools[class]++;
	work->class_blocks[class] += pool->live;
	if (work->depth == PYTHON_CENSUS_SIZES)
		return NULL;
	python_space_pool_set(work->space, pool->address, pool->block_size);
	for (uint32_t i = 0; i < pool->carved; i++)
		if (python_block_live(pool, i))
			try(block_count(work, pool, i));
	return NULL;
}

static struct error *row_add(struct python_census *census, size_t *capacity,
			     const struct python_census_row *row)
{
	if (!row->count)
		return NULL;
	try(array_reserve(&census->rows, capacity, census->row_count, 1, sizeof(*census->rows)));
	census->rows[census->row_count++] = *row;
	return NULL;
}

static struct error *rows_make(struct census_work *work)
{
	struct python_census *census = work->census;
	size_t types = python_types_count(census->types), capacity = 0;

	for (uint32_t i = 0; i < types && i < work->tally_capacity; i++) {
		const struct tally *tally = &work->tallies[i];
		const struct python_census_row objects = {PYTHON_CENSUS_OBJECT, i, 0, tally->count,
							  tally->size};
		const struct python_census_row unreferenced = {PYTHON_CENSUS_UNREFERENCED, i, 0,
							       tally->unreferenced_count,
							       tally->unreferenced_size};

		try(row_add(census, &capacity, &objects));
		try(row_add(census, &capacity, &unreferenced));
	}
	for (size_t i = 0; i < work->label_count; i++)
		try(row_add(census, &capacity, &work->labels[i].row));
	return NULL;
}

static void sizes_fill(struct census_work *work)
{
	struct python_census *census = work->census;

	for (uint32_t i = 1; i <= PYTHON_CENSUS_CLASSES; i++) {
		uint32_t size = i * work->python->heap.alignment;

		if (!work->class_pools[i])
			continue;
		census->sizes[census->size_count++] = (struct python_census_size){
			size, work->class_pools[i], work->class_blocks[i]};
		census->count += work->class_blocks[i];
		census->size += work->class_blocks[i] * size;
	}
	for (uint32_t i = 0; i < PYTHON_CENSUS_NATIVE_CLASSES; i++)
		census->native[i] = work->native[i];
}

static void heaps_fill(struct census_work *work)
{
	struct python_census *census = work->census;

	census->heaps = work->heaps.count;
	for (size_t i = 0; i < work->heaps.count; i++)
		census->arenas += work->heaps.list[i].count;
	census->arena_bytes = (uint64_t)census->arenas << work->python->heap.arena_bits;
}

/* The interpreter counts what came from the raw allocator, or that and its pools' blocks. */
static void allocated_fill(struct census_work *work)
{
	struct python_census *census = work->census;
	uint64_t counted = 0;

	census->allocated_blocks = UINT64_MAX;
	for (size_t i = 0; i < work->heaps.count; i++) {
		if (work->heaps.list[i].counted == PYTHON_COUNTED_UNKNOWN)
			return;
		counted += work->heaps.list[i].blocks;
	}
	if (!work->heaps.count)
		return;
	census->allocated_blocks = work->heaps.list[0].counted == PYTHON_COUNTED_ALL
					   ? counted
					   : counted + census->count;
}

static struct error *work_begin(struct census_work *work)
{
	const struct python *python = work->python;
	uint32_t granules = 1u << python->heap.arena_bits;

	try(census_labels_init(work));
	try(python_heaps_read(python, &work->heaps));
	heaps_fill(work);
	try(python_space_create(python, &work->heaps, &work->space));
	try(python_space_ranges(work->space, &work->excluded));
	try(python_marks_init(&work->marks, work->space->arena_count,
			      granules >> work->space->granule_bits));
	try(python_pools_create(python, &work->pools));
	/* Without it the census does not say what part of the memory that it found takes room. */
	error_destroy(resident_create(python->process, &work->resident));
	return python_types_create(python, work->space, &work->census->types);
}

static struct error *maps_add(struct census_work *work)
{
	struct python_census_memory *memory = &work->census->memory;
	struct process_map *maps;
	size_t count;

	try(process_maps(work->python->process, &maps, &count));
	for (size_t i = 0; i < count; i++) {
		const struct process_map *map = &maps[i];

		if (map->shared)
			continue;
		if (map->path[0] == '/')
			memory->data += resident_bytes(work->resident, map->start, map->end);
		else if (strcmp(map->path, "[stack]") == 0)
			memory->stack += resident_bytes(work->resident, map->start, map->end);
		else
			memory->anonymous += resident_bytes(work->resident, map->start, map->end);
	}
	process_maps_destroy(maps, count);
	return NULL;
}

/* What malloc has, and what all of it takes in memory. */
static struct error *memory_fill(struct census_work *work)
{
	struct python_census_memory *memory = &work->census->memory;
	struct python_census *census = work->census;
	struct glibc_range range;
	size_t i;

	census->malloc = *glibc_totals(work->glibc);
	if (glibc_absent(work->glibc)) {
		census->malloc_absent = strdup(glibc_absent(work->glibc));
		if (!census->malloc_absent)
			return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
	}
	if (glibc_other(work->glibc)) {
		census->malloc_other = strdup(glibc_other(work->glibc));
		if (!census->malloc_other)
			return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
	}
	if (!work->resident)
		return NULL;
	try(maps_add(work));
	memory->known = true;
	for (i = 0; i < work->space->arena_count; i++)
		memory->arenas += resident_bytes(work->resident, work->excluded[i].start,
						 work->excluded[i].end);
	for (i = 0; glibc_heap_range(work->glibc, i, &range); i++)
		memory->malloc_heaps += resident_bytes(work->resident, range.start, range.end);
	return NULL;
}

static struct error *census_run(struct census_work *work)
{
	try(work_begin(work));
	try(python_pools_all(work->pools, &work->heaps, work->depth == PYTHON_CENSUS_SIZES,
			     pool_count, work));
	work->census->unread = python_pools_unread(work->pools);
	try(census_chunks_each(work, chunk_count));
	try(memory_fill(work));
	sizes_fill(work);
	allocated_fill(work);
	if (work->depth == PYTHON_CENSUS_OWNERS)
		try(census_owners_find(work));
	return rows_make(work);
}

static void work_end(struct census_work *work)
{
	python_pools_destroy(work->pools);
	python_marks_deinit(&work->marks);
	python_chunks_deinit(&work->chunks);
	glibc_destroy(work->glibc);
	resident_destroy(work->resident);
	free(work->excluded);
	python_space_destroy(work->space);
	python_heaps_deinit(&work->heaps);
	lookup_deinit(&work->label_lookup);
	free(work->tallies);
	free(work->labels);
}

struct error *python_census_create(const struct python *python, enum python_census_depth depth,
				   struct python_census **ret)
{
	struct census_work work = {.python = python, .depth = depth};
	struct error *error;

	work.census = calloc(1, sizeof(*work.census));
	if (!work.census)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
	error = census_run(&work);
	work_end(&work);
	if (error) {
		python_census_destroy(work.census);
		return error;
	}
	*ret = work.census;
	return NULL;
}

void python_census_destroy(struct python_census *census)
{
	if (!census)
		return;
	python_types_destroy(census->types);
	free(census->malloc_absent);
	free(census->malloc_other);
	free(census->rows);
	free(census);
}
