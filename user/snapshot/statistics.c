// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The groups of one snapshot, the largest first. */
#include "snapshot/statistics.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "snapshot/grouping.h"
#include "snapshot/snapshot.h"
#include <errno.h>
#include <string.h>

const char *const group_by_names[GROUP_BY_COUNT] = {
	[GROUP_BY_LINENO] = "lineno",
	[GROUP_BY_FILENAME] = "filename",
	[GROUP_BY_FUNCTION] = "function",
	[GROUP_BY_TRACEBACK] = "traceback",
};

void statistics_destroy(struct statistics *statistics)
{
	if (!statistics)
		return;
	free(statistics->items);
	free(statistics);
}

struct summing {
	struct grouping grouping;
	struct statistics *statistics;
	struct statistic *sums; /* of each group */
	size_t count, capacity;
	struct group_order *orders;
};

static void summing_deinit(struct summing *summing)
{
	grouping_deinit(&summing->grouping);
	statistics_destroy(summing->statistics);
	free(summing->sums);
	free(summing->orders);
}

/* Neither term exceeds INT64_MAX, nor may the sum. */
static bool sum_add(uint64_t *sum, uint64_t term)
{
	*sum += term;
	return *sum <= INT64_MAX;
}

static struct error *summing_add(void *context, uint32_t group, const struct trace *trace)
{
	struct summing *summing = context;
	struct statistic *sum;

	if (group >= summing->count) {
		try(array_reserve(&summing->sums, &summing->capacity, summing->count, 1,
				  sizeof(*summing->sums)));
		summing->sums[summing->count++] = (struct statistic){0};
	}
	sum = &summing->sums[group];
	sum->size_variance += (double)trace->size_error * (double)trace->size_error;
	/* A cumulative sum may count a block once for each of 65535 frames. */
	if (!sum_add(&sum->count, trace->count) || !sum_add(&sum->size, trace->size) ||
	    !sum_add(&sum->total_count, trace->total_count) ||
	    !sum_add(&sum->total_size, trace->total_size))
		return error_create(ERROR_FAILED, "cumulative sizes exceed 63 bits");
	return NULL;
}

/* The groups by Statistic._sort_key, without those of which nothing is held: Python has none. */
static struct error *summing_finish(struct summing *summing)
{
	struct statistics *statistics = summing->statistics;
	const struct grouping *grouping = &summing->grouping;

	summing->orders = calloc(summing->count + 1, sizeof(*summing->orders));
	statistics->items = calloc(summing->count + 1, sizeof(*statistics->items));
	if (!summing->orders || !statistics->items)
		return error_create_errno(ERROR_FAILED, ENOMEM, "statistics");
	for (size_t i = 0; i < summing->count; i++) {
		const struct statistic *sum = &summing->sums[i];

		if (sum->count > 0 || sum->size > 0)
			summing->orders[statistics->count++] = (struct group_order){
				.keys = {sum->size, sum->count}, .group = (uint32_t)i};
	}
	grouping_sort(grouping, summing->orders, statistics->count, NULL, NULL);
	for (size_t i = 0; i < statistics->count; i++) {
		uint32_t group = summing->orders[i].group;

		statistics->items[i] = summing->sums[group];
		statistics->items[i].frame = grouping->groups[group].frame;
		statistics->items[i].traceback = grouping->groups[group].traceback;
		statistics->items[i].several_functions = grouping->groups[group].several_functions;
	}
	return NULL;
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
	try(summing_finish(&summing));
	*ret = take(summing.statistics);
	return NULL;
}
