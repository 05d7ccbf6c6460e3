// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The census: counts the blocks of the heap by class, and keeps the history of each. */
#include "trace/sampling/classes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/lookup.h"
#include "python/heap/arenas.h"
#include "python/heap/pools.h"
#include "python/python.h"
#include "python/heap/space.h"
#include "python/heap/types.h"
#include "target/process/process.h"

/* Censuses that are kept. When there are more, every second one goes. */
#define HISTORY_MAX 64
/* How many of the latest censuses tell what grows of late, and the bytes that are no growth yet. */
#define LATE         8
#define GROWTH_LEAST 8192
/*
 * Classes at most, as a hostile target makes types without end. Blocks of more count as of no type.
 */
#define CLASSES_MAX 65536

struct key {
	/* PYTHON_NO_TYPE: no object. What lies outside of arenas has sizes that no block has. */
	uint32_t type, size;
};

struct counted {
	struct key key;
	double latest;   /* blocks; bytes outside of arenas */
	double counting; /* of the census that is going on */
	double history[HISTORY_MAX];
};

struct classes {
	const struct python *python;
	struct python_space *space; /* at the latest census: no type lies in it */
	struct python_types *types;
	struct python_pools *pools;
	struct native_memory *native;
	struct counted *list;
	size_t count, capacity;
	struct lookup lookup;
	size_t history;                         /* censuses kept */
	double times[HISTORY_MAX], latest_time; /* of these, and of the latest one, seconds */
	uint32_t stride, skipped;               /* one of STRIDE censuses is kept */
	uint64_t untold, untold_latest;         /* blocks of types beyond CLASSES_MAX */
	double arena_bytes;                     /* carved from arenas, at the latest census */
};

static bool key_equal(const void *context, uint32_t position, const void *key)
{
	const struct classes *classes = context;

	return !memcmp(&classes->list[position].key, key, sizeof(struct key));
}

static struct error *class_find(struct classes *classes, struct key key, uint32_t *ret)
{
	uint64_t hash = lookup_hash_number(0, (uint64_t)key.type << 32 | key.size);
	uint32_t position = lookup_find(&classes->lookup, hash, key_equal, classes, &key);

	if (position == LOOKUP_NONE && classes->count >= CLASSES_MAX &&
	    key.type != PYTHON_NO_TYPE) {
		classes->untold++;
		return class_find(classes, (struct key){PYTHON_NO_TYPE, key.size}, ret);
	}
	if (position == LOOKUP_NONE) {
		try(array_reserve(&classes->list, &classes->capacity, classes->count, 1,
				  sizeof(*classes->list)));
		try(lookup_add(&classes->lookup, hash, (uint32_t)classes->count));
		position = (uint32_t)classes->count++;
		memset(&classes->list[position], 0, sizeof(*classes->list));
		classes->list[position].key = key;
	}
	*ret = position;
	return NULL;
}

/*
 * Learns where the arenas are now. A pointer into an arena that is not known would be looked at as
 * a type, each such address anew.
 */
static struct error *space_renew(struct classes *classes, const struct python_heaps *heaps)
{
	struct python_space *space;

	try(python_space_create(classes->python, heaps, &space));
	if (classes->types)
		python_types_space(classes->types, space);
	python_space_destroy(classes->space);
	classes->space = space;
	return NULL;
}

static struct error *classes_init(struct classes *classes)
{
	struct python_heaps heaps;
	struct error *error;
	uint32_t native;

	classes->stride = 1;
	try(class_find(classes, (struct key){PYTHON_NO_TYPE, 0}, &native));
	try(class_find(classes, (struct key){PYTHON_NO_TYPE, UINT32_MAX}, &native));
	try(native_memory_create(classes->python, &classes->native));
	try(python_heaps_read(classes->python, &heaps));
	error = space_renew(classes, &heaps);
	python_heaps_deinit(&heaps);
	try(error);
	try(python_types_create(classes->python, classes->space, &classes->types));
	/* Names are needed only of some types that are not made by `class`. */
	python_types_unqualified(classes->types);
	return python_pools_create(classes->python, &classes->pools);
}

struct error *classes_create(const struct python *python, struct classes **ret)
{
	struct classes *classes = calloc(1, sizeof(*classes));
	struct error *error;

