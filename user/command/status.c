// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include "command/ended.h"
#include "command/status.h"
#include "command/target.h"
#include "trace/control.h"

enum { OPTION_JSON = 256 };

struct arguments {
	struct target_options target;
	bool json;
};

static const struct argp_child children[] = {{&target_argp, 0, NULL, 0}, {0}};

static const struct argp_option options[] = {
	{"json", OPTION_JSON, NULL, 0,
	 "For programs: an object, or an array of all sessions without -p", 0},
	{0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	(void)value;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->target;
		return 0;
	case OPTION_JSON:
		arguments->json = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const char doc[] =
	"Shows what is traced: since when, how much is held now and at most, what tracing itself takes, and what it did not "
	"see. Without -p a line for each session; the last totals of the newest 32 whose process has ended are kept until `tmbpf stop` forgets them.\v"
	"Sizes are bytes in JSON. `current` and `peak` are tracemalloc.get_traced_memory()'s; `blocks` counts live blocks; "
	"`coverage` is the share of allocations that the probes see, null where it cannot be measured.\n"
	"\n"
	"Where everything is traced, `growth_coverage` is the share of it that is: bytes in blocks of up to 512 bytes that "
	"tracing takes for held, over those that a census of the interpreter's pools finds and did not find when "
	"tracing began; null while these are less than 64 KiB. `growth_census` says what it is made of and how old it "
	"is.\n"
	"\n"
	"With --lazy-free `peak` and `unknown_frees` are null, and `current`, `blocks` and `frees` are what the interpreter's "
	"pools said `walk`.`age` seconds ago: they are read for this unless that was done a moment ago, and last while the "
	"process was there.\n"
	"\n"
	"Example:\n"
	"  tmbpf status -p 1234 --json | jq .current\n"
	"\n" COMMAND_EXIT_STATUSES;

static void object_print(json_object *object)
{
	printf("%s\n", json_object_to_json_string_ext(
			       object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
					       JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* The session's status, or the last one if it has ended with its process. */
static struct error *status_fetch(pid_t pid, json_object **ret)
{
	json_object *request = json_object_new_object();
	struct error *error, *ended;

	json_object_object_add(request, "growth", json_object_new_boolean(true));
	error = target_request(pid, "status", request, ret, NULL, NULL);

	if (!error || error_kind(error) != ERROR_NOTHING)
		return error;
	ended = ended_status(pid, ret);
	if (!ended) {
		error_destroy(error);
		return NULL;
	}
	error_destroy(ended);
	return error;
}

/* The last status of each session that ended with its process. */
static struct error *ended_add(json_object *all)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;

	try(ended_sessions(&pids, &count));
	for (size_t i = 0; i < count; i++) {
		json_object *status = NULL;
		struct error *error = ended_status(pids[i], &status);

		if (error) /* forgotten while we looked */
			error_destroy(error);
		else
			json_object_array_add(all, status);
	}
	return NULL;
}

static struct error *status_all(bool json)
{
	cleanup(json_cleanup) json_object *all = json_object_new_array();
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;

	try(control_sessions(&pids, &count));
	for (size_t i = 0; i < count; i++) {
		json_object *status = NULL;
		struct error *error = status_fetch(pids[i], &status);

		if (error) { /* ended while we looked */
			error_destroy(error);
			continue;
		}
		json_object_array_add(all, status);
	}
	try(ended_add(all));
	if (json)
		object_print(all);
	if (!json_object_array_length(all))
		return error_advise(error_create(ERROR_NOTHING, "nothing is traced"),
				    "`tmbpf start -p PID` begins a session.");
	for (size_t i = 0; !json && i < json_object_array_length(all); i++)
		status_print_line(json_object_array_get_idx(all, i), stdout);
	return NULL;
}

static struct error *status_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse_option, .doc = doc, .children = children};
	cleanup(json_cleanup) json_object *status = NULL;
	struct arguments arguments = {0};
	pid_t pid;

	try(command_parse(&argp, argc, argv, &arguments));
	if (!arguments.target.pid)
		return status_all(arguments.json);
	try(target_pid(&arguments.target, &pid));
	try(status_fetch(pid, &status));
	if (!arguments.json)
		return status_print(status, stdout);
	object_print(status);
	return NULL;
}

const struct command command_status = {
	.name = "status",
	.summary = "show what is traced, and what is not seen",
	.needs = COMMAND_NEEDS_PRIVILEGES,
	.run = status_run,
};
