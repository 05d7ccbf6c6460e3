/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The options that say how traces are grouped and shown, of `stats` and `diff`. */
#ifndef TMBPF_COMMAND_OPTIONS_GROUPING_OPTIONS_H
#define TMBPF_COMMAND_OPTIONS_GROUPING_OPTIONS_H

#include "snapshot/statistics.h"
#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

struct error;

enum grouping_format { GROUPING_TEXT, GROUPING_PYTHON, GROUPING_JSON };

struct grouping_options { /* as they were given; all zero: none */
	const char *group_by, *limit, *format;
	bool cumulative;
	/* Of grouping_options_check(). */
	struct statistics_options statistics;
	size_t limit_count; /* SIZE_MAX: all */
	enum grouping_format format_kind;
};

/* To be a child of the command's parser, whose input for it is a struct grouping_options. */
extern const struct argp grouping_argp;

/* A usage error says what is wrong. */
struct error *grouping_options_check(struct grouping_options *options);

#endif
