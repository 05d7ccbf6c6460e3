// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "command/command.h"
#include "daemon/client.h"
#include "snapshot/snapshot.h"
#include "trace/session/control.h"
#include "view/place.h"

struct arguments {
	struct target_options target;
	const char *address;
};

static const struct argp_child children[] = {{&target_argp, 0, NULL, 0}, {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->target;
		return 0;
	case ARGP_KEY_ARG:
		if (arguments->address)
			argp_error(state, "more than one ADDRESS");
		arguments->address = value;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "ADDRESS is missing");
		return EINVAL;
	}
	return ARGP_ERR_UNKNOWN;
}

static const char doc[] =
	"Shows the traceback that allocated the block at ADDRESS, oldest call first, as tracemalloc's "
	"get_object_traceback(). An object's block starts at its id(), or 16 or 32 bytes before it where the garbage "
	"collector has a header: these are tried as well. Of sessions with --exact: estimates know no single block.\v"
	"Example:\n"
	"  tmbpf where -p 1234 0x7f2a3c5e9d10\n"
	"\n" COMMAND_EXIT_STATUSES;

static struct error *address_parse(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-')
		return error_create(ERROR_USAGE,
				    "ADDRESS must be a number such as 0x7f2a3c5e9d10, not \"%s\"",
				    text);
	return NULL;
}

static struct error *block_print(const struct snapshot *snapshot)
{
	const struct trace *trace = &snapshot->traces[0];
	char size[TEXT_NUMBER_MAX], domain[32] = "";

	if (trace->domain)
		snprintf(domain, sizeof(domain), " of domain %" PRIu32, trace->domain);
	printf("%s%s, allocated at (most recent call last):\n", text_size(trace->size, size),
	       domain);
	return traceback_print(snapshot->tables, snapshot->traces[0].traceback, NULL, 0, stdout);
}

static struct error *where_run(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_option, .args_doc = "ADDRESS", .doc = doc, .children = children};
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup(json_cleanup) json_object *reply = NULL;
	cleanup_free void *payload = NULL;
	struct arguments arguments = {0};
	struct error *error = NULL;
	uint64_t address;
	size_t size;
	pid_t pid;

	try(command_parse(&argp, argc, argv, &arguments));
	try(target_pid(&arguments.target, &pid));
	try(address_parse(arguments.address, &address));
	for (uint64_t before = 0; before <= 32 && !payload; before += 16) {
		json_object *request = json_object_new_object();
		struct error *one;

		json_object_object_add(request, "address",
				       json_object_new_uint64(address - before));
		one = target_request_alive(pid, "where", request, &reply, &payload, &size);
		if (!error)
			error = one;
		else
			error_destroy(one);
		if (one && error_kind(error) != ERROR_NOTHING)
			break;
	}
	if (!payload)
		return error;
	error_destroy(error);
	try(target_snapshot(payload, size, &snapshot));
	if (!snapshot->trace_count)
		return error_create(ERROR_FAILED, "the session sent no traceback");
	return block_print(snapshot);
}

const struct command command_where = {
	.name = "where",
	.summary = "show what allocated the block at an address",
	.needs = COMMAND_NEEDS_PRIVILEGES | COMMAND_OF_SESSIONS,
	.run = where_run,
};
