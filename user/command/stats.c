// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include "command/filter_options.h"
#include "command/group_options.h"
#include "command/sources.h"
#include "format/format.h"
#include "format/json_groups.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include "view/python_text.h"
#include "view/report.h"
#include <errno.h>

struct arguments {
	const char *file;
	struct group_options group;
	struct filter_options filter;
};

static const struct argp_child children[] = {
	{&group_argp, 0, NULL, 0},
	{&filter_argp, 0, NULL, 0},
	{0},
};

static const char doc[] =
	"Shows where the memory of a snapshot file was allocated, the largest groups first, as "
	"tracemalloc's Snapshot.statistics() does; before that what the snapshot is of, and what "
	"tracing did not see. FILE is what `tmbpf snapshot` wrote, or what a program dumped itself "
	"with tracemalloc's Snapshot.dump(); - is standard input. A source line is shown where its file "
	"can be read and has not changed since.\v" FILTER_HELP "\n"
	"Examples: the ten lines of a package that hold most; who called json:\n"
	"  tmbpf stats app.snap --include '*/site-packages/requests/*' --limit 10\n"
	"  tmbpf stats app.snap --include-all-frames '*/json/*' --group-by traceback\n"
	"\n" COMMAND_EXIT_STATUSES;

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->group;
		state->child_inputs[1] = &arguments->filter;
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
	filter_options_deinit(&arguments->filter);
}

static struct error *report_print(const struct arguments *arguments,
				  const struct snapshot *snapshot,
				  const struct statistics *statistics)
{
	cleanup(sources_cleanup) struct sources *sources = NULL;
	struct source_lines lines;

	try(sources_create(&arguments->file, &snapshot, 1, &sources));
	lines = sources_lines(sources);
	try(report_print_head(snapshot, statistics, filter_options_any(&arguments->filter),
			      stdout));
	try(report_print_groups(snapshot, statistics, arguments->group.limit_count, &lines,
				stdout));
	sources_warn(sources);
	return NULL;
}

static struct error *stats_run(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_option,
		.args_doc = "FILE",
		.doc = doc,
		.children = children,
	};
	cleanup(arguments_deinit) struct arguments arguments = {0};
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup(snapshot_cleanup) struct snapshot *filtered = NULL;
	const struct snapshot *chosen;
	cleanup(statistics_cleanup) struct statistics *statistics = NULL;

	try(command_parse(&argp, argc, argv, &arguments));
	try(group_options_check(&arguments.group));
	try(filter_options_check(&arguments.filter));
	try(snapshot_file_read(arguments.file, NULL, &snapshot));
	try(filter_options_apply(&arguments.filter, snapshot, &filtered));
	chosen = filtered ? filtered : snapshot;
	try(statistics_create(chosen, &arguments.group.statistics, &statistics));
	switch (arguments.group.format_kind) {
	case GROUP_FORMAT_JSON:
		return json_print_statistics(chosen, statistics, arguments.group.limit_count,
					     stdout);
	case GROUP_FORMAT_PYTHON:
		return python_print_statistics(chosen->tables, statistics,
					       arguments.group.limit_count, stdout);
	case GROUP_FORMAT_TEXT:
		break;
	}
	return report_print(&arguments, snapshot, statistics);
}

const struct command command_stats = {
	.name = "stats",
	.summary = "where the memory of a snapshot file was allocated",
	.run = stats_run,
};
