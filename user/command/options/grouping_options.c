// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The options that say how traces are grouped and shown. */
#include "command/options/grouping_options.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "command/options/options.h"

#define DEFAULT_LIMIT 25

enum option_key { OPTION_CUMULATIVE = 1280, OPTION_FORMAT };

static const struct argp_option options[] = {
	{"group-by", 'g', "KEY", 0, "lineno (default), filename, function or traceback", 0},
	{"cumulative", OPTION_CUMULATIVE, NULL, 0,
	 "Count each frame of a traceback, not the most recent one alone", 0},
	{"limit", 'n', "N", 0, "Show the first N groups (default 25, 0 for all)", 0},
	{"format", OPTION_FORMAT, "FORMAT", 0,
	 "text (default), json, or python: each line as Python's str() has it", 0},
	{0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct grouping_options *given = state->input;

	switch (key) {
	case 'g':
		given->group_by = value;
		return 0;
	case 'n':
		given->limit = value;
		return 0;
	case OPTION_CUMULATIVE:
		given->cumulative = true;
		return 0;
	case OPTION_FORMAT:
		given->format = value;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

const struct argp grouping_argp = {.options = options, .parser = parse_option};

static const char *const formats[] = {
	[GROUPING_TEXT] = "text",
	[GROUPING_PYTHON] = "python",
	[GROUPING_JSON] = "json",
};

struct error *grouping_options_check(struct grouping_options *given)
{
	size_t group_by = GROUP_BY_LINENO, format = GROUPING_TEXT;
	uint64_t limit = DEFAULT_LIMIT;

	try(option_choice("--group-by", given->group_by, group_by_names, GROUP_BY_COUNT,
			  &group_by));
	if (given->cumulative && group_by == GROUP_BY_TRACEBACK)
		return error_create(ERROR_USAGE,
				    "--cumulative does not go with --group-by traceback");
	given->statistics.group_by = (enum group_by)group_by;
	given->statistics.cumulative = given->cumulative;
	try(option_limit("--limit", given->limit, SIZE_MAX, &limit));
	given->limit_count = limit;
	try(option_choice("--format", given->format, formats, array_size(formats), &format));
	given->format_kind = (enum grouping_format)format;
	if (given->format_kind == GROUPING_PYTHON && group_by == GROUP_BY_FUNCTION)
		return error_create(ERROR_USAGE, "--format python does not go with --group-by "
						 "function: tracemalloc does not know functions");
	return NULL;
}
