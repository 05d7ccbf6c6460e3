/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A snapshot's statistics for people. */
#ifndef TMBPF_VIEW_REPORT_H
#define TMBPF_VIEW_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct error;
struct frame;
struct snapshot;
struct statistic;
struct statistics;

/*
 * What was looked at, in a few lines: the process, what it holds, and, unasked, what was not seen:
 * coverage and losses. SELECTED: the statistics are of a part, which gets a line.
 */
struct error *report_print_head(const struct snapshot *snapshot,
				const struct statistics *statistics, bool selected, FILE *file);

/* The first LIMIT groups as a table, and what was left out. */
struct error *report_print_groups(const struct snapshot *snapshot,
				  const struct statistics *statistics, size_t limit, FILE *file);

/*
 * The place that a group of one frame stands for, as tracemalloc writes places: "app.py:12" and
 * the function's name, "app.py", or "handle (app.py:10)". The caller's to free, NULL without memory.
 */
char *report_place(const struct snapshot *snapshot, const struct statistics *statistics,
		   const struct statistic *statistic);

/* One frame: "app.py:12 handle". The caller's to free, NULL without memory. */
char *report_frame(const struct snapshot *snapshot, const struct frame *frame);

#endif
