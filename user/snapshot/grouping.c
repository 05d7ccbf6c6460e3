// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Groups of traces: how they are found, and in which order they come. */
#include "snapshot/grouping.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <errno.h>
#include <string.h>

struct error *grouping_init(struct grouping *grouping, const struct tables *tables,
			    const struct statistics_options *options)
{
	size_t known = options->group_by == GROUP_BY_TRACEBACK ? tables->traceback_count
							       : tables->frame_count;

	*grouping = (struct grouping){.tables = tables, .options = *options};
	if (options->cumulative && options->group_by == GROUP_BY_TRACEBACK)
		return error_create(ERROR_USAGE, "tracebacks cannot be grouped cumulatively");
	grouping->known = reallocarray(NULL, known + 1, sizeof(*grouping->known));
	if (!grouping->known)
		return error_create_errno(ERROR_FAILED, ENOMEM, "groups of traces");
	memset(grouping->known, 0xff, (known + 1) * sizeof(*grouping->known));
	return tables_rank_frames(tables, &grouping->ranks);
}

void grouping_deinit(struct grouping *grouping)
{
	free(grouping->groups);
	free(grouping->known);
	free(grouping->ranks);
	lookup_deinit(&grouping->lookup);
}

static const struct frame *group_frame(const struct grouping *grouping, const struct group *group)
{
	return &grouping->tables->frames[group->frame];
}

/* The frames of GROUP's traceback, most recent first. */
static const uint32_t *group_frames(const struct grouping *grouping, const struct group *group,
				    uint32_t *ret_nframe)
{
	const struct traceback *traceback = &grouping->tables->tracebacks[group->traceback];

	*ret_nframe = traceback->nframe;
	return &grouping->tables->traceback_frames[traceback->first];
}

static bool tracebacks_equal(const struct grouping *grouping, const struct group *left,
			     const struct group *right)
{
	uint32_t left_nframe, right_nframe;
	const uint32_t *left_frames = group_frames(grouping, left, &left_nframe);
	const uint32_t *right_frames = group_frames(grouping, right, &right_nframe);

	if (left_nframe != right_nframe)
		return false;
	for (uint32_t i = 0; i < left_nframe; i++) {
		if (grouping->ranks[left_frames[i]] != grouping->ranks[right_frames[i]])
			return false;
	}
	return true;
}

static bool group_equal(const void *context, uint32_t position, const void *key)
{
	const struct grouping *grouping = context;
	const struct group *known = &grouping->groups[position], *wanted = key;
	const struct frame *left = group_frame(grouping, known);
	const struct frame *right = group_frame(grouping, wanted);

	switch (grouping->options.group_by) {
	case GROUP_BY_FILENAME:
		return left->filename == right->filename;
	case GROUP_BY_FUNCTION:
		return left->filename == right->filename && left->name == right->name &&
		       left->firstlineno == right->firstlineno;
	case GROUP_BY_LINENO:
		return grouping->ranks[known->frame] == grouping->ranks[wanted->frame];
	case GROUP_BY_TRACEBACK:
		break;
	}
	return tracebacks_equal(grouping, known, wanted);
}

static uint64_t group_hash(const struct grouping *grouping, const struct group *group)
{
	const struct frame *frame = group_frame(grouping, group);
	const uint32_t *frames;
	uint32_t nframe;
	uint64_t hash;

	switch (grouping->options.group_by) {
	case GROUP_BY_FILENAME:
		return lookup_hash_number(0, frame->filename);
	case GROUP_BY_FUNCTION:
		return lookup_hash_number((uint64_t)frame->filename << 32 | frame->name,
					  frame->firstlineno);
	case GROUP_BY_LINENO:
		return lookup_hash_number(0, grouping->ranks[group->frame]);
	case GROUP_BY_TRACEBACK:
		break;
	}
	frames = group_frames(grouping, group, &nframe);
	hash = nframe;
	for (uint32_t i = 0; i < nframe; i++)
		hash = lookup_hash_number(hash, grouping->ranks[frames[i]]);
	return hash;
}

/* The group of FRAME of TRACEBACK, made if need be; remembered in *KNOWN. */
static struct error *group_find(struct grouping *grouping, uint32_t traceback, uint32_t frame,
				uint32_t *known)
{
	struct group key = {.frame = frame, .traceback = traceback};
	uint64_t hash;
	uint32_t found;

	if (*known != LOOKUP_NONE)
		return NULL;
	hash = group_hash(grouping, &key);
	found = lookup_find(&grouping->lookup, hash, group_equal, grouping, &key);
	if (found == LOOKUP_NONE) {
		try(array_reserve(&grouping->groups, &grouping->capacity, grouping->count, 1,
				  sizeof(*grouping->groups)));
		found = (uint32_t)grouping->count;
		try(lookup_add(&grouping->lookup, hash, found));
		grouping->groups[grouping->count++] = key;
	} else if (grouping->options.group_by == GROUP_BY_LINENO &&
		   group_frame(grouping, &grouping->groups[found])->name !=
			   group_frame(grouping, &key)->name) {
		grouping->groups[found].several_functions = true;
	}
	*known = found;
	return NULL;
}

