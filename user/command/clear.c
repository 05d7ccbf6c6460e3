// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <stdbool.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "command/command.h"
#include "command/group_commands.h"
#include "daemon/client.h"
#include "trace/session/control.h"

enum { OPTION_PEAK = 256 };

struct arguments {
	struct group_target_options target;
	bool peak;
};

static const struct argp_child children[] = {{&group_target_argp, 0, NULL, 0}, {0}};

static const struct argp_option options[] = {
	{"peak", OPTION_PEAK, NULL, 0,
	 "Only set the peak to what is held now (tracemalloc.reset_peak)", 0},
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
	case OPTION_PEAK:
		arguments->peak = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const char doc[] =
	"Forgets what was traced, as tracemalloc.clear_traces does: blocks that are held now are not seen any more, current "
	"and peak start from 0. Of a group: in each of its processes. --peak is of --exact alone: estimates and --lazy-free "
	"measure no peak.\v" GROUP_TARGET_HELP "\n"
	"\n"
	"Examples: what does the process allocate from now on? A server and its workers?\n"
	"  tmbpf clear -p 1234\n"
	"  tmbpf clear -p 1234 --follow\n"
	"\n" COMMAND_EXIT_STATUSES;

static struct error *clear_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse_option, .doc = doc, .children = children};
	cleanup(json_cleanup) json_object *reply = NULL;
	struct arguments arguments = {0};
	cleanup_free char *group = NULL;
	json_object *request;
	pid_t pid;

	try(command_parse(&argp, argc, argv, &arguments));
	try(group_target_options_check(&arguments.target));
	if (group_target_many(&arguments.target)) {
		try(group_find(&arguments.target, &group));
		return group_command_clear(group, arguments.peak);
	}
	try(option_pid("-p", arguments.target.pid, &pid));
	request = json_object_new_object();
	json_object_object_add(request, "peak", json_object_new_boolean(arguments.peak));
	try(target_request_alive(pid, "clear", request, &reply, NULL, NULL));
	printf(arguments.peak ? "process %d: the peak is what it holds now\n"
			      : "process %d: what was traced is forgotten\n",
	       pid);
	return NULL;
}

const struct command command_clear = {
	.name = "clear",
	.summary = "forget what was traced, or the peak alone",
	.needs = COMMAND_NEEDS_PRIVILEGES | COMMAND_OF_SESSIONS,
	.run = clear_run,
};
