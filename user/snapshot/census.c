// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a process' memory is made of: how a census is built. */
#include "snapshot/census.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
}

struct error *census_create(struct census **ret)
{
	struct census *census = calloc(1, sizeof(*census));

	if (!census)
		return no_memory();
	*ret = census;
	return NULL;
}

void census_destroy(struct census *census)
{
	if (!census)
		return;
	for (size_t i = 0; i < census->item_count; i++) {
		free(census->items[i].type);
		free(census->items[i].part);
	}
	for (size_t i = 0; i < census->part_count; i++)
		free(census->parts[i].name);
	free(census->items);
	free(census->sizes);
	free(census->parts);
	free(census->info.command_line);
	free(census->info.host);
	free(census->info.container);
	free(census->info.malloc_absent);
	free(census->info.allocators_unread);
	free(census->info.objects_unread);
	free(census->info.allocators_unknown);
	free(census);
}

struct error *census_add_item(struct census *census, const struct census_item *item)
{
	struct census_item copy = *item;

	try(array_reserve(&census->items, &census->item_capacity, census->item_count, 1,
			  sizeof(*census->items)));
	copy.type = strdup(item->type);
	copy.part = strdup(item->part);
	if (!copy.type || !copy.part) {
		free(copy.type);
		free(copy.part);
		return no_memory();
	}
	census->items[census->item_count++] = copy;
	return NULL;
}

struct error *census_add_size(struct census *census, const struct census_size *size)
{
	try(array_reserve(&census->sizes, &census->size_capacity, census->size_count, 1,
			  sizeof(*census->sizes)));
	census->sizes[census->size_count++] = *size;
	return NULL;
}

struct error *census_add_part(struct census *census, const char *name, uint64_t size)
{
	char *copy;

	try(array_reserve(&census->parts, &census->part_capacity, census->part_count, 1,
			  sizeof(*census->parts)));
	copy = strdup(name);
	if (!copy)
		return no_memory();
	census->parts[census->part_count++] = (struct census_part){copy, size};
	return NULL;
}

static int compare_items(const void *left, const void *right)
{
	const struct census_item *a = left, *b = right;
	int order = strcmp(a->type, b->type);

	if (!order)
		order = strcmp(a->part, b->part);
	return order ? order : (a->kind > b->kind) - (a->kind < b->kind);
}

static int compare_sizes(const void *left, const void *right)
{
	const struct census_size *a = left, *b = right;

	if (a->native != b->native)
		return a->native - b->native;
	return (a->size > b->size) - (a->size < b->size);
}

/* No count or size, nor any sum of them, has more than 63 bits. */
static struct error *sums_check(const struct census *census)
{
	uint64_t count = 0, size = 0;

	for (size_t i = 0; i < census->item_count; i++)
		if (__builtin_add_overflow(count, census->items[i].count, &count) ||
		    __builtin_add_overflow(size, census->items[i].size, &size) ||
		    count > INT64_MAX || size > INT64_MAX)
			return error_create(ERROR_FAILED, "a census of more than 2^63 bytes");
	count = size = 0;
	for (size_t i = 0; i < census->size_count; i++)
		if (__builtin_add_overflow(count, census->sizes[i].count, &count) ||
		    __builtin_add_overflow(size, census->sizes[i].total, &size) ||
		    count > INT64_MAX || size > INT64_MAX)
			return error_create(ERROR_FAILED, "a census of more than 2^63 bytes");
	return NULL;
}

struct error *census_finish(struct census *census)
{
	size_t kept = 0;

	try(sums_check(census));
	if (census->size_count > 0)
		qsort(census->sizes, census->size_count, sizeof(*census->sizes), compare_sizes);
	if (census->item_count == 0)
		return NULL;
	qsort(census->items, census->item_count, sizeof(*census->items), compare_items);
	for (size_t i = 1; i < census->item_count; i++) {
		struct census_item *item = &census->items[i];

		if (compare_items(&census->items[kept], item)) {
			census->items[++kept] = *item;
			continue;
		}
		census->items[kept].count += item->count;
		census->items[kept].size += item->size;
		free(item->type);
		free(item->part);
	}
	census->item_count = kept + 1;
	return NULL;
}

const char *census_kind_name(enum census_kind kind)
{
	static const char *const names[CENSUS_KINDS] = {"object",   "unreferenced", "owned",
							"indirect", "unowned",      "native"};

	return names[kind];
}
