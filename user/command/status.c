// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf status`: what is traced, and what is not seen. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "command/command.h"
#include "command/options/options.h"
#include "command/options/target_options.h"
#include "daemon/archive.h"
#include "daemon/client.h"
#include "daemon/group/group_client.h"
#include "daemon/group/group_target.h"
#include "trace/session/control.h"
#include "view/group_text.h"
#include "view/status_text.h"

enum { OPTION_JSON = 256 };

struct arguments {
	struct target_options target;
	bool json;
};

static const struct argp_child children[] = {{&target_argp, 0, NULL, 0}, {0}};

static const struct argp_option options[] = {
	{"json", OPTION_JSON, NULL, 0,
	 "For programs: an object, or an array of all sessions where none is named", 0},
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
	"Shows what is traced: since when, how much is held now and at most, what tracing itself "
	"takes, and what it did not see. Without an option a line for each session, and a tree for "
	"each group; the last totals of the newest 32 whose process has ended are kept until "
	"`tmbpf stop` forgets them.\v" TARGET_HELP "\n"
	"\n"
	"Sizes are bytes in JSON. `current` and `peak` are tracemalloc.get_traced_memory()'s; "
	"`blocks` counts live blocks; `coverage` is the share of allocations that the probes see, "
	"null where it cannot be measured.\n"
	"\n"
	"Where everything is traced, `growth_coverage` is the share of it that is: bytes in blocks "
	"of up to 512 bytes that tracing takes for held, over those that a census of the "
	"interpreter's pools finds and did not find when tracing began; null while these are less "
	"than 64 KiB. `growth_census` says what it is made of and how old it is.\n"
	"\n"
	"`before` counts the interpreter's blocks of up to 512 bytes that were there when tracing "
	"began, and are not traced; `inherited` where the process is a fork of its `parent` in a "
	"group.\n"
	"\n"
	"With --lazy-free `peak` and `unknown_frees` are null, and `current`, `blocks` and `frees` "
	"are what the interpreter's pools said `walk`.`age` seconds ago: they are read for this "
	"unless that was done a moment ago, and last while the process was there.\n"
	"\n"
	"Estimates (the default): `current` and `blocks` are estimates of what was born since the "
	"start and is held; `peak`, `allocations`, `allocated_bytes`, `frees` and `unknown_frees` "
	"are null. `growth` has the lines, those that grow marked `grows`, with standard errors; "
	"`growth_missing` is growth in blocks that no window saw; `census_...` what the heap "
	"itself says, exactly; `cost` the budget and what was measured of it, `samples` what is "
	"sampled beside windows, `slowdown` how much less the process does in a window (README.md, "
	"\"Estimates\").\n"
	"\n"
	"Of a group JSON has its `processes`, each with its `parent`, `state`, and in `session` "
	"the status of its session; and what was missed in `losses`.\n"
	"\n"
	"Examples:\n"
	"  tmbpf status -p 1234 --json | jq .current\n"
	"  tmbpf status -p 1234 --follow\n"
	"  tmbpf status --container web --json | jq '.processes[].session.current'\n"
	"\n" COMMAND_EXIT_STATUSES;

static struct error *object_print(struct json_object *object)
{
	const struct json json = json_of(object);

	return json_print(&json, stdout);
}

/* The last status of each session that ended with its process. */
static struct error *ended_add(struct json *json, struct json_object *all)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;

	try(ended_sessions(&pids, &count));
	for (size_t i = 0; i < count; i++) {
		cleanup(json_cleanup) struct json_object *status = NULL;
		struct error *error = ended_status(pids[i], &status);

		if (!error)
			json_share(json, all, NULL, status);
		error_destroy(error); /* forgotten while we looked */
	}
	return NULL;
}

/* Whether SESSION is shown with its group. */
static bool is_grouped(struct json_object *session, char *const *groups, size_t count)
{
	const char *group = json_get_text(session, "group");

	for (size_t i = 0; i < count; i++)
		if (!strcmp(group, groups[i]))
			return true;
	return false;
}

static struct error *groups_print(char *const *groups, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cleanup(json_cleanup) struct json_object *status = NULL;
		struct error *error = group_status_whole(groups[i], &status);

		if (error && error_kind(error) != ERROR_NOTHING)
			return error;
		error_destroy(error);
		if (status)
			try(group_status_print(status, stdout));
	}
	return NULL;
}

static struct error *nothing_traced(void)
{
	return error_advise(error_create(ERROR_NOTHING, "nothing is traced"),
			    "`tmbpf start -p PID` begins a session.");
}

/* Each session in a line, but those of a group, which come as a tree. */
static struct error *lines_print(struct json_object *all)
{
	char **groups = NULL, **ended = NULL;
	size_t count = 0, ended_count = 0;
	struct error *error = control_groups("sock", &groups, &count);

	/* Groups whose processes have all ended leave their trees. */
	if (!error)
		error = control_groups("status", &ended, &ended_count);
	for (size_t i = 0; !error && i < json_length(all); i++) {
		struct json_object *session = json_at(all, i);

		if (!is_grouped(session, groups, count) && !is_grouped(session, ended, ended_count))
			status_print_line(session, 0, stdout);
	}
	if (!error)
		error = groups_print(groups, count);
	if (!error)
		error = groups_print(ended, ended_count);
	if (!error && !count && !ended_count && !json_length(all))
		error = nothing_traced();
	control_names_destroy(groups, count);
	control_names_destroy(ended, ended_count);
	return error;
}

/* Adds the status of each session, those that have ended last. */
static struct error *sessions_add(struct json *json, struct json_object *all)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;

	try(control_sessions(&pids, &count));
	for (size_t i = 0; i < count; i++) {
		cleanup(json_cleanup) struct json_object *status = NULL;
		struct error *error = client_status(pids[i], &status);

		if (!error)
			json_share(json, all, NULL, status);
		error_destroy(error); /* ended while we looked */
	}
	return ended_add(json, all);
}

static struct error *status_all(bool as_json)
{
	cleanup(json_deinit) struct json json;
	struct json_object *all;

	json_init(&json);
	all = json_new_array(&json, json.root, "sessions");
	try(sessions_add(&json, all));
	try(json_built(&json));
	if (!as_json)
		return lines_print(all);
	try(object_print(all));
	return json_length(all) ? NULL : nothing_traced();
}

static struct error *status_group(const struct arguments *arguments)
{
	cleanup(json_cleanup) struct json_object *status = NULL;
	cleanup_free char *name = NULL;
	struct group_wanted wanted;

	try(target_options_group(&arguments->target, &wanted));
	try(group_find(&wanted, &name));
	try(group_status_whole(name, &status));
	return arguments->json ? object_print(status) : group_status_print(status, stdout);
}

static struct error *status_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse_option, .doc = doc, .children = children};
	cleanup(json_cleanup) struct json_object *status = NULL;
	struct arguments arguments = {0};
	pid_t pid = 0;

	try(options_parse(&argp, argc, argv, &arguments));
	if (!target_options_given(&arguments.target))
		return status_all(arguments.json);
	try(target_options_check(&arguments.target));
	if (target_options_many(&arguments.target))
		return status_group(&arguments);
	try(target_options_pid(&arguments.target, &pid));
	try(client_status(pid, &status));
	return arguments.json ? object_print(status) : status_print(status, stdout);
}

const struct command command_status = {
	.name = "status",
	.summary = "show what is traced, and what is not seen",
	.needs = COMMAND_NEEDS_PRIVILEGES | COMMAND_OF_SESSIONS,
	.run = status_run,
};
