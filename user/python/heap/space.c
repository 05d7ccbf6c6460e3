// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Makes the tables by which an address leads to its arena and block. */
#include "python/heap/space.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/heap/arenas.h"
#include "python/python.h"

static int compare_addresses(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static struct error *arenas_sort(struct python_space *space, const struct python_heaps *heaps)
{
	size_t count = 0;

	for (size_t i = 0; i < heaps->count; i++)
		count += heaps->list[i].count;
	space->arenas = reallocarray(NULL, count + 1, sizeof(*space->arenas));
	if (!space->arenas || count >= PYTHON_NO_ARENA / 4)
		return error_create_errno(ERROR_FAILED, ENOMEM, "%zu arenas", count);
	for (size_t i = 0; i < heaps->count; i++)
		for (size_t j = 0; j < heaps->list[i].count; j++)
			space->arenas[space->arena_count++] = heaps->list[i].list[j].address;
	qsort(space->arenas, count, sizeof(*space->arenas), compare_addresses);
	return NULL;
}

static void unit_add(struct python_space *space, uint64_t number, uint32_t arena)
{
	for (uint32_t i = python_space_start(space, number);; i++) {
		struct python_space_unit *unit = &space->units[i & space->unit_mask];

		if (!unit->number)
			*unit = (struct python_space_unit){number, {arena, PYTHON_NO_ARENA}};
		else if (unit->number == number)
			unit->arenas[1] = arena;
		else
			continue;
		return;
	}
}

static struct error *space_init(struct python_space *space, const struct python *python,
				const struct python_heaps *heaps)
{
	uint32_t units = 16;

	space->arena_bits = python->heap.arena_bits;
	space->pool_bits = (uint32_t)__builtin_ctz(python->heap.pool_size);
	space->granule_bits = (uint32_t)__builtin_ctz(python->heap.alignment);
	/* An arena that begins amid a pool's worth of addresses has a part of one at each end. */
	space->pools_per_arena = (1u << (space->arena_bits - space->pool_bits)) + 1;
	try(arenas_sort(space, heaps));
	while (units < 4 * space->arena_count)
		units *= 2;
	space->unit_mask = units - 1;
	space->seed = lookup_hash_number(0, units) | 1;
	space->units = calloc(units, sizeof(*space->units));
	space->classes = calloc(space->arena_count + 1, space->pools_per_arena);
	if (!space->units || !space->classes)
		return error_create_errno(ERROR_FAILED, ENOMEM, "%u arenas", space->arena_count);
	for (uint32_t i = 0; i < space->arena_count; i++) {
		uint64_t last = space->arenas[i] + (1ULL << space->arena_bits) - 1;

		unit_add(space, (space->arenas[i] >> space->arena_bits) + 1, i);
		if (last >> space->arena_bits != space->arenas[i] >> space->arena_bits)
			unit_add(space, (last >> space->arena_bits) + 1, i);
		space->lowest = space->arenas[0];
		space->span = last + 1 - space->lowest;
	}
	return NULL;
}

struct error *python_space_create(const struct python *python, const struct python_heaps *heaps,
				  struct python_space **ret)
{
	struct python_space *space = calloc(1, sizeof(*space));
	struct error *error;

	if (!space)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the arenas of a process");
	error = space_init(space, python, heaps);
	if (error) {
		python_space_destroy(space);
		return error;
	}
	*ret = space;
	return NULL;
}

void python_space_destroy(struct python_space *space)
{
	if (!space)
		return;
	free(space->arenas);
	free(space->units);
	free(space->classes);
	free(space);
}

struct error *python_space_ranges(const struct python_space *space, struct glibc_range **ret)
{
	struct glibc_range *ranges = reallocarray(NULL, space->arena_count + 1, sizeof(*ranges));

	if (!ranges)
		return error_create_errno(ERROR_FAILED, ENOMEM, "%u arenas", space->arena_count);
	for (uint32_t i = 0; i < space->arena_count; i++)
		ranges[i] = (struct glibc_range){space->arenas[i],
						 space->arenas[i] + (1ULL << space->arena_bits)};
	*ret = ranges;
	return NULL;
}

void python_space_pool_set(struct python_space *space, uint64_t address, uint32_t size)
{
	uint32_t arena = python_space_arena(space, address);

	if (arena != PYTHON_NO_ARENA)
		*python_space_class(space, arena, address) = (uint8_t)(size >> space->granule_bits);
}
