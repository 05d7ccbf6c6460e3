/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Snapshot.statistics() of CPython's Lib/tracemalloc.py (3.7 to 3.15): the same groups, the same
 * sums, the same order. Grouping by function is tmbpf's own.
 */
#ifndef TMBPF_SNAPSHOT_STATISTICS_H
#define TMBPF_SNAPSHOT_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct snapshot;

enum group_by {
	GROUP_BY_LINENO,
	GROUP_BY_FILENAME,
	GROUP_BY_FUNCTION,
	GROUP_BY_TRACEBACK,
};

#define GROUP_BY_COUNT (GROUP_BY_TRACEBACK + 1)

/* As tracemalloc calls them: "lineno". */
extern const char *const group_by_names[GROUP_BY_COUNT];

struct statistics_options {
	enum group_by group_by;
	/*
	 * Each frame of a traceback counts, not the most recent one alone; a function that calls
	 * itself counts several times, as it does in Python. Not with GROUP_BY_TRACEBACK.
	 */
	bool cumulative;
};

/* One group. It stands for what it groups by: look at frame's or traceback's members for that. */
struct statistic {
	uint32_t frame;     /* index of a frame of the group */
	uint32_t traceback; /* index of a traceback of the group */
	/* With GROUP_BY_LINENO: the line is in several functions, and FRAME's is one of them. */
	bool several_functions;
	uint64_t count, size;             /* held now */
	uint64_t total_count, total_size; /* allocated since start */
	double size_variance; /* of estimates: the square of size's standard error; 0: exact */
};

struct statistics {
	enum group_by group_by;
	bool cumulative;
	struct statistic *items; /* the largest first, then by count and by place, descending */
	size_t count;
	/* Over all traces. With cumulative, less than the items' sum. */
	uint64_t trace_count, trace_size;
};

/*
 * The result refers to the indexes of SNAPSHOT's tables. Fails too where a cumulative sum exceeds
 * INT64_MAX.
 */
struct error *statistics_create(const struct snapshot *snapshot,
				const struct statistics_options *options, struct statistics **ret);
/* NULL is accepted. */
void statistics_destroy(struct statistics *statistics);

static inline void statistics_cleanup(struct statistics **statistics)
{
	statistics_destroy(*statistics);
}

#endif
