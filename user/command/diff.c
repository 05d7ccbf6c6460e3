// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf diff`: what changed between snapshot files. */
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "base/json.h"
#include "command/command.h"
#include "command/options/files.h"
#include "command/options/filter_options.h"
#include "command/options/grouping_options.h"
#include "command/options/options.h"
#include "command/sources.h"
#include "format/format.h"
#include "format/json_groups.h"
#include "format/json_info.h"
#include "snapshot/cautions.h"
#include "snapshot/comparison.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include "view/difference.h"
#include "view/python_text.h"
#include <errno.h>
#include <string.h>

/* Places that --fail-over names. */
#define GROWTH_LIMIT 10

enum option_key { OPTION_GROWTH = 256, OPTION_FAIL_OVER, OPTION_BY_PROCESS };

struct arguments {
	struct files files;
	const char *fail_over;
	bool growth, by_process;
	uint64_t budget; /* of --fail-over, bytes */
	struct grouping_options grouping;
	struct filter_options filter;
};

/* What was read, as many as there are files. */
struct inputs {
	struct tables *tables;
	struct snapshot **whole, **filtered; /* filtered: NULL where there is no filter */
	const struct snapshot **chosen;      /* the one or the other */
	size_t count;
	struct cautions cautions;
};

static const struct argp_option options[] = {
	{"growth", OPTION_GROWTH, NULL, 0,
	 "Show only what grew; of estimates, by more than twice the error", 1},
	{"by-process", OPTION_BY_PROCESS, NULL, 0,
	 "The files are of processes that do the same, workers say: set them side by side, what "
	 "they differ in most first",
	 1},
	{"fail-over", OPTION_FAIL_OVER, "SIZE", 0,
	 "End with status 1, and name what grew most, if all that the filters leave grew by more "
	 "than SIZE: bytes, or a number with KiB, MiB or GiB",
	 1},
	{0},
};

static const struct argp_child children[] = {
	{&grouping_argp, 0, NULL, 0},
	{&filter_argp, 0, NULL, 0},
	{0},
};

static const char doc[] =
	"Shows what changed from one snapshot file to another, the largest changes first, as "
	"tracemalloc's Snapshot.compare_to() does; what is gone is among them. With more than two, "
	"the oldest first, it shows the size in each, and marks what grows in every step: that is "
	"how a leak looks. The files may be of different processes, hosts and Python versions, and "
	"may also be what a program dumped itself with tracemalloc's Snapshot.dump(), one of them "
	"-, standard input; what makes their numbers hard to compare is said.\v" FILTER_HELP "\n"
	"Examples: what grew; what grows all the time; a test that may use 20 MiB more:\n"
	"  tmbpf diff before.snap after.snap --growth --limit 10\n"
	"  tmbpf diff 9am.snap 10am.snap 11am.snap --group-by traceback\n"
	"  tmbpf diff before.snap after.snap --fail-over 20MiB --exclude '*/tests/*'\n"
	"Which of the workers is not like the others:\n"
	"  tmbpf diff --by-process web/*.pb.gz --limit 10\n"
	"\n" COMMAND_EXIT_STATUSES;

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->grouping;
		state->child_inputs[1] = &arguments->filter;
		return 0;
	case OPTION_GROWTH:
		arguments->growth = true;
		return 0;
	case OPTION_BY_PROCESS:
		arguments->by_process = true;
		return 0;
	case OPTION_FAIL_OVER:
		arguments->fail_over = value;
		return 0;
	case ARGP_KEY_ARG:
		return files_add(&arguments->files, value);
	case ARGP_KEY_END:
		if (arguments->files.count == 0)
			argp_error(state, "OLD and NEW are missing");
		else if (arguments->files.count == 1)
			argp_error(state, "NEW is missing");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static void arguments_deinit(struct arguments *arguments)
{
	filter_options_deinit(&arguments->filter);
	free(arguments->files.list);
}

static struct error *arguments_check(struct arguments *arguments)
{
	size_t from_stdin = 0;

