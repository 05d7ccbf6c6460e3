// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
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

/* How a type's fields are called in Objects/; numpy's in ndarraytypes.h. */
const char *python_census_field(const struct python *python, const struct python_type *type,
				int32_t field)
{
	const struct python_layout *layout = &python->layout;
	const struct {
		uint64_t flag;    /* of the type's: Py_TPFLAGS_..._SUBCLASS (Include/object.h) */
		const char *type; /* or its name */
		uint32_t field;
		const char *name;
	} names[] = {
		{1u << 29, NULL, layout->dict.keys, "keys"},
		{1u << 29, NULL, layout->dict.values, "values"},
		{1u << 25, NULL, layout->containers.list_items, "items"},
		{1u << 31, NULL, layout->type.cached_keys, "cached keys"},
		{0, "set", layout->containers.set_table, "table"},
		{0, "frozenset", layout->containers.set_table, "table"},
		{0, "bytearray", layout->containers.bytearray_bytes, "buffer"},
		{0, "numpy.ndarray", 16, "data"},
	};

	for (size_t i = 0; i < array_size(names); i++)
		if (names[i].field == (uint32_t)field &&
		    (names[i].type ? strcmp(names[i].type, type->name) == 0
				   : (type->flags & names[i].flag) != 0))
			return names[i].name;
	if (field < 0)
		return "instance values";
	return (uint32_t)field >= type->basicsize ? "slots" : NULL;
}

struct tally *census_tally(struct taking *taking, uint32_t type, struct error **error)
{
	if (type >= taking->tally_capacity) {
		size_t before = taking->tally_capacity;

		*error = array_reserve(&taking->tallies, &taking->tally_capacity, before,
				       type + 1 - before, sizeof(*taking->tallies));
		if (*error)
			return NULL;
		memset(taking->tallies + before, 0,
		       (taking->tally_capacity - before) * sizeof(*taking->tallies));
	}
	return &taking->tallies[type];
}

/* An object, or none: RET says which. */
static struct error *block_tally(struct taking *taking, const uint8_t *block, uint32_t room,
				 uint64_t size, bool *ret)
{
	struct python_object object;
	struct error *error = NULL;
	struct tally *tally;

	try(python_types_object(taking->census->types, block, room, &object));
	*ret = object.type != PYTHON_NO_TYPE;
	if (!*ret)
		return NULL;
	tally = census_tally(taking, object.type, &error);
	if (!tally)
		return error;
	if (object.unreferenced) {
		tally->unreferenced_count++;
		tally->unreferenced_size += size;
	} else {
		tally->count++;
		tally->size += size;
	}
	return NULL;
}

static void label_tally(struct taking *taking, unsigned int label, uint64_t size)
{
	taking->labels[label].row.count++;
	taking->labels[label].row.size += size;
}

static struct error *block_count(struct taking *taking, const struct python_pool *pool, uint32_t i)
{
	uint32_t offset = PYTHON_POOL_OVERHEAD + i * pool->block_size;
	struct python_space_block found;
	bool typed;

	try(block_tally(taking, pool->memory + offset, pool->block_size, pool->block_size, &typed));
	if (typed)
		return NULL;
	label_tally(taking, LABEL_UNOWNED, pool->block_size);
	if (taking->depth == PYTHON_CENSUS_OWNERS &&
	    python_space_block(taking->space, pool->address + offset, &found))
		try(python_marks_set(&taking->marks, found.arena, found.granule));
	return NULL;
}

static unsigned int native_class(uint64_t size)
{
	unsigned int bits = size > 1 ? 64 - (unsigned int)__builtin_clzll(size - 1) : 0;

	return bits < PYTHON_CENSUS_NATIVE_CLASSES ? bits : PYTHON_CENSUS_NATIVE_CLASSES - 1;
}

static struct error *chunk_count(void *context, const struct glibc_chunk *chunk)
{
	struct taking *taking = context;
	struct glibc_sum *sum = &taking->native[native_class(chunk->size)];
	uint32_t room = (uint32_t)chunk->start_size;
	bool typed;

