// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf clear`: forgets what was traced, or the peak. */
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
#include "daemon/client.h"
#include "daemon/group/group_client.h"
#include "daemon/group/group_target.h"

enum { OPTION_PEAK = 256 };

struct arguments {
	struct target_options target;
	bool peak;
};

static const struct argp_child children[] = {{&target_argp, 0, NULL, 0}, {0}};

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
	"Forgets what was traced, as tracemalloc.clear_traces does: blocks that are held now are "
	"not seen any more, current and peak start from 0. Of a group: in each of its processes. "
	"--peak is of --exact alone: estimates and --lazy-free measure no peak.\v" TARGET_HELP "\n"
	"\n"
	"Examples: what does the process allocate from now on? A server and its workers?\n"
	"  tmbpf clear -p 1234\n"
	"  tmbpf clear -p 1234 --follow\n"
	"\n" COMMAND_EXIT_STATUSES;

/* The argument of the request. */
static struct json request_make(bool peak)
{
	struct json request;

	json_init(&request);
	json_flag(&request, request.root, "peak", peak);
	return request;
}

/* Clears each process of the group NAME that is traced. */
static struct error *group_clear(const char *name, bool peak)
{
	cleanup(json_cleanup) struct json_object *status = NULL;
	struct json_object *processes;
	size_t cleared = 0;

	try(group_status_fetch(name, &status));
	processes = json_get_array(status, "processes");
	for (size_t i = 0; i < json_length(processes); i++) {
		cleanup(json_cleanup) struct json_object *reply = NULL;
		struct json_object *process = json_at(processes, i);
		struct json request;
		struct error *error;

		if (strcmp(json_get_text(process, "state"), "traced") != 0)
			continue;
		request = request_make(peak);
		error = client_request((pid_t)json_get_number(process, "pid"), "clear", &request,
				       &reply, NULL, NULL);
		if (error && error_kind(error) != ERROR_NOTHING)
			return error;
		cleared += !error;
		error_destroy(error); /* it has ended meanwhile */
	}
	printf("%zu process%s: %s\n", cleared, cleared == 1 ? "" : "es",
	       peak ? "the peak is what each holds now" : "what was traced is forgotten");
	return NULL;
}

static struct error *clear_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse_option, .doc = doc, .children = children};
	cleanup(json_cleanup) struct json_object *reply = NULL;
	struct arguments arguments = {0};
	cleanup_free char *group = NULL;
	struct group_wanted wanted;
	struct json request;
	pid_t pid = 0;

	try(options_parse(&argp, argc, argv, &arguments));
	try(target_options_check(&arguments.target));
	if (target_options_many(&arguments.target)) {
		try(target_options_group(&arguments.target, &wanted));
		try(group_find(&wanted, &group));
		return group_clear(group, arguments.peak);
	}
	try(target_options_pid(&arguments.target, &pid));
	request = request_make(arguments.peak);
	try(client_request_alive(pid, "clear", &request, &reply, NULL, NULL));
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