	try(grouping_options_check(&arguments->grouping));
	try(filter_options_check(&arguments->filter));
	if (arguments->grouping.format_kind == GROUPING_PYTHON && arguments->files.count > 2)
		return error_create(ERROR_USAGE, "--format python takes two snapshots: tracemalloc "
						 "compares no more");
	for (size_t i = 0; i < arguments->files.count; i++)
		from_stdin += !strcmp(arguments->files.list[i], "-");
	if (from_stdin > 1)
		return error_create(ERROR_USAGE, "only one of the files can be -, standard input");
	if (arguments->by_process && (arguments->growth || arguments->fail_over))
		return error_create(ERROR_USAGE, "--by-process compares processes: there is no "
						 "growth from one to the next");
	if (arguments->by_process && arguments->grouping.format_kind == GROUPING_PYTHON)
		return error_create(ERROR_USAGE, "--format python knows no processes");
	return option_size("--fail-over", arguments->fail_over, &arguments->budget);
}

static void inputs_deinit(struct inputs *inputs)
{
	for (size_t i = 0; i < inputs->count; i++) {
		snapshot_destroy(inputs->whole[i]);
		snapshot_destroy(inputs->filtered[i]);
	}
	free(inputs->whole);
	free(inputs->filtered);
	free(inputs->chosen);
	cautions_deinit(&inputs->cautions);
	tables_release(inputs->tables);
}

static struct error *inputs_read(const struct arguments *arguments, struct inputs *inputs)
{
	size_t count = arguments->files.count;

	inputs->whole = calloc(count, sizeof(struct snapshot *));
	inputs->chosen = calloc(count, sizeof(struct snapshot *));
	inputs->filtered = calloc(count, sizeof(struct snapshot *));
	if (!inputs->whole || !inputs->filtered || !inputs->chosen)
		return error_create_errno(ERROR_FAILED, ENOMEM, "snapshots");
	inputs->count = count;
	try(tables_create(&inputs->tables));
	for (size_t i = 0; i < count; i++) {
		try(snapshot_file_read(arguments->files.list[i], inputs->tables,
				       &inputs->whole[i]));
		try(filter_options_apply(&arguments->filter, inputs->whole[i],
					 &inputs->filtered[i]));
		inputs->chosen[i] = inputs->filtered[i] ? inputs->filtered[i] : inputs->whole[i];
	}
	return cautions_find(arguments->files.list, (const struct snapshot *const *)inputs->whole,
			     count, !arguments->by_process, &inputs->cautions);
}

/* Leaves what grew. */
static void growth_keep(struct comparison *comparison)
{
	size_t kept = 0;

	for (size_t i = 0; i < comparison->count; i++) {
		if (comparison->items[i].size_diff > 0 && !comparison->items[i].noise)
			comparison->items[kept++] = comparison->items[i];
	}
	comparison->count = kept;
}

static struct error *text_print(const struct arguments *arguments, const struct inputs *inputs,
				const struct comparison *comparison)
{
	cleanup_free struct compared *compared = calloc(inputs->count, sizeof(*compared));
	cleanup(sources_cleanup) struct sources *sources = NULL;
	struct source_lines lines;

	if (!compared)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a report");
	for (size_t i = 0; i < inputs->count; i++)
		compared[i] = (struct compared){arguments->files.list[i], inputs->whole[i]};
	try(sources_create(arguments->files.list, (const struct snapshot *const *)inputs->whole,
			   inputs->count, &sources));
	lines = sources_lines(sources);
	try(difference_print_head(compared, comparison, filter_options_any(&arguments->filter),
				  stdout));
	for (size_t i = 0; i < inputs->cautions.count; i++) {
		cleanup_free char *shown = text_display(inputs->cautions.items[i].text);

		if (!shown)
			return error_create_errno(ERROR_FAILED, ENOMEM, "a report");
		printf("warning: %s\n", shown);
	}
	putchar('\n');
	if (arguments->growth && comparison->count == 0) {
		puts("nothing grew");
		return NULL;
	}
	try(difference_print_groups(compared, inputs->tables, comparison,
				    arguments->grouping.limit_count, &lines, stdout));
	sources_warn(sources);
	return NULL;
}

