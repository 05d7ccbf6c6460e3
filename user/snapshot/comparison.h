/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Snapshot.compare_to() of CPython's Lib/tracemalloc.py (3.7 to 3.15): the same groups, the same
 * differences, the same order; and the same for more than two snapshots in a row.
 */
#ifndef TMBPF_SNAPSHOT_COMPARISON_H
#define TMBPF_SNAPSHOT_COMPARISON_H

#include "snapshot/statistics.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct snapshot;

/* What a group held in one snapshot: 0 where it has no such group. */
struct comparison_value {
	uint64_t count, size;
	double size_variance; /* as in struct statistic */
};

/* One group: a StatisticDiff, if there are two snapshots. */
struct difference {
	/* As in struct statistic. */
	uint32_t frame, traceback;
	bool several_functions;
	bool grows; /* larger in each snapshot than in the one before it, also from nothing */
	/* The last one's less the first one's. Sizes do not exceed INT64_MAX (snapshot.h). */
	int64_t size_diff, count_diff;
	double size_error; /* of size_diff, where estimates were compared; else 0 */
	/* Of estimates: within twice the error, so that nothing is known to differ; ranked last. */
	bool noise;
	size_t values; /* index into values: one for each snapshot, oldest first */
};

struct comparison {
	enum group_by group_by;
	bool cumulative;
	size_t snapshot_count;
	/*
	 * Two snapshots are in the order of compare_to(): by |size_diff|, size, |count_diff|, count
	 * and place, descending, where size and count are those of the last snapshot. Of more
	 * snapshots those that grow in each step come first, and each part is in that order. What
	 * does not differ is among them.
	 */
	struct difference *items;
	size_t count;
	struct comparison_value *values;
	struct comparison_value *totals; /* of each snapshot, over all its traces */
	bool side_by_side;               /* see below */
};

/*
 * SNAPSHOTS are COUNT, two at least, the oldest first, on the same tables. Fails where they are
 * not, and where a cumulative sum exceeds INT64_MAX.
 */
struct error *comparison_create(const struct snapshot *const *snapshots, size_t count,
				const struct statistics_options *options, struct comparison **ret);
/*
 * Takes the snapshots for those of processes side by side, in no order of time. Then differences
 * are those of the largest to the smallest, nothing grows, and what differs most comes first.
 */
void comparison_set_side_by_side(struct comparison *comparison);
/* NULL is accepted. */
void comparison_destroy(struct comparison *comparison);

static inline void comparison_cleanup(struct comparison **comparison)
{
	comparison_destroy(*comparison);
}

#endif
