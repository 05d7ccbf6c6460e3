// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What changed from one snapshot to the next ones. */
#include "snapshot/comparison.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "snapshot/grouping.h"
#include "snapshot/snapshot.h"
#include <errno.h>
#include <math.h>
#include <string.h>

void comparison_destroy(struct comparison *comparison)
{
	if (!comparison)
		return;
	free(comparison->items);
	free(comparison->values);
	free(comparison->totals);
	free(comparison);
}

/* In a key; the differences of sizes have 63 bits. */
#define GROWS_FIRST ((uint64_t)1 << 63)

struct comparing {
	struct grouping grouping;
	struct comparison *comparison;
	size_t value_count, value_capacity; /* a row of snapshot_count for each group */
	size_t snapshot;                    /* the one at hand */
	struct group_order *orders;
};

static void comparing_deinit(struct comparing *comparing)
{
	grouping_deinit(&comparing->grouping);
	comparison_destroy(comparing->comparison);
	free(comparing->orders);
}

static struct error *comparing_add(void *context, uint32_t group, const struct trace *trace)
{
	struct comparing *comparing = context;
	struct comparison *comparison = comparing->comparison;
	size_t columns = comparison->snapshot_count, row = group * columns;
	struct comparison_value *value;

	if (row >= comparing->value_count) {
		try(array_reserve(&comparison->values, &comparing->value_capacity,
				  comparing->value_count, columns, sizeof(*comparison->values)));
		memset(&comparison->values[row], 0, columns * sizeof(*comparison->values));
		comparing->value_count += columns;
	}
	value = &comparison->values[row + comparing->snapshot];
	/* Neither term exceeds INT64_MAX, nor may the sum. */
	value->size += trace->size;
	value->count += trace->count;
	value->size_variance += (double)trace->size_error * (double)trace->size_error;
	if (value->size > INT64_MAX || value->count > INT64_MAX)
		return error_create(ERROR_FAILED, "cumulative sizes exceed 63 bits");
	return NULL;
}

static struct error *comparing_snapshot(struct comparing *comparing,
					const struct snapshot *snapshot)
{
	struct comparison_value *total = &comparing->comparison->totals[comparing->snapshot];

	if (snapshot->tables != comparing->grouping.tables)
		return error_create(ERROR_FAILED, "snapshots to compare have tables of their own");
	for (size_t i = 0; i < snapshot->trace_count; i++) {
		total->size += snapshot->traces[i].size;
		total->count += snapshot->traces[i].count;
		try(grouping_each(&comparing->grouping, &snapshot->traces[i], comparing_add,
				  comparing));
	}
	return NULL;
}

static void difference_init(struct difference *difference, const struct comparison *comparison,
			    const struct group *group, size_t row)
{
	size_t columns = comparison->snapshot_count;
	const struct comparison_value *values = &comparison->values[row * columns];
	const struct comparison_value *last = &values[columns - 1];

	*difference = (struct difference){
		.frame = group->frame,
		.traceback = group->traceback,
		.several_functions = group->several_functions,
		.grows = true,
		.size_diff = (int64_t)last->size - (int64_t)values->size,
		.count_diff = (int64_t)last->count - (int64_t)values->count,
		.values = row * columns,
	};
	difference->size_error = sqrt(values->size_variance + last->size_variance);
	difference->noise = difference->size_error > 0 &&
			    fabs((double)difference->size_diff) <= 2 * difference->size_error;
	difference->grows = !difference->noise;
	for (size_t i = 1; i < columns; i++)
		difference->grows = difference->grows && values[i].size > values[i - 1].size;
}

static bool row_empty(const struct comparison *comparison, size_t row)
{
	for (size_t i = 0; i < comparison->snapshot_count; i++) {
		const struct comparison_value *value =
			&comparison->values[row * comparison->snapshot_count + i];

		if (value->size || value->count)
			return false;
	}
	return true;
}

static uint64_t magnitude(int64_t number)
{
	return number < 0 ? -(uint64_t)number : (uint64_t)number;
}

static int compare_numbers(uint64_t left, uint64_t right)
{
	return (left > right) - (left < right);
}

/* The values of the last snapshot. */
static const struct comparison_value *last_value(const struct comparison *comparison, size_t row)
{
	return &comparison->values[(row + 1) * comparison->snapshot_count - 1];
}

static int64_t count_diff(const struct comparison *comparison, size_t row)
{
	return (int64_t)last_value(comparison, row)->count -
	       (int64_t)comparison->values[row * comparison->snapshot_count].count;
}

