// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf stop`: ends the tracing of a process, or of a group. */
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include "command/group_commands.h"
#include "command/options/options.h"
#include "command/options/target_options.h"
#include "daemon/archive.h"
#include "daemon/client.h"
#include "daemon/group/group_client.h"
#include "daemon/group/group_target.h"

static const struct argp_child children[] = {{&target_argp, 0, NULL, 0}, {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	(void)value;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

static const char doc[] =
	"Ends the tracing of a process, or of all of a group: its probes are gone when this "
	"returns. What was traced is forgotten; take a snapshot before.\v" TARGET_HELP "\n"
	"\n"
	"Examples:\n"
	"  tmbpf stop -p 1234\n"
	"  tmbpf stop -p 1234 --follow\n"
	"\n" COMMAND_EXIT_STATUSES;

static struct error *stop_run(int argc, char **argv)
{
	static const struct argp argp = {.parser = parse_option, .doc = doc, .children = children};
	struct target_options given = {0};
	cleanup_free char *group = NULL;
	struct group_wanted wanted;
	struct error *error;
	pid_t pid = 0;

	try(options_parse(&argp, argc, argv, &given));
	try(target_options_check(&given));
	if (target_options_many(&given)) {
		try(target_options_group(&given, &wanted));
		try(group_find(&wanted, &group));
		return group_command_stop(group);
	}
	try(target_options_pid(&given, &pid));
	error = client_stop(pid);
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
