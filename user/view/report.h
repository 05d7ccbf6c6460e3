/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A snapshot's statistics for people. */
#ifndef TMBPF_VIEW_REPORT_H
#define TMBPF_VIEW_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct error;
struct snapshot;
struct source_lines;
struct statistics;

/* Bytes of a container's id that are shown: as many as container tools show. */
#define CONTAINER_SHOWN 12

/*
 * What was looked at, in a few lines: the process, what it holds, and, unasked, what was not seen:
 * coverage and losses. SNAPSHOT is the whole one. SELECTED: STATISTICS are of a part of it, which
 * gets a line.
 */
struct error *report_print_head(const struct snapshot *snapshot,
				const struct statistics *statistics, bool selected, FILE *file);

/*
 * The first LIMIT groups, as a table or, if they are tracebacks, one below the other; and what was
 * left out. LINES are those of the one snapshot, or NULL for none.
 */
struct error *report_print_groups(const struct snapshot *snapshot,
				  const struct statistics *statistics, size_t limit,
				  const struct source_lines *lines, FILE *file);

#endif
