// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf where`: what allocated the block at an address. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "base/json.h"
#include "base/json_read.h"
#include "command/command.h"
#include "command/options/options.h"
#include "command/options/target_options.h"
#include "daemon/client.h"
#include "snapshot/snapshot.h"
#include "view/place.h"

struct arguments {
	struct target_options target;
	const char *address;
};

static const struct argp_child children[] = {{&process_argp, 0, NULL, 0}, {0}};

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
	"Shows the traceback that allocated the block at ADDRESS, oldest call first, as "
	"tracemalloc's get_object_traceback(). An object's block starts at its id(), or 16 or 32 "
	"bytes before it where the garbage collector has a header: these are tried as well. Of "
	"sessions with --exact: estimates know no single block.\v"
	"Example:\n"
	"  tmbpf where -p 1234 0x7f2a3c5e9d10\n"
	"\n" COMMAND_EXIT_STATUSES;

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
	cleanup(json_cleanup) struct json_object *reply = NULL;
	cleanup_free void *payload = NULL;
	struct arguments arguments = {0};
	struct error *error = NULL;
	uint64_t address = 0;
	pid_t pid = 0;
	size_t size;

	try(options_parse(&argp, argc, argv, &arguments));
	try(target_options_pid(&arguments.target, &pid));
	try(option_address("ADDRESS", arguments.address, &address));
	for (uint64_t before = 0; before <= 32 && !payload; before += 16) {
		struct json request;
		struct error *one;

		json_init(&request);
		json_number(&request, request.root, "address", address - before);
		one = client_request_alive(pid, "where", &request, &reply, &payload, &size);
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
	try(client_snapshot(payload, size, &snapshot));
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
