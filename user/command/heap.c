// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf heap`: what the memory of a process is made of. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "command/command.h"
#include "command/heap_census.h"
#include "command/heap_referrers.h"
#include "command/heap_unread.h"
#include "command/options/options.h"
#include "command/options/target_options.h"
#include "format/census_html.h"
#include "format/census_json.h"
#include "sandbox/privileges.h"
#include "snapshot/census.h"
#include "view/census_text.h"

#define DEFAULT_LIMIT     25
#define DEFAULT_REFERRERS 5 /* kinds below each */
#define DEFAULT_LEVELS    4

enum option_key {
	OPTION_BY = 1536,
	OPTION_COMPARE,
	OPTION_FORMAT,
	OPTION_JSON,
	OPTION_LEVELS,
	OPTION_REFERRERS,
};

struct arguments {
	struct target_options target;
	const char *by, *compare, *format, *limit, *output, *referrers, *levels;
	bool json;
};

enum heap_format { HEAP_TEXT, HEAP_JSON, HEAP_HTML };

/* What the texts in struct arguments came to. */
struct request {
	pid_t pid;
	enum census_by by;
	uint64_t limit;
	enum heap_format format;
};

static const struct argp_child children[] = {{&process_argp, 0, NULL, 0}, {0}};

static const struct argp_option options[] = {
	{"by", OPTION_BY, "KEY", 0,
	 "type, owner or size (default: type, and whose the blocks are that are no objects)", 0},
	{"compare", OPTION_COMPARE, "FILE", 0,
	 "Show what changed since FILE, written with --format json", 0},
	{"format", OPTION_FORMAT, "FORMAT", 0, "text (default), json or html: the whole of it", 0},
	{"json", OPTION_JSON, NULL, 0, "The same as --format json", 0},
	{"limit", 'n', "N", 0,
	 "Show the first N groups (default 25, 0 for all); with --referrers of each the first N "
	 "kinds (default 5)",
	 0},
	{"referrers", OPTION_REFERRERS, "TYPE|ADDRESS", 0,
	 "Show who refers to the objects of a type, or to the object at 0x..., and who to these",
	 0},
	{"levels", OPTION_LEVELS, "N", 0, "Of --referrers: how far up, 1 to 8 (default 4)", 0},
	{"output", 'o', "FILE", 0, "Write JSON or HTML to FILE (default: standard output)", 0},
	{0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->target;
		return 0;
	case OPTION_BY:
		arguments->by = value;
		return 0;
	case OPTION_COMPARE:
		arguments->compare = value;
		return 0;
	case OPTION_FORMAT:
		arguments->format = value;
		return 0;
	case OPTION_JSON:
		arguments->json = true;
		return 0;
	case OPTION_LEVELS:
		arguments->levels = value;
		return 0;
	case OPTION_REFERRERS:
		arguments->referrers = value;
		return 0;
	case 'n':
		arguments->limit = value;
		return 0;
	case 'o':
		arguments->output = value;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const char doc[] =
	"Shows what a process' memory is made of, by reading it: nothing is traced, and the "
	"process is left alone. Each live block is counted, whenever it was allocated.\v"
	"Without --by, blocks that are objects come under their type; others under the type of the "
	"object that leads to them, and what of it they are (\"dict: keys\"). By owner, these "
	"count with their objects. By type they are one row, \"(no object)\", and nobody looks for "
	"their owners, which takes less than half the time; by size only the pools' headers are "
	"read. An object that nothing refers to waits on a free list, or is dead.\n"
	"\n"
	"Heaps of pymalloc and of glibc's malloc are read. What comes from another allocator is "
	"not counted, and the report says so. Where objects do (PYTHONMALLOC=mimalloc) the status "
	"is 1.\n"
	"\n"
	"Examples:\n"
	"  tmbpf heap -p 1234\n"
	"  tmbpf heap -p 1234 --json -o before.json\n"
	"  tmbpf heap -p 1234 --compare before.json --by owner\n"
	"  tmbpf heap -p 1234 --referrers app.Session\n"
	"\n" COMMAND_EXIT_STATUSES;

/* As --by calls what rows are of; without it, CENSUS_BY_PART. */
static const char *const by_names[] = {"type", "owner", "size"};
static const enum census_by by_values[] = {CENSUS_BY_TYPE, CENSUS_BY_OWNER, CENSUS_BY_SIZE};

static struct error *by_parse(const char *text, enum census_by *ret)
{
	size_t choice = array_size(by_names);

	try(option_choice("--by", text, by_names, array_size(by_names), &choice));
	*ret = text ? by_values[choice] : CENSUS_BY_PART;
	return NULL;
}

static struct error *format_parse(const struct arguments *arguments, enum heap_format *ret)
{
	static const char *const names[] = {"text", "json", "html"};
	size_t format = arguments->json ? HEAP_JSON : HEAP_TEXT;

	try(option_choice("--format", arguments->format, names, array_size(names), &format));
	if (arguments->json && format != HEAP_JSON)
		return error_create(ERROR_USAGE, "--json and --format %s do not go together",
				    names[format]);
	*ret = (enum heap_format)format;
	return NULL;
}

static struct error *request_parse(const struct arguments *arguments, struct request *ret)
{
	try(target_options_pid(&arguments->target, &ret->pid));
	try(by_parse(arguments->by, &ret->by));
	try(format_parse(arguments, &ret->format));
	if (ret->format != HEAP_TEXT && (arguments->limit || arguments->by))
		return error_create(ERROR_USAGE,
				    "JSON and HTML are of the whole census: --by and --limit do "
				    "not go with them");
	if (ret->format == HEAP_JSON && arguments->compare)
		return error_create(ERROR_USAGE, "--compare does not go with JSON");
	if (arguments->output && ret->format == HEAP_TEXT)
		return error_create(ERROR_USAGE, "-o goes with --format json or html");
	ret->limit = DEFAULT_LIMIT;
	return option_limit("--limit", arguments->limit, SIZE_MAX, &ret->limit);
}

static struct error *file_write(const struct census *census, const struct census *before,
				enum heap_format format, const char *path)
{
	cleanup(output_cleanup) struct output *output = NULL;

	try(output_create_path(path, &output));
	if (format == HEAP_HTML)
		try(census_html_write(census, before, output));
	else
		try(census_json_write(census, output));
	return output_commit(output);
}

static struct error *text_print(const struct census *census, const struct census *before,
				const struct request *request)
{
	cleanup(census_rows_cleanup) struct census_rows *rows = NULL;

	try(census_group(census, before, request->by, &rows));
	try(census_print_head(census, before, stdout));
	if (!before)
		try(census_print_memory(census, stdout));
	return census_print_rows(rows, before, request->limit, stdout);
}

static struct error *referrers_run(const struct arguments *arguments)
{
	struct heap_referrers asked = {
		.of = arguments->referrers,
		.levels = DEFAULT_LEVELS,
		.limit = DEFAULT_REFERRERS,
	};
	enum heap_format format;

	try(target_options_pid(&arguments->target, &asked.pid));
	if (arguments->by || arguments->compare || arguments->output)
		return error_create(ERROR_USAGE,
				    "--by, --compare and -o do not go with --referrers");
	try(format_parse(arguments, &format));
	if (format == HEAP_HTML)
		return error_create(ERROR_USAGE, "--referrers has no HTML");
	asked.json = format == HEAP_JSON;
	try(option_number("--levels", arguments->levels, 1, 8, &asked.levels));
	try(option_limit("--limit", arguments->limit, UINT64_MAX, &asked.limit));
	return heap_referrers_print(&asked);
}

static enum heap_depth depth_needed(const struct request *request)
{
	if (request->format != HEAP_TEXT)
		return HEAP_OWNERS;
	if (request->by == CENSUS_BY_SIZE)
		return HEAP_SIZES;
	return request->by == CENSUS_BY_TYPE ? HEAP_TYPES : HEAP_OWNERS;
}

static struct error *heap_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse_option, .doc = doc, .children = children};
	cleanup(census_cleanup) struct census *census = NULL, *before = NULL;
	struct arguments arguments = {0};
	struct request request = {0};

	try(options_parse(&argp, argc, argv, &arguments));
	if (arguments.referrers)
		return referrers_run(&arguments);
	if (arguments.levels)
		return error_create(ERROR_USAGE, "--levels goes with --referrers");
	try(request_parse(&arguments, &request));
	if (arguments.compare)
		try(census_json_read(arguments.compare, &before));
	try(privileges_keep(PRIVILEGES_READ, true));
	try(heap_census_create(request.pid, depth_needed(&request), &census));
	try(privileges_end());
	if (request.format == HEAP_TEXT)
		try(text_print(census, before, &request));
	else
		try(file_write(census, before, request.format, arguments.output));
	/* What there is was shown, and yet it is no answer. */
	return heap_unread_error(request.pid, census->info.objects_unread);
}

const struct command command_heap = {
	.name = "heap",
	.summary = "what the memory of a process is made of, by type, owner or size",
	.run = heap_run,
};