	if (!classes)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot take a census");
	classes->python = python;
	error = classes_init(classes);
	if (error) {
		classes_destroy(classes);
		return error;
	}
	*ret = classes;
	return NULL;
}

void classes_destroy(struct classes *classes)
{
	if (!classes)
		return;
	native_memory_destroy(classes->native);
	python_pools_destroy(classes->pools);
	python_types_destroy(classes->types);
	python_space_destroy(classes->space);
	lookup_deinit(&classes->lookup);
	free(classes->list);
	free(classes);
}

/* Types whose instances never change, but for the reference count and the hash of str and bytes. */
static bool type_constant(const struct python_type *type)
{
	static const char *const names[] = {"int", "float", "complex", "bytes", "str"};

	for (size_t i = 0; !type->made && i < array_size(names); i++)
		if (!strcmp(type->name, names[i]))
			return true;
	return false;
}

static uint64_t object_hash(const struct python_type *type, const uint8_t *object, uint32_t size)
{
	uint32_t most = size < 64 ? size : 64;
	bool hashed = type->is_str ||
		      !strcmp(type->name, "bytes"); /* bytes 24 to 32 are their hash */
	uint64_t hash;

	if (!hashed || most < 32)
		return lookup_hash(0, object + 8, most - 8);
	hash = lookup_hash(0, object + 8, 16);
	return lookup_hash(hash, object + 32, most - 32);
}

/* What PyObject_GC_NewVar() and the like ask for; one digit for 3.14's int. */
static uint32_t object_size(const struct python_type *type, const uint8_t *object, uint32_t room)
{
	uint64_t size = type->presize + type->basicsize, items = type->itemsize > 0;

	if (type->itemsize == sizeof(items) && room >= 24)
		memcpy(&items, object + 16, sizeof(items)); /* ob_size of a tuple */
	if (items > room)
		items = room;
	return (uint32_t)(size + items * type->itemsize);
}

struct error *classes_block(struct classes *classes, const uint8_t *block, uint32_t size,
			    struct classes_block *ret)
{
	struct classes_block found = {.type = PYTHON_NO_TYPE};
	struct python_object object;

	try(python_types_object(classes->types, block, size, &object));
	found.type = object.type;
	if (object.type != PYTHON_NO_TYPE) {
		const struct python_type *type = python_types_get(classes->types, object.type);

		found.fields = object.offset + 16;
		found.unreferenced = object.unreferenced;
		found.object_size = object_size(type, block + object.offset, size - object.offset);
		if (found.object_size > size)
			found.object_size = size;
		found.constant = type_constant(type) && size - object.offset >= 16;
		if (found.constant)
			found.content =
				object_hash(type, block + object.offset, size - object.offset);
	}
	try(class_find(classes, (struct key){found.type, size}, &found.class));
	*ret = found;
	return NULL;
}

static struct error *pool_count(void *context, const struct python_pool *pool)
{
	struct classes *classes = context;

	for (uint32_t i = 0; i < pool->carved; i++) {
		const uint8_t *block =
			pool->memory + PYTHON_POOL_OVERHEAD + (size_t)i * pool->block_size;
		struct python_object object;
		uint32_t class;

		if (!python_block_live(pool, i))
			continue;
		try(python_types_object(classes->types, block, pool->block_size, &object));
		try(class_find(classes, (struct key){object.type, pool->block_size}, &class));
		classes->list[class].counting++;
	}
	return NULL;
}

static struct error *arena_count(void *context, const struct python_arena *arena)
{
	struct classes *classes = context;

	/* What was never carved was never touched. */
	if (arena->pool_address > arena->address)
		classes->arena_bytes += (double)(arena->pool_address - arena->address);
	return python_pools_each(classes->pools, arena, pool_count, classes);
}

/* Makes room in the histories. What is left is at even intervals. */
static void history_thin(struct classes *classes)
{
	for (size_t c = 0; c < classes->count; c++)
		for (size_t i = 1; i < HISTORY_MAX / 2; i++)
			classes->list[c].history[i] = classes->list[c].history[2 * i];
	for (size_t i = 1; i < HISTORY_MAX / 2; i++)
		classes->times[i] = classes->times[2 * i];
	for (size_t c = 0; c < classes->count; c++)
		memset(classes->list[c].history + HISTORY_MAX / 2, 0,
		       HISTORY_MAX / 2 * sizeof(double));
	classes->history = HISTORY_MAX / 2;
	classes->stride *= 2;
}

