/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The options that say how traces are grouped and shown, of `stats` and `diff`. */
#ifndef TMBPF_COMMAND_OPTIONS_GROUPING_OPTIONS_H
#define TMBPF_COMMAND_OPTIONS_GROUPING_OPTIONS_H

#include "snapshot/statistics.h"
#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

struct error;

enum group_format { GROUP_FORMAT_TEXT, GROUP_FORMAT_PYTHON, GROUP_FORMAT_JSON };

struct group_options { /* as they were given; all zero: none */
	const char *group_by, *limit, *format;
	bool cumulative;
	/* Of group_options_check(). */
	struct statistics_options statistics;
	size_t limit_count; /* SIZE_MAX: all */
	enum group_format format_kind;
};

/* To be a child of the command's parser, whose input for it is a struct group_options. */
extern const struct argp group_argp;

/* A usage error says what is wrong. */
struct error *group_options_check(struct group_options *options);

#endif
