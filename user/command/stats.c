// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf stats`: where the memory of a snapshot file was allocated. */
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include "command/options/files.h"
#include "command/options/filter_options.h"
#include "command/options/grouping_options.h"
#include "command/options/options.h"
#include "command/sources.h"
#include "format/format.h"
#include "format/json_groups.h"
#include "snapshot/merge.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include "snapshot/tables.h"
#include "view/python_text.h"
#include "view/report.h"
#include <errno.h>
#include <inttypes.h>

struct arguments {
	struct files files;
	struct grouping_options grouping;
	struct filter_options filter;
};

static const struct argp_child children[] = {
	{&grouping_argp, 0, NULL, 0},
	{&filter_argp, 0, NULL, 0},
	{0},
};

static const char doc[] =
	"Shows where the memory of a snapshot file was allocated, the largest groups first, as "
	"tracemalloc's Snapshot.statistics() does; before that what the snapshot is of, and what "
	"tracing did not see. FILE is what `tmbpf snapshot` wrote, or what a program dumped itself "
	"with tracemalloc's Snapshot.dump(); - is standard input. A source line is shown where its "
	"file can be read and has not changed since. Several files, of workers say, are summed up: "
	"each traceback with what all hold there; `tmbpf diff --by-process` sets them side by "
	"side.\v" FILTER_HELP "\n"
	"Examples: the ten lines of a package that hold most; who called json; all workers "
	"together:\n"
	"  tmbpf stats app.snap --include '*/site-packages/requests/*' --limit 10\n"
	"  tmbpf stats app.snap --include-all-frames '*/json/*' --group-by traceback\n"
	"  tmbpf stats web/*.pb.gz\n"
	"\n" COMMAND_EXIT_STATUSES;

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->grouping;
		state->child_inputs[1] = &arguments->filter;
		return 0;
	case ARGP_KEY_ARG:
		return files_add(&arguments->files, value);
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "FILE is missing");
		return EINVAL;
	}
	return ARGP_ERR_UNKNOWN;
}

static void arguments_deinit(struct arguments *arguments)
{
	filter_options_deinit(&arguments->filter);
	free(arguments->files.list);
}

/* What was read: each file, and their sum where there are several. */
struct inputs {
	struct tables *tables;
	struct snapshot **each, *sum;
	size_t count;
	const struct snapshot *whole; /* the one, or the sum */
};

static void inputs_deinit(struct inputs *inputs)
{
	for (size_t i = 0; inputs->each && i < inputs->count; i++)
		snapshot_destroy(inputs->each[i]);
	free(inputs->each);
	snapshot_destroy(inputs->sum);
	tables_release(inputs->tables);
}

static struct error *inputs_read(const struct arguments *arguments, struct inputs *inputs)
{
	inputs->count = arguments->files.count;
	inputs->each = calloc(inputs->count, sizeof(struct snapshot *));
	if (!inputs->each)
		return error_create_errno(ERROR_FAILED, ENOMEM, "snapshots");
	try(tables_create(&inputs->tables));
	for (size_t i = 0; i < inputs->count; i++)
		try(snapshot_file_read(arguments->files.list[i], inputs->tables, &inputs->each[i]));
	if (inputs->count > 1)
		try(snapshot_merge((const struct snapshot *const *)inputs->each, inputs->count,
				   &inputs->sum));
	inputs->whole = inputs->sum ? inputs->sum : inputs->each[0];
	return NULL;
}

/* Whose sum it is. */
static void processes_print(const struct inputs *inputs)
{
	printf("%zu snapshots together:", inputs->count);
	for (size_t i = 0; i < inputs->count; i++)
		printf("%s pid %" PRId32, i ? "," : "", inputs->each[i]->info.pid);
	putchar('\n');
}

static struct error *report_print(const struct arguments *arguments, const struct inputs *inputs,
				  const struct statistics *statistics)
{
	cleanup(sources_cleanup) struct sources *sources = NULL;
	struct source_lines lines;

	try(sources_create(arguments->files.list, (const struct snapshot *const *)inputs->each,
			   inputs->count, &sources));
	lines = sources_lines(sources);
	if (inputs->count > 1)
		processes_print(inputs);
	try(report_print_head(inputs->whole, statistics, filter_options_any(&arguments->filter),
			      stdout));
	try(report_print_groups(inputs->whole, statistics, arguments->grouping.limit_count, &lines,
				stdout));
	sources_warn(sources);
	return NULL;
}

static struct error *stats_run(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_option,
		.args_doc = "FILE...",
		.doc = doc,
		.children = children,
	};
	cleanup(arguments_deinit) struct arguments arguments = {0};
	cleanup(inputs_deinit) struct inputs inputs = {0};
	cleanup(snapshot_cleanup) struct snapshot *filtered = NULL;
	const struct snapshot *chosen;
	cleanup(statistics_cleanup) struct statistics *statistics = NULL;

	try(options_parse(&argp, argc, argv, &arguments));
	try(grouping_options_check(&arguments.grouping));
	try(filter_options_check(&arguments.filter));
	try(inputs_read(&arguments, &inputs));
	try(filter_options_apply(&arguments.filter, inputs.whole, &filtered));
	chosen = filtered ? filtered : inputs.whole;
	try(statistics_create(chosen, &arguments.grouping.statistics, &statistics));
	switch (arguments.grouping.format_kind) {
	case GROUPING_JSON:
		return json_print_statistics(chosen, statistics, arguments.grouping.limit_count,
					     stdout);
	case GROUPING_PYTHON:
		return python_print_statistics(chosen->tables, statistics,
					       arguments.grouping.limit_count, stdout);
	case GROUPING_TEXT:
		break;
	}
	return report_print(&arguments, &inputs, statistics);
}

const struct command command_stats = {
	.name = "stats",
	.summary = "where the memory of a snapshot file was allocated",
	.run = stats_run,
};
