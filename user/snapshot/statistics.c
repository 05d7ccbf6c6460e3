// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "snapshot/statistics.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/lookup.h"
#include "snapshot/filter.h"
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

struct grouping {
	const struct snapshot *snapshot;
	const struct statistics_options *options;
	struct statistics *statistics;
	size_t capacity;
	struct lookup lookup;
	/* The group of each traceback and frame that was looked up, LOOKUP_NONE: not yet. */
	uint32_t *groups;
};

static void grouping_deinit(struct grouping *grouping)
{
	statistics_destroy(grouping->statistics);
	lookup_deinit(&grouping->lookup);
	free(grouping->groups);
}

void statistics_destroy(struct statistics *statistics)
{
	if (!statistics)
		return;
	free(statistics->items);
	free(statistics);
}

static const struct frame *frame_get(const struct snapshot *snapshot, uint32_t frame)
{
	static const struct frame unknown;

	return frame == STATISTIC_NO_FRAME ? &unknown : &snapshot->frames[frame];
}

static bool frames_equal(enum group_by group_by, const struct frame *left,
			 const struct frame *right)
{
	if (left->filename != right->filename)
		return false;
	switch (group_by) {
	case GROUP_BY_FILENAME:
		return true;
	case GROUP_BY_FUNCTION:
		return left->name == right->name && left->firstlineno == right->firstlineno;
	case GROUP_BY_LINENO:
	case GROUP_BY_TRACEBACK:
		break;
	}
	return left->lineno == right->lineno;
}

static uint64_t frame_hash(enum group_by group_by, uint64_t seed, const struct frame *frame)
{
	uint64_t rest = 0;

	if (group_by == GROUP_BY_FUNCTION)
		rest = (uint64_t)frame->name << 32 | frame->firstlineno;
	else if (group_by != GROUP_BY_FILENAME)
		rest = frame->lineno;
	return lookup_hash_number(lookup_hash_number(seed, frame->filename), rest);
}

/* Python's tracebacks are their files and lines: not the functions, not total_nframe. */
static bool group_equal(const void *context, uint32_t position, const void *key)
{
	const struct grouping *grouping = context;
	const struct snapshot *snapshot = grouping->snapshot;
	const struct statistic *known = &grouping->statistics->items[position];
	const struct statistic *wanted = key;
	enum group_by group_by = grouping->options->group_by;
	const struct traceback *left, *right;

	if (group_by != GROUP_BY_TRACEBACK)
		return frames_equal(group_by, frame_get(snapshot, known->frame),
				    frame_get(snapshot, wanted->frame));
	left = &snapshot->tracebacks[known->traceback];
	right = &snapshot->tracebacks[wanted->traceback];
	if (left->nframe != right->nframe)
		return false;
	for (uint32_t i = 0; i < left->nframe; i++) {
		if (!frames_equal(group_by, &snapshot->frames[left->first + i],
				  &snapshot->frames[right->first + i]))
			return false;
	}
	return true;
}

static uint64_t group_hash(const struct grouping *grouping, const struct statistic *key)
{
	const struct snapshot *snapshot = grouping->snapshot;
	const struct traceback *traceback = &snapshot->tracebacks[key->traceback];
	enum group_by group_by = grouping->options->group_by;
	uint64_t hash = 0;

	if (group_by != GROUP_BY_TRACEBACK)
		return frame_hash(group_by, 0, frame_get(snapshot, key->frame));
	for (uint32_t i = 0; i < traceback->nframe; i++)
		hash = frame_hash(group_by, hash, &snapshot->frames[traceback->first + i]);
	return hash;
}

/* Finds or makes the group of FRAME of TRACEBACK. */
static struct error *group_find(struct grouping *grouping, uint32_t traceback, uint32_t frame,
				uint32_t *ret)
{
	struct statistics *statistics = grouping->statistics;
	struct statistic key = {.traceback = traceback, .frame = frame};
	uint64_t hash = group_hash(grouping, &key);
	uint32_t found = lookup_find(&grouping->lookup, hash, group_equal, grouping, &key);

	if (found == LOOKUP_NONE) {
		try(array_reserve(&statistics->items, &grouping->capacity, statistics->count, 1,
				  sizeof(*statistics->items)));
		found = (uint32_t)statistics->count;
		try(lookup_add(&grouping->lookup, hash, found));
		statistics->items[statistics->count++] = key;
	}
	if (grouping->options->group_by == GROUP_BY_LINENO &&
	    frame_get(grouping->snapshot, statistics->items[found].frame)->name !=
		    frame_get(grouping->snapshot, frame)->name)
		statistics->items[found].several_functions = true;
	*ret = found;
	return NULL;
}

/* A cumulative sum may count a block once for each of 65535 frames. */
static void sum_add(uint64_t *sum, uint64_t term)
{
	if (__builtin_add_overflow(*sum, term, sum))
		*sum = UINT64_MAX;
}

static struct error *group_add(struct grouping *grouping, const struct trace *trace, uint32_t frame,
			       uint32_t *known)
{
	struct statistic *statistic;

	if (*known == LOOKUP_NONE)
		try(group_find(grouping, trace->traceback, frame, known));
	statistic = &grouping->statistics->items[*known];
	sum_add(&statistic->count, trace->count);
	sum_add(&statistic->size, trace->size);
	sum_add(&statistic->total_count, trace->total_count);
	sum_add(&statistic->total_size, trace->total_size);
	return NULL;
}

