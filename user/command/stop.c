// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include "command/group_commands.h"
#include "daemon/archive.h"
#include "daemon/client.h"
#include "trace/session/control.h"

static const struct argp_child children[] = {{&group_target_argp, 0, NULL, 0}, {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	(void)value;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

static const char doc[] =
	"Ends the tracing of a process, or of all of a group: its probes are gone when this returns. What was traced is "
	"forgotten; take a snapshot before.\v" GROUP_TARGET_HELP "\n"
	"\n"
	"Examples:\n"
	"  tmbpf stop -p 1234\n"
	"  tmbpf stop -p 1234 --follow\n"
	"\n" COMMAND_EXIT_STATUSES;

static struct error *stop_run(int argc, char **argv)
{
	static const struct argp argp = {.parser = parse_option, .doc = doc, .children = children};
	cleanup(json_cleanup) json_object *reply = NULL;
	struct group_target_options given = {0};
	cleanup_free char *group = NULL;
	struct error *error;
	pid_t pid;

	try(command_parse(&argp, argc, argv, &given));
	try(group_target_options_check(&given));
	if (group_target_many(&given)) {
		try(group_find(&given, &group));
		return group_command_stop(group);
	}
	try(option_pid("-p", given.pid, &pid));
	error = target_request(pid, "stop", NULL, &reply, NULL, NULL);
	if (error && error_kind(error) == ERROR_NOTHING && ended_forget(pid)) {
		error_destroy(error);
		printf("process %d is gone, and its last totals are forgotten\n", pid);
		return NULL;
	}
	try(error);
	printf("process %d is traced no more\n", pid);
	return NULL;
}

const struct command command_stop = {
	.name = "stop",
	.summary = "end the tracing of a process",
	.needs = COMMAND_NEEDS_PRIVILEGES | COMMAND_OF_SESSIONS,
	.run = stop_run,
};