static struct error *json_text_print(const struct arguments *arguments, const struct inputs *inputs,
				     const struct comparison *comparison)
{
	struct json_object *array, *object;
	cleanup(json_deinit) struct json json;

	json_differences_init(&json);
	array = json_new_array(&json, json.root, "snapshots");
	for (size_t i = 0; i < inputs->count; i++) {
		object = json_new_object(&json, array, NULL);
		json_text(&json, object, "file", arguments->files.list[i]);
		json_snapshot_info(&json, object, &inputs->whole[i]->info);
	}
	array = json_new_array(&json, json.root, "warnings");
	for (size_t i = 0; i < inputs->cautions.count; i++) {
		object = json_new_object(&json, array, NULL);
		json_text(&json, object, "name", inputs->cautions.items[i].name);
		json_text(&json, object, "text", inputs->cautions.items[i].text);
	}
	json_flag(&json, json.root, "growth", arguments->growth);
	json_flag(&json, json.root, "by_process", arguments->by_process);
	return json_print_differences(&json, inputs->tables, comparison,
				      arguments->grouping.limit_count, stdout);
}

/* The warnings go where the results do not: Python's lines are to be read by programs. */
static struct error *python_print(const struct arguments *arguments, const struct inputs *inputs,
				  const struct comparison *comparison)
{
	for (size_t i = 0; i < inputs->cautions.count; i++) {
		cleanup_free char *shown = text_display(inputs->cautions.items[i].text);

		fprintf(stderr, "tmbpf: warning: %s\n", shown ? shown : "");
	}
	return python_print_differences(inputs->tables, comparison, arguments->grouping.limit_count,
					stdout);
}

static struct error *print(const struct arguments *arguments, const struct inputs *inputs,
			   const struct comparison *comparison)
{
	switch (arguments->grouping.format_kind) {
	case GROUPING_JSON:
		return json_text_print(arguments, inputs, comparison);
	case GROUPING_PYTHON:
		return python_print(arguments, inputs, comparison);
	case GROUPING_TEXT:
		break;
	}
	return text_print(arguments, inputs, comparison);
}

static struct error *budget_check(const struct arguments *arguments, const struct inputs *inputs,
				  const struct comparison *comparison)
{
	uint64_t before = comparison->totals[0].size;
	uint64_t after = comparison->totals[comparison->snapshot_count - 1].size;
	char grown[TEXT_NUMBER_MAX], budget[TEXT_NUMBER_MAX];

	if (!arguments->fail_over || after <= before || after - before <= arguments->budget)
		return NULL;
	fflush(stdout);
	fputs("what grew most:\n", stderr);
	try(difference_print_growth(inputs->tables, comparison, GROWTH_LIMIT, stderr));
	return error_create(ERROR_FAILED, "what is held grew by %s, the budget is %s",
			    text_size(after - before, grown), text_size(arguments->budget, budget));
}

static struct error *diff_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "OLD NEW [NEWER...]",
		.doc = doc,
		.children = children,
	};
	cleanup(arguments_deinit) struct arguments arguments = {0};
	cleanup(inputs_deinit) struct inputs inputs = {0};
	cleanup(comparison_cleanup) struct comparison *comparison = NULL;

	try(options_parse(&argp, argc, argv, &arguments));
	try(arguments_check(&arguments));
	try(inputs_read(&arguments, &inputs));
	try(comparison_create(inputs.chosen, inputs.count, &arguments.grouping.statistics,
			      &comparison));
	if (arguments.by_process)
		comparison_set_side_by_side(comparison);
	if (arguments.growth)
		growth_keep(comparison);
	try(print(&arguments, &inputs, comparison));
	return budget_check(&arguments, &inputs, comparison);
}

const struct command command_diff = {
	.name = "diff",
	.summary = "what changed between snapshot files",
	.run = diff_run,
};
