// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf export`: a snapshot file in another format. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "command/command.h"
#include "command/options/filter_options.h"
#include "command/options/options.h"
#include "format/format.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <errno.h>
#include <string.h>

enum option_key {
	OPTION_FORMAT = 256,
	OPTION_PYTHON,
	OPTION_DIFF_BASE,
};

struct arguments {
	const char *file, *format, *output, *python, *base;
	struct filter_options filter;
};

static const struct argp_option options[] = {
	{"format", OPTION_FORMAT, "FORMAT", 0, "What to write:", 0},
	{"  html", 0, NULL, OPTION_DOC | OPTION_NO_USAGE,
	 "a page with a flame graph and a table, complete in itself", 0},
	{"  folded", 0, NULL, OPTION_DOC | OPTION_NO_USAGE,
	 "a line for each stack, \"root;caller;leaf BYTES\", as flame graph tools read it", 0},
	{"  speedscope", 0, NULL, OPTION_DOC | OPTION_NO_USAGE, "for speedscope", 0},
	{"  tracemalloc", 0, NULL, OPTION_DOC | OPTION_NO_USAGE, "for tracemalloc.Snapshot.load()",
	 0},
	{"  json", 0, NULL, OPTION_DOC | OPTION_NO_USAGE, "every trace, for programs", 0},
	{"  pprof", 0, NULL, OPTION_DOC | OPTION_NO_USAGE,
	 "a snapshot file again, as `tmbpf snapshot` writes it: for `go tool pprof`", 0},
	{"output", 'o', "FILE", 0, "Write FILE (default, and -: standard output)", 1},
	{"diff-base", OPTION_DIFF_BASE, "OLD", 0,
	 "With html and folded, show what changed since this older snapshot", 1},
	{"python", OPTION_PYTHON, "X.Y", 0,
	 "With tracemalloc, the Python that is to load it (default: the one that was traced); "
	 "files for 3.8 and older do not load in 3.9 and newer",
	 1},
	{0},
};

static const struct argp_child children[] = {
	{&filter_argp, 0, NULL, 0},
	{0},
};

static const char doc[] =
	"Writes a snapshot file, or what filters leave of it, in another format. FILE is what "
	"`tmbpf snapshot` wrote, or what a program dumped itself with tracemalloc's "
	"Snapshot.dump(); - is standard input.\v" FILTER_HELP "\n"
	"Examples:\n"
	"  tmbpf export new.snap --format html --diff-base old.snap -o leak.html\n"
	"  tmbpf export app.snap --format tracemalloc -o app.pickle\n"
	"  python3 -c 'import tracemalloc; "
	"print(*tracemalloc.Snapshot.load(\"app.pickle\").statistics(\"lineno\")[:10], "
	"sep=\"\\n\")'\n"
	"\n" COMMAND_EXIT_STATUSES;

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->filter;
		return 0;
	case OPTION_FORMAT:
		arguments->format = value;
		return 0;
	case OPTION_DIFF_BASE:
		arguments->base = value;
		return 0;
	case 'o':
		arguments->output = value;
		return 0;
	case OPTION_PYTHON:
		arguments->python = value;
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

/* The names of the formats that can be written; or of those of them that show differences. */
static const char *names_text(bool differences, char *buffer, size_t size)
{
	const char *names[16];
	size_t count = 0;

	for (size_t i = 0; i < format_count && count < array_size(names); i++) {
		if (formats[i].write && (!differences || formats[i].differences))
			names[count++] = formats[i].name;
	}
	return option_names(names, count, buffer, size);
}

static struct error *format_choose(const struct arguments *arguments, const struct format **ret)
{
	const struct format *format = arguments->format ? format_find(arguments->format) : NULL;
	char names[200];

	if (!arguments->format)
		return error_create(ERROR_USAGE, "--format is missing: %s",
				    names_text(false, names, sizeof(names)));
	if (!format || !format->write)
		return error_create(ERROR_USAGE, "--format takes %s, not \"%s\"",
				    names_text(false, names, sizeof(names)), arguments->format);
	if (arguments->base && !format->differences)
		return error_create(ERROR_USAGE, "--diff-base goes with --format %s, not with %s",
				    names_text(true, names, sizeof(names)), format->name);
	if (arguments->python && strcmp(format->name, "tracemalloc") != 0)
		return error_create(ERROR_USAGE,
				    "--python goes with --format tracemalloc, not with %s",
				    format->name);
	if (arguments->base && !strcmp(arguments->base, "-") && !strcmp(arguments->file, "-"))
		return error_create(ERROR_USAGE, "only one of the files can be -, standard input");
	*ret = format;
	return NULL;
}

static struct error *output_open(const struct format *format, const char *path, struct output **ret)
{
	if (output_path_is_stdout(path) && isatty(STDOUT_FILENO))
		return error_create(ERROR_USAGE,
				    "standard output is a terminal, and %s is not for reading: "
				    "name a file with -o",
				    format->name);
	return output_create_path(path, ret);
}

static struct error *snapshot_choose(const struct arguments *arguments, const char *path,
				     struct tables *tables, struct snapshot **ret)
{
	cleanup(snapshot_cleanup) struct snapshot *whole = NULL;
	struct snapshot *chosen = NULL;

	try(snapshot_file_read(path, tables, &whole));
	try(filter_options_apply(&arguments->filter, whole, &chosen));
	*ret = chosen ? chosen : take(whole);
	return NULL;
}

static struct error *export_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "FILE",
		.doc = doc,
		.children = children,
	};
	cleanup(arguments_deinit) struct arguments arguments = {0};
	cleanup(tables_cleanup) struct tables *tables = NULL;
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup(snapshot_cleanup) struct snapshot *base = NULL;
	cleanup(output_cleanup) struct output *output = NULL;
	struct format_options format_options = {0};
	const struct format *format = NULL;

	try(options_parse(&argp, argc, argv, &arguments));
	try(format_choose(&arguments, &format));
	try(filter_options_check(&arguments.filter));
	try(option_python("--python", arguments.python, &format_options.python_version));
	try(tables_create(&tables));
	if (arguments.base)
		try(snapshot_choose(&arguments, arguments.base, tables, &base));
	try(snapshot_choose(&arguments, arguments.file, tables, &snapshot));
	format_options.base = base;
	try(output_open(format, arguments.output, &output));
	try(format->write(snapshot, &format_options, output));
	return output_commit(output);
}

const struct command command_export = {
	.name = "export",
	.summary = "a snapshot file in another format",
	.run = export_run,
};
