/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Snapshots compared, for people. */
#ifndef TMBPF_VIEW_DIFFERENCE_H
#define TMBPF_VIEW_DIFFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct comparison;
struct error;
struct snapshot;
struct source_lines;
struct tables;

struct compared {
	const char *name;                /* of the file */
	const struct snapshot *snapshot; /* the whole one */
};

/*
 * What is compared, the oldest first: a row for each snapshot, command lines, and what all hold.
 * SELECTED: COMPARISON is of a part, which gets a line. COMPARED are as many as COMPARISON's
 * snapshots.
 */
struct error *difference_print_head(const struct compared *compared,
				    const struct comparison *comparison, bool selected, FILE *file);

/*
 * The first LIMIT groups that differ, and what was left out. Of two snapshots their differences are
 * shown; of more, or side by side, the size in each of COMPARED. The source line of a place is that
 * of the last snapshot which holds something there; LINES may be NULL.
 */
struct error *difference_print_groups(const struct compared *compared, const struct tables *tables,
				      const struct comparison *comparison, size_t limit,
				      const struct source_lines *lines, FILE *file);

/* The LIMIT groups that grew most, a line each. */
struct error *difference_print_growth(const struct tables *tables,
				      const struct comparison *comparison, size_t limit,
				      FILE *file);

#endif
