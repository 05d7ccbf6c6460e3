// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The rows of a census by type, owner, part or size, and what changed since another one. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/census.h"

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
}

void census_rows_destroy(struct census_rows *rows)
{
	if (!rows)
		return;
	for (size_t i = 0; i < rows->count; i++)
		free(rows->rows[i].name);
	free(rows->rows);
	free(rows);
}

/* Takes NAME. */
static struct error *row_add(struct census_rows *rows, char *name, const struct census_row *row)
{
	struct error *error = name ? NULL : no_memory();

	if (!error)
		error = array_reserve(&rows->rows, &rows->capacity, rows->count, 1,
				      sizeof(*rows->rows));
	if (error) {
		free(name);
		return error;
	}
	rows->rows[rows->count] = *row;
	rows->rows[rows->count++].name = name;
	return NULL;
}

/* What an item is called in a table by type and part. */
static char *part_name(const struct census_item *item)
{
	const char *type = *item->type ? item->type : "(many types)";
	char *name = NULL;
	int length = 0;

	switch (item->kind) {
	case CENSUS_OBJECT:
		return strdup(type);
	case CENSUS_UNREFERENCED:
		length = asprintf(&name, "%s, unreferenced", type);
		break;
	case CENSUS_OWNED:
		length = asprintf(&name, "%s: %s", type, item->part);
		break;
	case CENSUS_INDIRECT:
		length = asprintf(&name, "%s: behind %s", type, item->part);
		break;
	case CENSUS_NATIVE:
		return strdup("(malloc: no object, no owner found)");
	default:
		return strdup("(pymalloc: no object, no owner found)");
	}
	return length < 0 ? NULL : name;
}

static char *owner_name(const struct census_item *item)
{
	if (item->kind == CENSUS_OWNED || item->kind == CENSUS_INDIRECT)
		return strdup(*item->type ? item->type : "(many types)");
	return part_name(item);
}

static char *type_name(const struct census_item *item)
{
	if (item->kind != CENSUS_OBJECT && item->kind != CENSUS_UNREFERENCED)
		return strdup("(no object)");
	return part_name(item);
}

static char *item_name(const struct census_item *item, enum census_by by)
{
	switch (by) {
	case CENSUS_BY_TYPE:
		return type_name(item);
	case CENSUS_BY_OWNER:
		return owner_name(item);
	default:
		return part_name(item);
	}
}

static char *size_name(const struct census_size *size)
{
	char *name;
	int length;

	char from[TEXT_NUMBER_MAX], to[TEXT_NUMBER_MAX];

	if (size->native)
		length = asprintf(&name, "malloc: above %s, up to %s", text_size(size->above, from),
				  text_size(size->size, to));
	else
		length = asprintf(&name, "%" PRIu64 " B", size->size);
	return length < 0 ? NULL : name;
}

/* The values of one census, to be put before or after. */
struct values {
	uint64_t count, size, owned;
	bool before;
};

static struct error *values_add(struct census_rows *rows, char *name, const struct values *values)
{
	struct census_row row = {0};

	if (values->before) {
		row.count_before = values->count;
		row.size_before = values->size;
		rows->total_size_before += values->size;
	} else {
		row.count = values->count;
		row.size = values->size;
		row.owned = values->owned;
		rows->total_count += values->count;
		rows->total_size += values->size;
	}
	return row_add(rows, name, &row);
}

static struct error *census_rows_add(struct census_rows *rows, const struct census *census,
				     bool before)
{
	if (rows->by == CENSUS_BY_SIZE) {
		for (size_t i = 0; i < census->size_count; i++) {
			const struct census_size *size = &census->sizes[i];
			const struct values values = {size->count, size->total, 0, before};

			try(values_add(rows, size_name(size), &values));
		}
		return NULL;
	}
	for (size_t i = 0; i < census->item_count; i++) {
		const struct census_item *item = &census->items[i];
		bool owned = item->kind == CENSUS_OWNED || item->kind == CENSUS_INDIRECT;
		struct values values = {item->count, item->size, 0, before};

		if (rows->by == CENSUS_BY_OWNER && owned) {
			values.count = 0;
			values.owned = item->size;
		}
		try(values_add(rows, item_name(item, rows->by), &values));
	}
	return NULL;
}

static int compare_names(const void *left, const void *right)
{
	return strcmp(((const struct census_row *)left)->name,
		      ((const struct census_row *)right)->name);
}

/* Rows of one name become one. */
static void rows_merge(struct census_rows *rows)
{
	size_t kept = 0;

	if (rows->count == 0)
		return;
	qsort(rows->rows, rows->count, sizeof(*rows->rows), compare_names);
	for (size_t i = 1; i < rows->count; i++) {
		struct census_row *row = &rows->rows[i], *same = &rows->rows[kept];

		if (strcmp(row->name, same->name) != 0) {
			rows->rows[++kept] = *row;
			continue;
		}
		same->count += row->count;
		same->size += row->size;
		same->owned += row->owned;
		same->count_before += row->count_before;
		same->size_before += row->size_before;
		free(row->name);
	}
	rows->count = kept + 1;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a < b) - (a > b);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static int compare_rows(const void *left, const void *right)
{
	const struct census_row *a = left, *b = right;
	int order = compare_numbers(a->size, b->size);

	if (!order)
		order = compare_numbers(a->count, b->count);
	return order ? order : strcmp(a->name, b->name);
}

static int compare_changes(const void *left, const void *right)
{
	const struct census_row *a = left, *b = right;
	int order = compare_numbers(distance(a->size, a->size_before),
				    distance(b->size, b->size_before));

	if (!order)
		order = compare_numbers(a->size, b->size);
	if (!order)
		order = compare_numbers(distance(a->count, a->count_before),
					distance(b->count, b->count_before));
	return order ? order : compare_rows(left, right);
}

struct error *census_group(const struct census *census, const struct census *before,
			   enum census_by by, struct census_rows **ret)
{
	cleanup(census_rows_cleanup) struct census_rows *rows = calloc(1, sizeof(*rows));

	if (!rows)
		return no_memory();
	rows->by = by;
	try(census_rows_add(rows, census, false));
	if (before)
		try(census_rows_add(rows, before, true));
	rows_merge(rows);
	if (rows->count > 0)
		qsort(rows->rows, rows->count, sizeof(*rows->rows),
		      before ? compare_changes : compare_rows);
	*ret = take(rows);
	return NULL;
}
