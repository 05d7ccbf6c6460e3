/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Groups of traces: what statistics and comparisons have in common. A group is what Python's
 * Snapshot._group_by() (Lib/tracemalloc.py) makes one key of: files and lines, neither the
 * functions nor total_nframe.
 */
#ifndef TMBPF_SNAPSHOT_GROUPING_H
#define TMBPF_SNAPSHOT_GROUPING_H

#include "base/lookup.h"
#include "snapshot/statistics.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct tables;
struct trace;

struct group {
	uint32_t frame, traceback; /* one of the group */
	bool several_functions;    /* as in struct statistic */
};

struct grouping {
	const struct tables *tables;
	struct statistics_options options;
	struct group *groups;
	size_t count, capacity;
	/* Of each frame, or with GROUP_BY_TRACEBACK of each traceback; LOOKUP_NONE not yet. */
	uint32_t *known;
	uint32_t *ranks; /* tables_rank_frames() */
	struct lookup lookup;
};

/* TABLES are borrowed, and must not grow meanwhile. */
struct error *grouping_init(struct grouping *grouping, const struct tables *tables,
			    const struct statistics_options *options);
void grouping_deinit(struct grouping *grouping);

/*
 * Calls ADD with the index in groups of each group that TRACE counts in: one, or with cumulative
 * one for each frame.
 */
struct error *grouping_each(struct grouping *grouping, const struct trace *trace,
			    struct error *(*add)(void *context, uint32_t group,
						 const struct trace *trace),
			    void *context);

/*
 * Sorting: descending by the keys. Where these are equal, by TIE (positive: LEFT is the larger;
 * NULL for none), then by place. Places compare as Python's: file names by code points, then lines;
 * tracebacks by their oldest frame first (Traceback.__lt__ since 3.7); functions by file, name and
 * line. No two places in one grouping are equal.
 */
struct group_order {
	uint64_t keys[2];
	uint64_t place; /* of grouping_sort() alone */
	uint32_t group; /* index in groups */
};

void grouping_sort(const struct grouping *grouping, struct group_order *orders, size_t count,
		   int (*tie)(const void *context, uint32_t left, uint32_t right),
		   const void *context);

#endif
