// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include "format/format.h"
#include "format/json.h"
#include "snapshot/filter.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include "view/report.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define DEFAULT_LIMIT 25

enum option_key {
	OPTION_INCLUDE = 256,
	OPTION_EXCLUDE,
	OPTION_ALL_FRAMES,
	OPTION_DOMAIN,
	OPTION_FORMAT,
	OPTION_CUMULATIVE,
};

/* As they were given. */
struct arguments {
	const char *file, *group_by, *limit, *domain, *format;
	bool cumulative, all_frames;
	const char **patterns; /* of --include and --exclude */
	bool *inclusive;
	size_t pattern_count;
};

struct stats {
	struct statistics_options options;
	struct filter *filters;
	size_t filter_count;
	uint64_t limit;
	bool json;
};

static const struct argp_option options[] = {
	{"group-by", 'g', "KEY", 0, "lineno (default), filename, function or traceback", 0},
	{"cumulative", OPTION_CUMULATIVE, NULL, 0,
	 "Count each frame of a traceback, not the most recent one alone", 0},
	{"limit", 'n', "N", 0, "Show the N largest groups (default 25, 0 for all)", 0},
	{"format", OPTION_FORMAT, "FORMAT", 0, "text (default) or json", 0},
	{NULL, 0, NULL, 0, "Filters, as tracemalloc's:", 1},
	{"include", OPTION_INCLUDE, "PATTERN[:LINE]", 0,
	 "Only what was allocated in files that match; can be repeated", 1},
	{"exclude", OPTION_EXCLUDE, "PATTERN[:LINE]", 0,
	 "Nothing that was allocated in files that match; can be repeated", 1},
	{"all-frames", OPTION_ALL_FRAMES, NULL, 0,
	 "Let filters look at each frame of a traceback, not at the most recent one alone", 1},
	{"domain", OPTION_DOMAIN, "N", 0, "Only what was allocated in domain N", 1},
	{0},
};

static const char doc[] =
	"Shows where the memory of a snapshot file was allocated, the largest groups first, as "
	"tracemalloc's Snapshot.statistics() does; before that what the snapshot is of, and what "
	"tracing did not see.\v"
	"PATTERN is matched with the whole file name: '*', '?', '[a-z]'.\n"
	"\n"
	"Example: the ten lines of a package that hold most:\n"
	"  tmbpf stats app.snap --include '*/site-packages/requests/*' --limit 10\n"
	"\n" COMMAND_EXIT_STATUSES;

static error_t add_pattern(struct arguments *arguments, const char *pattern, bool inclusive)
{
	size_t i = arguments->pattern_count++;

	arguments->patterns[i] = pattern;
	arguments->inclusive[i] = inclusive;
	return 0;
}

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case 'g':
		arguments->group_by = value;
		return 0;
	case 'n':
		arguments->limit = value;
		return 0;
	case OPTION_CUMULATIVE:
		arguments->cumulative = true;
		return 0;
	case OPTION_FORMAT:
		arguments->format = value;
		return 0;
	case OPTION_INCLUDE:
		return add_pattern(arguments, value, true);
	case OPTION_EXCLUDE:
		return add_pattern(arguments, value, false);
	case OPTION_ALL_FRAMES:
		arguments->all_frames = true;
		return 0;
	case OPTION_DOMAIN:
		arguments->domain = value;
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->file)
			argp_error(state, "more than one FILE");
		arguments->file = value;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "FILE is missing");
		return EINVAL;
	}
	return ARGP_ERR_UNKNOWN;
}

static void arguments_deinit(struct arguments *arguments)
{
	free(arguments->patterns);
	free(arguments->inclusive);
}

static void stats_deinit(struct stats *stats)
{
	for (size_t i = 0; i < stats->filter_count; i++)
		free(stats->filters[i].pattern);
	free(stats->filters);
}

/* A line number may follow the last ':'; what else does belongs to the pattern. */
static struct error *filter_parse(const char *text, struct filter *filter)
{
	const char *colon = strrchr(text, ':');
	size_t length = strlen(text);
	uint64_t lineno;