struct error *grouping_each(struct grouping *grouping, const struct trace *trace,
			    struct error *(*add)(void *context, uint32_t group,
						 const struct trace *trace),
			    void *context)
{
	const struct traceback *traceback = &grouping->tables->tracebacks[trace->traceback];
	const uint32_t *frames = &grouping->tables->traceback_frames[traceback->first];
	uint32_t counted = grouping->options.cumulative ? traceback->nframe : 1;

	for (uint32_t i = 0; i < counted; i++) {
		uint32_t *known = &grouping->known[grouping->options.group_by == GROUP_BY_TRACEBACK
							   ? trace->traceback
							   : frames[i]];

		try(group_find(grouping, trace->traceback, frames[i], known));
		try(add(context, *known, trace));
	}
	return NULL;
}

static int compare_numbers(uint32_t left, uint32_t right)
{
	return (left > right) - (left < right);
}

static int compare_tracebacks(const struct grouping *grouping, const struct group *left,
			      const struct group *right)
{
	uint32_t i, j;
	const uint32_t *left_frames = group_frames(grouping, left, &i);
	const uint32_t *right_frames = group_frames(grouping, right, &j);

	while (i > 0 && j > 0) {
		int order = compare_numbers(grouping->ranks[left_frames[--i]],
					    grouping->ranks[right_frames[--j]]);

		if (order)
			return order;
	}
	return compare_numbers(i, j);
}

static int compare_places(const struct grouping *grouping, const struct group *left,
			  const struct group *right)
{
	const struct frame *left_frame = group_frame(grouping, left);
	const struct frame *right_frame = group_frame(grouping, right);
	char *const *strings = grouping->tables->strings;
	int order;

	switch (grouping->options.group_by) {
	case GROUP_BY_TRACEBACK:
		return compare_tracebacks(grouping, left, right);
	case GROUP_BY_LINENO:
		return compare_numbers(grouping->ranks[left->frame], grouping->ranks[right->frame]);
	case GROUP_BY_FILENAME:
	case GROUP_BY_FUNCTION:
		break;
	}
	/* Ranks are of files first, so that those of two files' frames compare as the files. */
	if (left_frame->filename != right_frame->filename)
		return compare_numbers(grouping->ranks[left->frame], grouping->ranks[right->frame]);
	order = strcmp(strings[left_frame->name], strings[right_frame->name]);
	return order ? order : compare_numbers(left_frame->firstlineno, right_frame->firstlineno);
}

/*
 * The ranks of the two oldest frames. Places are compared by them first, so that most comparisons
 * look at no frame. 0 where all of a file's frames are one group.
 */
static uint64_t place_begin(const struct grouping *grouping, const struct group *group)
{
	const uint32_t *frames;
	uint32_t nframe;
	uint64_t begin;

	switch (grouping->options.group_by) {
	case GROUP_BY_LINENO:
		return grouping->ranks[group->frame];
	case GROUP_BY_TRACEBACK:
		frames = group_frames(grouping, group, &nframe);
		begin = (uint64_t)grouping->ranks[frames[nframe - 1]] << 32;
		/* A traceback that ends here is less than one that goes on. */
		return nframe > 1 ? begin + grouping->ranks[frames[nframe - 2]] + 1 : begin;
	case GROUP_BY_FILENAME:
	case GROUP_BY_FUNCTION:
		break;
	}
	return 0;
}

struct sorting {
	const struct grouping *grouping;
	int (*tie)(const void *context, uint32_t left, uint32_t right);
	const void *context;
};

static int compare_keys(uint64_t left, uint64_t right)
{
	return (left > right) - (left < right);
}

static int compare_orders(const void *left_pointer, const void *right_pointer, void *context)
{
	const struct group_order *left = left_pointer, *right = right_pointer;
	const struct sorting *sorting = context;
	const struct group *groups = sorting->grouping->groups;
	int order = compare_keys(right->keys[0], left->keys[0]);

	if (order == 0)
		order = compare_keys(right->keys[1], left->keys[1]);
	if (order == 0 && sorting->tie)
		order = -sorting->tie(sorting->context, left->group, right->group);
	if (order == 0)
		order = compare_keys(right->place, left->place);
	if (order == 0)
		order = compare_places(sorting->grouping, &groups[right->group],
				       &groups[left->group]);
	return order;
}

void grouping_sort(const struct grouping *grouping, struct group_order *orders, size_t count,
		   int (*tie)(const void *context, uint32_t left, uint32_t right),
		   const void *context)
{
	struct sorting sorting = {grouping, tie, context};

	for (size_t i = 0; i < count; i++)
		orders[i].place = place_begin(grouping, &grouping->groups[orders[i].group]);
	if (count > 0)
		qsort_r(orders, count, sizeof(*orders), compare_orders, &sorting);
}
