// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "snapshot/comparison.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "snapshot/grouping.h"
#include "snapshot/snapshot.h"
#include <errno.h>
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

struct comparing {
	struct grouping grouping;
	struct comparison *comparison;
	size_t value_count, value_capacity; /* a row of snapshot_count for each group */
	size_t snapshot;                    /* the one at hand */
};

static void comparing_deinit(struct comparing *comparing)
{
	grouping_deinit(&comparing->grouping);
	comparison_destroy(comparing->comparison);
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
	if (value->size > INT64_MAX || value->count > INT64_MAX)
		return error_create(ERROR_FAILED, "cumulative sizes exceed 63 bits");
	return NULL;
}

static struct error *comparing_take(struct comparing *comparing, const struct snapshot *snapshot)
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

static int compare_numbers(uint64_t left, uint64_t right)
{
	return (left > right) - (left < right);
}

static uint64_t magnitude(int64_t number)
{
	return number < 0 ? -(uint64_t)number : (uint64_t)number;
}

/* StatisticDiff._sort_key, the largest first. */
static int compare_differences(const void *left_pointer, const void *right_pointer, void *context)
{
	const struct difference *left = left_pointer, *right = right_pointer;
	const struct comparing *comparing = context;
	const struct comparison *comparison = comparing->comparison;
	size_t last = comparison->snapshot_count - 1;
	const struct comparison_value *left_value = &comparison->values[left->values + last];
	const struct comparison_value *right_value = &comparison->values[right->values + last];
	struct group left_group = {.frame = left->frame, .traceback = left->traceback};
	struct group right_group = {.frame = right->frame, .traceback = right->traceback};
	int order = 0;

	if (comparison->snapshot_count > 2)
		order = (int)right->grows - (int)left->grows;
	if (order == 0)
		order = compare_numbers(magnitude(right->size_diff), magnitude(left->size_diff));
	if (order == 0)
		order = compare_numbers(right_value->size, left_value->size);
	if (order == 0)
		order = compare_numbers(magnitude(right->count_diff), magnitude(left->count_diff));
	if (order == 0)
		order = compare_numbers(right_value->count, left_value->count);
	if (order == 0)
		order = grouping_compare(&comparing->grouping, &right_group, &left_group);
	return order;
}

static struct error *comparing_finish(struct comparing *comparing)
{
	struct comparison *comparison = comparing->comparison;
	const struct grouping *grouping = &comparing->grouping;

	comparison->items = calloc(grouping->count + 1, sizeof(*comparison->items));
	if (!comparison->items)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a comparison");
	for (size_t i = 0; i < grouping->count; i++) {
		if (!row_empty(comparison, i))
			difference_init(&comparison->items[comparison->count++], comparison,
					&grouping->groups[i], i);
	}
	qsort_r(comparison->items, comparison->count, sizeof(*comparison->items),
		compare_differences, comparing);
	return NULL;
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
		try(comparing_take(&comparing, snapshots[i]));
	}
	try(comparing_finish(&comparing));
	*ret = take(comparing.comparison);
	return NULL;
}