	if (colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1)) {
		try(option_number("a filter's LINE", colon + 1, 0, UINT32_MAX, &lineno));
		filter->lineno = (uint32_t)lineno;
		filter->has_lineno = true;
		length = (size_t)(colon - text);
	}
	filter->pattern = strndup(text, length);
	if (!filter->pattern)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a filter");
	return NULL;
}

static struct error *filters_parse(const struct arguments *arguments, struct stats *stats)
{
	stats->filters = calloc(arguments->pattern_count + 1, sizeof(*stats->filters));
	if (!stats->filters)
		return error_create_errno(ERROR_FAILED, ENOMEM, "filters");
	for (size_t i = 0; i < arguments->pattern_count; i++) {
		struct filter *filter = &stats->filters[stats->filter_count];

		filter->inclusive = arguments->inclusive[i];
		filter->all_frames = arguments->all_frames;
		try(filter_parse(arguments->patterns[i], filter));
		stats->filter_count++;
	}
	stats->options.filters = stats->filters;
	stats->options.filter_count = stats->filter_count;
	return NULL;
}

static struct error *arguments_check(const struct arguments *arguments, struct stats *stats)
{
	uint64_t domain;

	stats->limit = DEFAULT_LIMIT;
	stats->options.cumulative = arguments->cumulative;
	if (arguments->group_by && !group_by_parse(arguments->group_by, &stats->options.group_by))
		return error_create(ERROR_USAGE,
				    "--group-by takes lineno, filename, function or traceback, "
				    "not \"%s\"",
				    arguments->group_by);
	if (arguments->cumulative && stats->options.group_by == GROUP_BY_TRACEBACK)
		return error_create(ERROR_USAGE, "--cumulative does not go with --group-by "
						 "traceback");
	if (arguments->limit)
		try(option_number("--limit", arguments->limit, 0, UINT32_MAX, &stats->limit));
	if (stats->limit == 0)
		stats->limit = UINT64_MAX;
	if (arguments->domain) {
		try(option_number("--domain", arguments->domain, 0, UINT32_MAX, &domain));
		stats->options.has_domain = true;
		stats->options.domain = (uint32_t)domain;
	}
	stats->json = arguments->format && strcmp(arguments->format, "json") == 0;
	if (arguments->format && !stats->json && strcmp(arguments->format, "text") != 0)
		return error_create(ERROR_USAGE, "--format takes text or json, not \"%s\"",
				    arguments->format);
	return filters_parse(arguments, stats);
}

static struct error *stats_print_json(const struct snapshot *snapshot,
				      const struct statistics *statistics, uint64_t limit)
{
	cleanup(json_deinit) struct json json;

	json_init(&json);
	json_snapshot_info(&json, json_new_object(&json, json.root, "snapshot"), &snapshot->info);
	json_statistics(&json, json.root, snapshot, statistics, limit);
	return json_print(&json, stdout);
}

static struct error *stats_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "FILE",
		.doc = doc,
	};
	cleanup(arguments_deinit) struct arguments arguments = {0};
	cleanup(stats_deinit) struct stats stats = {0};
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup(statistics_cleanup) struct statistics *statistics = NULL;
	bool selected;

	/* There are no more patterns than arguments. */
	arguments.patterns = calloc((size_t)argc, sizeof(*arguments.patterns));
	arguments.inclusive = calloc((size_t)argc, sizeof(*arguments.inclusive));
	if (!arguments.patterns || !arguments.inclusive)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot parse the arguments");
	try(command_parse(&argp, argc, argv, &arguments));
	try(arguments_check(&arguments, &stats));
	try(snapshot_file_read(arguments.file, &snapshot));
	try(statistics_create(snapshot, &stats.options, &statistics));
	if (stats.json)
		return stats_print_json(snapshot, statistics, stats.limit);
	selected = stats.filter_count > 0 || stats.options.has_domain;
	try(report_print_head(snapshot, statistics, selected, stdout));
	return report_print_groups(snapshot, statistics, stats.limit, stdout);
}

const struct command command_stats = {
	.name = "stats",
	.summary = "where the memory of a snapshot file was allocated",
	.run = stats_run,
};
