// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "snapshot/statistics.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "snapshot/grouping.h"
#include "snapshot/snapshot.h"
#include <errno.h>
#include <string.h>

static const char *const group_by_names[] = {
	[GROUP_BY_LINENO] = "lineno",
	[GROUP_BY_FILENAME] = "filename",
	[GROUP_BY_FUNCTION] = "function",
	[GROUP_BY_TRACEBACK] = "traceback",
};

bool group_by_parse(const char *name, enum group_by *ret)
{
	for (size_t i = 0; i < array_size(group_by_names); i++) {
		if (strcmp(group_by_names[i], name) == 0) {
			*ret = (enum group_by)i;
			return true;
		}
	}
	return false;
}

const char *group_by_name(enum group_by group_by)
{
	return group_by_names[group_by];
}

void statistics_destroy(struct statistics *statistics)
{
	if (!statistics)
		return;
	free(statistics->items);
	free(statistics);
}

struct summing {
	struct grouping grouping;
	struct statistics *statistics; /* items in the order of the groups */
	size_t capacity;
};

static void summing_deinit(struct summing *summing)
{
	grouping_deinit(&summing->grouping);
	statistics_destroy(summing->statistics);
}

/* A cumulative sum may count a block once for each of 65535 frames. */
static void sum_add(uint64_t *sum, uint64_t term)
{
	if (__builtin_add_overflow(*sum, term, sum))
		*sum = UINT64_MAX;
}

static struct error *summing_add(void *context, uint32_t group, const struct trace *trace)
{
	struct summing *summing = context;
	struct statistics *statistics = summing->statistics;
	struct statistic *statistic;

	if (group >= statistics->count) {
		try(array_reserve(&statistics->items, &summing->capacity, statistics->count, 1,
				  sizeof(*statistics->items)));
		statistics->items[statistics->count++] = (struct statistic){0};
	}
	statistic = &statistics->items[group];
	sum_add(&statistic->count, trace->count);
	sum_add(&statistic->size, trace->size);
	sum_add(&statistic->total_count, trace->total_count);
	sum_add(&statistic->total_size, trace->total_size);
	return NULL;
}

static int compare_numbers(uint64_t left, uint64_t right)
{
	return (left > right) - (left < right);
}

/* Statistic._sort_key, the largest first. */
static int compare_statistics(const void *left_pointer, const void *right_pointer, void *context)
{
	const struct statistic *left = left_pointer, *right = right_pointer;
	struct group left_group = {.frame = left->frame, .traceback = left->traceback};
	struct group right_group = {.frame = right->frame, .traceback = right->traceback};
	int order = compare_numbers(right->size, left->size);

	if (order == 0)
		order = compare_numbers(right->count, left->count);
	if (order == 0)
		order = grouping_compare(context, &right_group, &left_group);
	return order;
}

/* Names the groups, and drops those of which nothing is held: Python has no trace of these. */
static void statistics_compact(struct statistics *statistics, const struct grouping *grouping)
{
	size_t kept = 0;

	for (size_t i = 0; i < statistics->count; i++) {
		struct statistic *item = &statistics->items[kept];

		if (statistics->items[i].count == 0 && statistics->items[i].size == 0)
			continue;
		*item = statistics->items[i];
		item->frame = grouping->groups[i].frame;
		item->traceback = grouping->groups[i].traceback;
		item->several_functions = grouping->groups[i].several_functions;
		kept++;
	}
	statistics->count = kept;
}

struct error *statistics_create(const struct snapshot *snapshot,
				const struct statistics_options *options, struct statistics **ret)
{
	cleanup(summing_deinit) struct summing summing = {0};
	struct statistics *statistics;

	try(grouping_init(&summing.grouping, snapshot->tables, options));
	statistics = calloc(1, sizeof(*statistics));
	if (!statistics)
		return error_create_errno(ERROR_FAILED, ENOMEM, "statistics");
	summing.statistics = statistics;
	statistics->group_by = options->group_by;
	statistics->cumulative = options->cumulative;
	for (size_t i = 0; i < snapshot->trace_count; i++) {
		statistics->trace_count += snapshot->traces[i].count;
		statistics->trace_size += snapshot->traces[i].size;
		try(grouping_each(&summing.grouping, &snapshot->traces[i], summing_add, &summing));
	}
	statistics_compact(statistics, &summing.grouping);
	if (statistics->count > 0)
		qsort_r(statistics->items, statistics->count, sizeof(*statistics->items),
			compare_statistics, &summing.grouping);
	*ret = take(summing.statistics);
	return NULL;
}