static void history_add(struct classes *classes)
{
	if (++classes->skipped < classes->stride && classes->history)
		return;
	classes->skipped = 0;
	if (classes->history == HISTORY_MAX)
		history_thin(classes);
	for (size_t c = 0; c < classes->count; c++)
		classes->list[c].history[classes->history] = classes->list[c].latest;
	classes->times[classes->history++] = classes->latest_time;
}

struct error *classes_census(struct classes *classes, bool keep,
			     struct native_memory_visitor *visitor)
{
	double native;
	struct python_heaps heaps;
	uint64_t rss, anonymous = 0, now;
	struct error *error;

	try(process_resident(classes->python->process, &rss, &anonymous));
	now = clock_now(CLOCK_MONOTONIC);
	try(python_heaps_read(classes->python, &heaps));
	for (size_t c = 0; c < classes->count; c++)
		classes->list[c].counting = 0;
	classes->arena_bytes = 0;
	classes->untold = 0;
	error = space_renew(classes, &heaps);
	if (!error)
		error = python_heaps_each(&heaps, arena_count, classes);
	if (!error && (keep || native_memory_stale(classes->native)))
		error = native_memory_walk(classes->native, &heaps, visitor);
	python_heaps_deinit(&heaps);
	try(error);
	native = (double)anonymous > classes->arena_bytes ? (double)anonymous - classes->arena_bytes
							  : 0;
	native_memory_classes(classes->native, native, &classes->list[CLASSES_NATIVE].counting,
			      &classes->list[CLASSES_REST].counting);
	/* What was read of a process that ended meanwhile means nothing. */
	try(process_check(classes->python->process));
	for (size_t c = 0; c < classes->count; c++)
		classes->list[c].latest = classes->list[c].counting;
	classes->untold_latest = classes->untold;
	classes->latest_time = (double)now / 1e9;
	if (keep)
		history_add(classes);
	return NULL;
}

const struct native_memory *classes_native(const struct classes *classes)
{
	return classes->native;
}

static double unit_size(const struct classes *classes, size_t i)
{
	return i > CLASSES_REST ? classes->list[i].key.size : 1;
}

struct error *classes_list(const struct classes *classes, struct estimate_class **ret,
			   size_t *ret_count)
{
	cleanup_free struct estimate_class *list = calloc(classes->count + 1, sizeof(*list));
	double totals[HISTORY_MAX + 1], times[HISTORY_MAX + 1];

	if (!list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot estimate");
	for (size_t c = 0; c < classes->count; c++) {
		const struct counted *class = &classes->list[c];
		size_t count = classes->history;

		memcpy(totals, class->history, count * sizeof(double));
		memcpy(times, classes->times, count * sizeof(double));
		if (!count || times[count - 1] != classes->latest_time) {
			times[count] = classes->latest_time;
			totals[count++] = class->latest;
		}
		list[c].by_size = c <= CLASSES_REST;
		list[c].probed = c > CLASSES_REST;
		list[c].total = class->latest;
		list[c].unit_size = unit_size(classes, c);
		estimate_trend(times, totals, count, &list[c].growth, &list[c].noise);
	}
	*ret = take(list);
	*ret_count = classes->count;
	return NULL;
}

bool classes_grow(const struct classes *classes)
{
	size_t count = classes->history < LATE ? classes->history : LATE;
	size_t first = classes->history - count;

	if (count < 3)
		return true;
	for (size_t c = 0; c < classes->count; c++) {
		const struct counted *class = &classes->list[c];
		double growth, noise;

		estimate_trend(classes->times + first, class->history + first, count, &growth,
			       &noise);
		if (growth * unit_size(classes, c) > GROWTH_LEAST && growth > 4 * noise)
			return true;
	}
	return false;
}

uint64_t classes_untold(const struct classes *classes)
{
	return classes->untold_latest;
}

double classes_time(const struct classes *classes)
{
	return classes->latest_time;
}

void classes_totals(const struct classes *classes, double *ret_bytes, double *ret_growth)
{
	*ret_bytes = *ret_growth = 0;
	for (size_t c = 0; c < classes->count; c++) {
		const struct counted *class = &classes->list[c];

		*ret_bytes += class->latest * unit_size(classes, c);
		if (classes->history)
			*ret_growth += (class->latest - class->history[0]) * unit_size(classes, c);
	}
}
