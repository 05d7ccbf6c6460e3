// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "command/command.h"
#include "format/format.h"
#include "snapshot/snapshot.h"
#include <errno.h>
#include <string.h>

enum option_key {
	OPTION_FORMAT = 256,
	OPTION_PYTHON,
};

struct arguments {
	const char *file, *format, *output, *python;
};

static const struct argp_option options[] = {
	{"format", OPTION_FORMAT, "FORMAT", 0,
	 "tracemalloc: for tracemalloc.Snapshot.load(); pprof: the snapshot file itself", 0},
	{"output", 'o', "FILE", 0, "Write FILE (default: standard output)", 0},
	{"python", OPTION_PYTHON, "X.Y", 0,
	 "With tracemalloc, the Python that is to load it (default: the one that was traced); "
	 "files for 3.8 and older do not load in 3.9 and newer",
	 0},
	{0},
};

static const char doc[] = "Writes a snapshot file in another format.\v"
			  "Example:\n"
			  "  tmbpf export app.snap --format tracemalloc -o app.pickle\n"
			  "  python3 -c 'import tracemalloc; "
			  "print(*tracemalloc.Snapshot.load(\"app.pickle\").statistics(\"lineno\")["
			  ":10], sep=\"\\n\")'\n"
			  "\n" COMMAND_EXIT_STATUSES;

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case OPTION_FORMAT:
		arguments->format = value;
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

/* "3.11" to 0x030b0000. */
static struct error *python_parse(const char *text, uint32_t *ret)
{
	uint64_t minor;

	if (strncmp(text, "3.", 2) != 0)
		return error_create(ERROR_USAGE,
				    "--python takes a version such as 3.11, not \"%s\"", text);
	try(option_number("--python 3.N", text + 2, 6, 99, &minor));
	*ret = 0x03000000 | (uint32_t)minor << 16;
	return NULL;
}

static struct error *format_choose(const char *name, const struct format **ret)
{
	const struct format *format = name ? format_find(name) : NULL;

	if (!name)
		return error_create(ERROR_USAGE, "--format is missing: tracemalloc or pprof");
	if (!format || !format->write)
		return error_create(ERROR_USAGE, "--format takes tracemalloc or pprof, not \"%s\"",
				    name);
	*ret = format;
	return NULL;
}

static struct error *output_open(const char *path, struct output **ret)
{
	if (path)
		return output_create(path, ret);
	if (isatty(STDOUT_FILENO))
		return error_create(ERROR_USAGE, "standard output is a terminal, and the format is "
						 "not text: name a file with -o");
	return output_create_descriptor(STDOUT_FILENO, "standard output", ret);
}

static struct error *export_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "FILE",
		.doc = doc,
	};
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup(output_cleanup) struct output *output = NULL;
	struct format_options format_options = {0};
	struct arguments arguments = {0};
	const struct format *format = NULL;

	try(command_parse(&argp, argc, argv, &arguments));
	try(format_choose(arguments.format, &format));
	if (arguments.python)
		try(python_parse(arguments.python, &format_options.python_version));
	try(snapshot_file_read(arguments.file, &snapshot));
	try(output_open(arguments.output, &output));
	try(format->write(snapshot, &format_options, output));
	return output_commit(output);
}

const struct command command_export = {
	.name = "export",
	.summary = "a snapshot file in another format",
	.run = export_run,
};