static struct error *grouping_add(struct grouping *grouping, const struct trace *trace)
{
	const struct traceback *traceback = &grouping->snapshot->tracebacks[trace->traceback];
	uint32_t no_frame = LOOKUP_NONE;

	grouping->statistics->trace_count += trace->count;
	grouping->statistics->trace_size += trace->size;
	if (traceback->nframe == 0)
		return group_add(grouping, trace, STATISTIC_NO_FRAME, &no_frame);
	if (!grouping->options->cumulative)
		return group_add(grouping, trace, traceback->first,
				 &grouping->groups[traceback->first]);
	for (uint32_t i = 0; i < traceback->nframe; i++)
		try(group_add(grouping, trace, traceback->first + i,
			      &grouping->groups[traceback->first + i]));
	return NULL;
}

static int compare_numbers(uint64_t left, uint64_t right)
{
	return (left > right) - (left < right);
}

/* File names in UTF-8 compare by bytes as Python's do by code points. */
static int compare_frames(const struct snapshot *snapshot, enum group_by group_by,
			  const struct frame *left, const struct frame *right)
{
	int order = 0;

	if (left->filename != right->filename)
		order = strcmp(snapshot_filename(snapshot, left),
			       snapshot_filename(snapshot, right));
	if (order == 0 && group_by == GROUP_BY_FUNCTION) {
		order = strcmp(snapshot->strings[left->name], snapshot->strings[right->name]);
		return order ? order : compare_numbers(left->firstlineno, right->firstlineno);
	}
	if (order == 0 && group_by != GROUP_BY_FILENAME)
		order = compare_numbers(left->lineno, right->lineno);
	return order;
}

/* Traceback.__lt__ compares the oldest frame first (3.7 on). */
static int compare_places(const struct snapshot *snapshot, enum group_by group_by,
			  const struct statistic *left, const struct statistic *right)
{
	const struct traceback *left_traceback, *right_traceback;
	uint32_t i, j;

	if (group_by != GROUP_BY_TRACEBACK)
		return compare_frames(snapshot, group_by, frame_get(snapshot, left->frame),
				      frame_get(snapshot, right->frame));
	left_traceback = &snapshot->tracebacks[left->traceback];
	right_traceback = &snapshot->tracebacks[right->traceback];
	i = left_traceback->nframe;
	j = right_traceback->nframe;
	while (i > 0 && j > 0) {
		int order = compare_frames(snapshot, group_by,
					   &snapshot->frames[left_traceback->first + --i],
					   &snapshot->frames[right_traceback->first + --j]);

		if (order)
			return order;
	}
	return compare_numbers(left_traceback->nframe, right_traceback->nframe);
}

/* Statistic._sort_key, the largest first. */
static int compare_statistics(const void *left_pointer, const void *right_pointer, void *context)
{
	const struct statistic *left = left_pointer, *right = right_pointer;
	const struct grouping *grouping = context;
	int order = compare_numbers(right->size, left->size);

	if (order == 0)
		order = compare_numbers(right->count, left->count);
	if (order == 0)
		order = compare_places(grouping->snapshot, grouping->options->group_by, right,
				       left);
	return order;
}

static bool trace_passes(const struct grouping *grouping, const struct trace *trace)
{
	const struct statistics_options *options = grouping->options;

	return (!options->has_domain || trace->domain == options->domain) &&
	       filters_match(options->filters, options->filter_count, grouping->snapshot, trace);
}

static struct error *grouping_init(struct grouping *grouping)
{
	size_t frames = grouping->snapshot->frame_count;

	grouping->statistics = calloc(1, sizeof(*grouping->statistics));
	grouping->groups = reallocarray(NULL, frames + 1, sizeof(*grouping->groups));
	if (!grouping->statistics || !grouping->groups)
		return error_create_errno(ERROR_FAILED, ENOMEM, "statistics");
	memset(grouping->groups, 0xff, (frames + 1) * sizeof(*grouping->groups));
	grouping->statistics->group_by = grouping->options->group_by;
	grouping->statistics->cumulative = grouping->options->cumulative;
	return NULL;
}

/* Drops the groups of which nothing is held any more: Python has no trace of these. */
static void statistics_compact(struct statistics *statistics)
{
	size_t kept = 0;

	for (size_t i = 0; i < statistics->count; i++) {
		if (statistics->items[i].count > 0 || statistics->items[i].size > 0)
			statistics->items[kept++] = statistics->items[i];
	}
	statistics->count = kept;
}

struct error *statistics_create(const struct snapshot *snapshot,
				const struct statistics_options *options, struct statistics **ret)
{
	cleanup(grouping_deinit) struct grouping grouping = {
		.snapshot = snapshot,
		.options = options,
	};

	if (options->cumulative && options->group_by == GROUP_BY_TRACEBACK)
		return error_create(ERROR_USAGE, "tracebacks cannot be grouped cumulatively");
	try(grouping_init(&grouping));
	for (size_t i = 0; i < snapshot->trace_count; i++) {
		const struct trace *trace = &snapshot->traces[i];

		if (trace_passes(&grouping, trace))
			try(grouping_add(&grouping, trace));
	}
	statistics_compact(grouping.statistics);
	if (grouping.statistics->count > 0)
		qsort_r(grouping.statistics->items, grouping.statistics->count,
			sizeof(*grouping.statistics->items), compare_statistics, &grouping);
	*ret = take(grouping.statistics);
	return NULL;
}