/* What StatisticDiff._sort_key has behind sizes. */
static int compare_counts(const void *context, uint32_t left, uint32_t right)
{
	const struct comparison *comparison = context;
	int order = compare_numbers(magnitude(count_diff(comparison, left)),
				    magnitude(count_diff(comparison, right)));

	return order ? order
		     : compare_numbers(last_value(comparison, left)->count,
				       last_value(comparison, right)->count);
}

/* The groups by StatisticDiff._sort_key; with more than two snapshots what grows comes first. */
static struct error *comparing_finish(struct comparing *comparing)
{
	struct comparison *comparison = comparing->comparison;
	const struct grouping *grouping = &comparing->grouping;
	struct difference difference;

	comparing->orders = calloc(grouping->count + 1, sizeof(*comparing->orders));
	comparison->items = calloc(grouping->count + 1, sizeof(*comparison->items));
	if (!comparing->orders || !comparison->items)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a comparison");
	for (size_t i = 0; i < grouping->count; i++) {
		struct group_order *order = &comparing->orders[comparison->count];

		if (row_empty(comparison, i))
			continue;
		difference_init(&difference, comparison, &grouping->groups[i], i);
		order->keys[0] = difference.noise ? 0 : magnitude(difference.size_diff);
		if (comparison->snapshot_count > 2 && difference.grows)
			order->keys[0] |= GROWS_FIRST;
		order->keys[1] = last_value(comparison, i)->size;
		order->group = (uint32_t)i;
		comparison->count++;
	}
	grouping_sort(grouping, comparing->orders, comparison->count, compare_counts, comparison);
	for (size_t i = 0; i < comparison->count; i++) {
		uint32_t group = comparing->orders[i].group;

		difference_init(&comparison->items[i], comparison, &grouping->groups[group], group);
	}
	return NULL;
}

/* The largest and the smallest of an item's values. */
static void extremes_find(const struct comparison *comparison, const struct difference *item,
			  const struct comparison_value **ret_most,
			  const struct comparison_value **ret_least)
{
	const struct comparison_value *values = &comparison->values[item->values];

	*ret_most = *ret_least = values;
	for (size_t i = 1; i < comparison->snapshot_count; i++) {
		if (values[i].size > (*ret_most)->size)
			*ret_most = &values[i];
		if (values[i].size < (*ret_least)->size)
			*ret_least = &values[i];
	}
}

/* What differs for certain before noise, then by how much; of those alike as before. */
static int spread_compare(const void *left, const void *right)
{
	const struct difference *one = left, *other = right;

	if (one->noise != other->noise)
		return one->noise ? 1 : -1;
	if (one->size_diff != other->size_diff)
		return one->size_diff < other->size_diff ? 1 : -1;
	return (one->values > other->values) - (one->values < other->values);
}

void comparison_set_side_by_side(struct comparison *comparison)
{
	comparison->side_by_side = true;
	for (size_t i = 0; i < comparison->count; i++) {
		struct difference *item = &comparison->items[i];
		const struct comparison_value *most, *least;

		extremes_find(comparison, item, &most, &least);
		item->grows = false;
		item->size_diff = (int64_t)(most->size - least->size);
		item->count_diff = (int64_t)most->count - (int64_t)least->count;
		item->size_error = sqrt(most->size_variance + least->size_variance);
		item->noise = item->size_error > 0 &&
			      (double)item->size_diff <= 2 * item->size_error;
	}
	qsort(comparison->items, comparison->count, sizeof(*comparison->items), spread_compare);
}

struct error *comparison_create(const struct snapshot *const *snapshots, size_t count,
				const struct statistics_options *options, struct comparison **ret)
{
	cleanup(comparing_deinit) struct comparing comparing = {0};

	if (count < 2)
		return error_create(ERROR_USAGE, "a comparison takes two snapshots at least");
	try(grouping_init(&comparing.grouping, snapshots[0]->tables, options));
	comparing.comparison = calloc(1, sizeof(*comparing.comparison));
	if (comparing.comparison)
		comparing.comparison->totals = calloc(count, sizeof(*comparing.comparison->totals));
	if (!comparing.comparison || !comparing.comparison->totals)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a comparison");
	comparing.comparison->group_by = options->group_by;
	comparing.comparison->cumulative = options->cumulative;
	comparing.comparison->snapshot_count = count;
	for (size_t i = 0; i < count; i++) {
		comparing.snapshot = i;
		try(comparing_snapshot(&comparing, snapshots[i]));
	}
	try(comparing_finish(&comparing));
	*ret = take(comparing.comparison);
	return NULL;
}