	if (glibc_state_free(chunk->state))
		return NULL;
	if (chunk->state == GLIBC_MAPPED && taking->resident)
		taking->census->memory.malloc_mapped += resident_bytes(
			taking->resident, chunk->address, chunk->address + chunk->size);
	sum->count++;
	sum->bytes += chunk->size;
	if (taking->depth == PYTHON_CENSUS_SIZES)
		return NULL;
	if (chunk->size < room)
		room = (uint32_t)chunk->size;
	try(block_tally(taking, chunk->start, room, chunk->size, &typed));
	if (typed)
		return NULL;
	label_tally(taking, LABEL_NATIVE, chunk->size);
	return taking->depth == PYTHON_CENSUS_OWNERS
		       ? python_chunks_add(&taking->chunks, chunk->address, chunk->size)
		       : NULL;
}

static struct error *pool_count(void *context, const struct python_pool *pool)
{
	struct taking *taking = context;
	uint32_t class = pool->block_size / taking->python->heap.alignment;

	taking->class_pools[class]++;
	taking->class_blocks[class] += pool->live;
	if (taking->depth == PYTHON_CENSUS_SIZES)
		return NULL;
	python_space_pool_set(taking->space, pool->address, pool->block_size);
	for (uint32_t i = 0; i < pool->carved; i++)
		if (python_block_live(pool, i))
			try(block_count(taking, pool, i));
	return NULL;
}

