/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The places that groups stand for, in words, and the source lines beside them. */
#ifndef TMBPF_VIEW_PLACE_H
#define TMBPF_VIEW_PLACE_H

#include "snapshot/comparison.h"
#include "snapshot/statistics.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct error;
struct frame;
struct tables;

/* What struct statistic and struct difference have in common. */
struct place {
	const struct tables *tables;
	enum group_by group_by;
	uint32_t frame, traceback;
	bool several_functions;
};

static inline struct place place_of_statistic(const struct tables *tables,
					      const struct statistics *statistics,
					      const struct statistic *statistic)
{
	return (struct place){tables, statistics->group_by, statistic->frame, statistic->traceback,
			      statistic->several_functions};
}

static inline struct place place_of_difference(const struct tables *tables,
					       const struct comparison *comparison,
					       const struct difference *difference)
{
	return (struct place){tables, comparison->group_by, difference->frame,
			      difference->traceback, difference->several_functions};
}

/*
 * As tracemalloc writes places: "app.py:12" and the function's name; "app.py"; "handle (app.py:10)"
 * with the function's first line; of a traceback its most recent frame. Not fit for a terminal:
 * text_display() makes it so. The caller's to free, NULL without memory.
 */
char *place_text(const struct place *place);

/* A view knows no files: source lines are asked for. */
struct source_lines {
	/*
	 * Line LINENO of FILENAME as the process of the snapshot number SNAPSHOT (of those that
	 * are shown) had it, without indentation. The caller's to free; NULL if that is not known.
	 */
	char *(*read)(void *context, size_t snapshot, const char *filename, uint32_t lineno);
	void *context;
};

/* The source line of a place that is a line, likewise; NULL for others. LINES may be NULL. */
char *place_source(const struct place *place, const struct source_lines *lines, size_t snapshot);

/*
 * The traceback of index TRACEBACK in the style of tracemalloc's Traceback.format(), the most
 * recent call last, with the functions' names where they are known.
 */
struct error *traceback_print(const struct tables *tables, uint32_t traceback,
			      const struct source_lines *lines, size_t snapshot, FILE *file);

#endif
