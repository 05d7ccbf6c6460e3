/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Statistics as Python prints them: each line is str() of a Statistic or a StatisticDiff of
 * CPython's Lib/tracemalloc.py (3.7 to 3.15), in UTF-8 with "backslashreplace" for what that cannot
 * express. As there, a traceback stands for its oldest frame.
 */
#ifndef TMBPF_VIEW_PYTHON_TEXT_H
#define TMBPF_VIEW_PYTHON_TEXT_H

#include <stddef.h>
#include <stdio.h>

struct comparison;
struct error;
struct statistics;
struct tables;

/*
 * The first LIMIT groups; not those by function, which Python does not know. To a terminal, names
 * go through text_display().
 */
struct error *python_print_statistics(const struct tables *tables,
				      const struct statistics *statistics, size_t limit,
				      FILE *file);
/* COMPARISON is of two snapshots. */
struct error *python_print_differences(const struct tables *tables,
				       const struct comparison *comparison, size_t limit,
				       FILE *file);

#endif
