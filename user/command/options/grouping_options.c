// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "command/options/grouping_options.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include <string.h>

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
	struct group_options *given = state->input;

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

const struct argp group_argp = {.options = options, .parser = parse_option};

static struct error *format_check(struct group_options *given)
{
	static const char *const names[] = {
		[GROUP_FORMAT_TEXT] = "text",
		[GROUP_FORMAT_PYTHON] = "python",
		[GROUP_FORMAT_JSON] = "json",
	};

	if (!given->format)
		return NULL;
	for (size_t i = 0; i < array_size(names); i++) {
		if (strcmp(names[i], given->format) == 0) {
			given->format_kind = (enum group_format)i;
			return NULL;
		}
	}
	return error_create(ERROR_USAGE, "--format takes text, python or json, not \"%s\"",
			    given->format);
}

struct error *group_options_check(struct group_options *given)
{
	uint64_t limit = DEFAULT_LIMIT;

	if (given->group_by && !group_by_parse(given->group_by, &given->statistics.group_by))
		return error_create(ERROR_USAGE,
				    "--group-by takes lineno, filename, function or traceback, "
				    "not \"%s\"",
				    given->group_by);
	if (given->cumulative && given->statistics.group_by == GROUP_BY_TRACEBACK)
		return error_create(ERROR_USAGE,
				    "--cumulative does not go with --group-by traceback");
	given->statistics.cumulative = given->cumulative;
	if (given->limit)
		try(option_number("--limit", given->limit, 0, UINT32_MAX, &limit));
	given->limit_count = limit ? limit : SIZE_MAX;
	try(format_check(given));
	if (given->format_kind == GROUP_FORMAT_PYTHON &&
	    given->statistics.group_by == GROUP_BY_FUNCTION)
		return error_create(ERROR_USAGE, "--format python does not go with --group-by "
						 "function: tracemalloc does not know functions");
	return NULL;
}