struct error *census_chunks_each(struct taking *taking,
				 struct error *(*visit)(void *context,
							const struct glibc_chunk *chunk))
{
	struct error *error;

	glibc_destroy(taking->glibc);
	taking->glibc = NULL;
	try(python_glibc_create(taking->python, taking->excluded, taking->space->arena_count,
				&taking->glibc));
	error = glibc_each(taking->glibc, visit, taking);
	return error;
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

static struct error *rows_take(struct taking *taking)
{
	struct python_census *census = taking->census;
	size_t types = python_types_count(census->types), capacity = 0;

	for (uint32_t i = 0; i < types && i < taking->tally_capacity; i++) {
		const struct tally *tally = &taking->tallies[i];
		const struct python_census_row objects = {PYTHON_CENSUS_OBJECT, i, 0, tally->count,
							  tally->size};
		const struct python_census_row unreferenced = {PYTHON_CENSUS_UNREFERENCED, i, 0,
							       tally->unreferenced_count,
							       tally->unreferenced_size};

		try(row_add(census, &capacity, &objects));
		try(row_add(census, &capacity, &unreferenced));
	}
	for (size_t i = 0; i < taking->label_count; i++)
		try(row_add(census, &capacity, &taking->labels[i].row));
	return NULL;
}

static void sizes_take(struct taking *taking)
{
	struct python_census *census = taking->census;

	for (uint32_t i = 1; i <= PYTHON_CENSUS_CLASSES; i++) {
		uint32_t size = i * taking->python->heap.alignment;

		if (!taking->class_pools[i])
			continue;
		census->sizes[census->size_count++] = (struct python_census_size){
			size, taking->class_pools[i], taking->class_blocks[i]};
		census->count += taking->class_blocks[i];
		census->size += taking->class_blocks[i] * size;
	}
	for (uint32_t i = 0; i < PYTHON_CENSUS_NATIVE_CLASSES; i++)
		census->native[i] = taking->native[i];
}

static void heaps_take(struct taking *taking)
{
	struct python_census *census = taking->census;

	census->heaps = taking->heaps.count;
	for (size_t i = 0; i < taking->heaps.count; i++)
		census->arenas += taking->heaps.list[i].count;
	census->arena_bytes = (uint64_t)census->arenas << taking->python->heap.arena_bits;
}

/* The interpreter counts what came from the raw allocator, or that and its pools' blocks. */
static void allocated_take(struct taking *taking)
{
	struct python_census *census = taking->census;
	uint64_t counted = 0;

	census->allocated_blocks = UINT64_MAX;
	for (size_t i = 0; i < taking->heaps.count; i++) {
		if (taking->heaps.list[i].counted == PYTHON_COUNTED_UNKNOWN)
			return;
		counted += taking->heaps.list[i].blocks;
	}
	if (!taking->heaps.count)
		return;
	census->allocated_blocks = taking->heaps.list[0].counted == PYTHON_COUNTED_ALL
					   ? counted
					   : counted + census->count;
}

static struct error *taking_begin(struct taking *taking)
{
	const struct python *python = taking->python;
	uint32_t granules = 1u << python->heap.arena_bits;

	try(census_labels_init(taking));
	try(python_heaps_read(python, &taking->heaps));
	heaps_take(taking);
	try(python_space_create(python, &taking->heaps, &taking->space));
	try(python_space_ranges(taking->space, &taking->excluded));
	try(python_marks_init(&taking->marks, taking->space->arena_count,
			      granules >> taking->space->granule_bits));
	try(python_pools_create(python, &taking->pools));
	/* Without it the census does not say what part of the memory that it found takes room. */
	error_destroy(resident_create(python->process, &taking->resident));
	return python_types_create(python, taking->space, &taking->census->types);
}

static struct error *maps_take(struct taking *taking)
{
	struct python_census_memory *memory = &taking->census->memory;
	struct process_map *maps;
	size_t count;

	try(process_maps(taking->python->process, &maps, &count));
	for (size_t i = 0; i < count; i++) {
		const struct process_map *map = &maps[i];

		if (map->shared)
			continue;
		if (map->path[0] == '/')
			memory->data += resident_bytes(taking->resident, map->start, map->end);
		else if (strcmp(map->path, "[stack]") == 0)
			memory->stack += resident_bytes(taking->resident, map->start, map->end);
		else
			memory->anonymous += resident_bytes(taking->resident, map->start, map->end);
	}
	process_maps_destroy(maps, count);
	return NULL;
}

/* What malloc has, and what all of it takes in memory. */
static struct error *memory_take(struct taking *taking)
{
	struct python_census_memory *memory = &taking->census->memory;
	struct python_census *census = taking->census;
	struct glibc_range range;
	size_t i;

	census->malloc = *glibc_totals(taking->glibc);
	if (glibc_absent(taking->glibc)) {
		census->malloc_absent = strdup(glibc_absent(taking->glibc));
		if (!census->malloc_absent)
			return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
	}
	if (glibc_other(taking->glibc)) {
		census->malloc_other = strdup(glibc_other(taking->glibc));
		if (!census->malloc_other)
			return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
	}
	if (!taking->resident)
		return NULL;
	try(maps_take(taking));
	memory->known = true;
	for (i = 0; i < taking->space->arena_count; i++)
		memory->arenas += resident_bytes(taking->resident, taking->excluded[i].start,
						 taking->excluded[i].end);
	for (i = 0; glibc_heap_range(taking->glibc, i, &range); i++)
		memory->malloc_heaps += resident_bytes(taking->resident, range.start, range.end);
	return NULL;
}

static struct error *census_take(struct taking *taking)
{
	try(taking_begin(taking));
	try(python_pools_all(taking->pools, &taking->heaps, taking->depth == PYTHON_CENSUS_SIZES,
			     pool_count, taking));
	taking->census->unread = python_pools_unread(taking->pools);
	try(census_chunks_each(taking, chunk_count));
	try(memory_take(taking));
	sizes_take(taking);
	allocated_take(taking);
	if (taking->depth == PYTHON_CENSUS_OWNERS)
		try(census_owners_find(taking));
	return rows_take(taking);
}

static void taking_end(struct taking *taking)
{
	python_pools_destroy(taking->pools);
	python_marks_deinit(&taking->marks);
	python_chunks_deinit(&taking->chunks);
	glibc_destroy(taking->glibc);
	resident_destroy(taking->resident);
	free(taking->excluded);
	python_space_destroy(taking->space);
	python_heaps_deinit(&taking->heaps);
	lookup_deinit(&taking->label_lookup);
	free(taking->tallies);
	free(taking->labels);
}

struct error *python_census_create(const struct python *python, enum python_census_depth depth,
				   struct python_census **ret)
{
	struct taking taking = {.python = python, .depth = depth};
	struct error *error;

	taking.census = calloc(1, sizeof(*taking.census));
	if (!taking.census)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
	error = census_take(&taking);
	taking_end(&taking);
	if (error) {
		python_census_destroy(taking.census);
		return error;
	}
	*ret = taking.census;
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
