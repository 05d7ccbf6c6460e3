// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The options that say which process, or which group of them, a command is about. */
#include "command/options/target_options.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "command/options/options.h"
#include "daemon/group/group_target.h"

enum { OPTION_FOLLOW = 768, OPTION_CONTAINER, OPTION_CGROUP };

static const struct argp_option process_options[] = {
	{"pid", 'p', "PID", 0, "The process", 0},
	{0},
};

static const struct argp_option options[] = {
	{"pid", 'p', "PID", 0, "The process", 0},
	{"follow", OPTION_FOLLOW, NULL, 0,
	 "With -p: the process and all that it starts, and that these start", 0},
	{"container", OPTION_CONTAINER, "ID|NAME", 0,
	 "All processes of a container, also those that begin later", 0},
	{"cgroup", OPTION_CGROUP, "PATH", 0,
	 "All processes of a control group and those below, also those that begin later", 0},
	{0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct target_options *given = state->input;

	switch (key) {
	case 'p':
		given->pid = value;
		return 0;
	case OPTION_FOLLOW:
		given->follow = true;
		return 0;
	case OPTION_CONTAINER:
		given->container = value;
		return 0;
	case OPTION_CGROUP:
		given->cgroup = value;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

const struct argp process_argp = {.options = process_options, .parser = parse_option};
const struct argp target_argp = {.options = options, .parser = parse_option};

bool target_options_given(const struct target_options *given)
{
	return given->follow || given->pid || given->container || given->cgroup;
}

struct error *target_options_check(const struct target_options *given)
{
	int count = !!given->pid + !!given->container + !!given->cgroup;

	if (count > 1)
		return error_create(ERROR_USAGE, "-p, --container and --cgroup exclude each other");
	if (given->follow && !given->pid)
		return error_create(ERROR_USAGE, "--follow needs -p PID: %s",
				    count ? "a container and a control group are followed anyway"
					  : "whom to follow");
	if (!count)
		return error_create(ERROR_USAGE, "-p PID is missing (or --container, --cgroup)");
	return NULL;
}

bool target_options_many(const struct target_options *given)
{
	return given->follow || given->container || given->cgroup;
}

struct error *target_options_pid(const struct target_options *given, pid_t *ret)
{
	if (!given->pid)
		return error_create(ERROR_USAGE, "-p PID is missing");
	return option_pid("-p", given->pid, ret);
}

struct error *target_options_group(const struct target_options *given, struct group_wanted *ret)
{
	*ret = (struct group_wanted){
		.kind = given->container ? GROUP_CONTAINER
			: given->cgroup  ? GROUP_CGROUP
					 : GROUP_FOLLOW,
		.text = given->container ? given->container : given->cgroup,
	};
	return ret->kind == GROUP_FOLLOW ? option_pid("-p", given->pid, &ret->root) : NULL;
}

char *target_options_text(const struct target_options *given)
{
	const char *option = given->container ? "--container" : given->cgroup ? "--cgroup" : "-p";
	const char *value = given->container ? given->container
			    : given->cgroup  ? given->cgroup
					     : given->pid;
	char *text;

	return asprintf(&text, "%s %s%s", option, value, given->follow ? " --follow" : "") < 0
		       ? NULL
		       : text;
}
