// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf start`: traces a process, or a group, in the background. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json_read.h"
#include "command/command.h"
#include "command/group_commands.h"
#include "command/options/options.h"
#include "command/options/session_options.h"
#include "command/options/target_options.h"
#include "daemon/client.h"
#include "daemon/group/group_target.h"
#include "daemon/serve.h"
#include "snapshot/snapshot.h"

struct arguments {
	struct target_options target;
	struct session_options session;
};

static const struct argp_child children[] = {
	{&target_argp, 0, NULL, 0},
	{&session_argp, 0, NULL, 0},
	{0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	(void)value;
	if (key == ARGP_KEY_INIT) {
		state->child_inputs[0] = &arguments->target;
		state->child_inputs[1] = &arguments->session;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const char doc[] =
	"Traces a running CPython in the background. Returns when all probes are on: what is "
	"allocated from then on is seen. Of a container, a control group, or with --follow a "
	"process and those it starts, each CPython gets a session of its own, those that begin "
	"later included; one process in the background watches for them.\v" TARGET_HELP "\n"
	"\n"
	"Examples: trace process 1234 until it is stopped; a server with its workers; a "
	"container:\n"
	"  tmbpf start -p 1234 --exact\n"
	"  tmbpf snapshot -p 1234 -o app.snap\n"
	"  tmbpf stop -p 1234\n"
	"  tmbpf start -p 1234 --follow\n"
	"  tmbpf start --container web\n"
	"\n" COMMAND_EXIT_STATUSES;

static struct error *start_run(int argc, char **argv)
{
	static const struct argp argp = {.parser = parse_option, .doc = doc, .children = children};
	cleanup(json_cleanup) struct json_object *status = NULL;
	struct arguments arguments = {0};
	struct tracer_options options;
	struct group_wanted wanted;
	const char *mode;
	pid_t pid = 0;

	try(options_parse(&argp, argc, argv, &arguments));
	try(target_options_check(&arguments.target));
	try(session_options_check(&arguments.session, &options));
	if (target_options_many(&arguments.target)) {
		try(target_options_group(&arguments.target, &wanted));
		return group_command_start(&wanted, &options, stdout, NULL);
	}
	try(target_options_pid(&arguments.target, &pid));
	try(serve_start(pid, &options));
	try(client_request(pid, "status", NULL, &status, NULL, NULL));
	mode = json_get_text(status, "mode");
	printf("process %d is traced: %" PRIu64 " probes are on%s, %u frame%s kept\n", pid,
	       json_get_number(status, "sites"),
	       strcmp(mode, SNAPSHOT_MODE_ESTIMATE) ? "" : " in short windows", options.nframe,
	       options.nframe == 1 ? " is" : "s are");
	if (options.mode == TMBPF_MODE_LAZY && strcmp(mode, SNAPSHOT_MODE_LAZY) != 0)
		printf("it has no pools to read (PYTHONMALLOC): frees are probed as without "
		       "--lazy-free\n");
	return NULL;
}

const struct command command_start = {
	.name = "start",
	.summary = "trace a process in the background",
	.needs = COMMAND_NEEDS_PRIVILEGES | COMMAND_OF_SESSIONS,
	.run = start_run,
};
