// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "snapshot/snapshot.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/output.h"
#include "base/text.h"
#include "command/command.h"
#include "daemon/archive.h"
#include "command/group_commands.h"
#include "base/interrupt.h"
#include "daemon/serve.h"
#include "command/options/session_options.h"
#include "daemon/client.h"
#include "trace/session/control.h"

enum { OPTION_FOR = 256 };

struct arguments {
	struct group_target_options target;
	struct session_options session;
	const char *path, *duration;
};

static const struct argp_child children[] = {
	{&group_target_argp, 0, NULL, 0},
	{&session_argp, 0, NULL, 0},
	{0},
};

static const struct argp_option options[] = {
	{"output", 'o', "FILE", 0,
	 "Where to: written aside, then put in place, so that an older FILE is lost only to a whole one; - is standard output. Of a "
	 "group it is a folder, made if missing, for a file of each process, PID.pb.gz",
	 0},
	{"for", OPTION_FOR, "TIME", 0,
	 "Start a session (there must be none), wait, take the snapshot, stop: 30s, 5m, 1h", 0},
	{0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->target;
		state->child_inputs[1] = &arguments->session;
		return 0;
	case 'o':
		arguments->path = value;
		return 0;
	case OPTION_FOR:
		arguments->duration = value;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const char doc[] =
	"Writes what the session of a process has traced to a file: a gzipped pprof profile, which `tmbpf stats`, `diff`, "
	"`export` and `go tool pprof` read. With --for a session begins, and the file has what was allocated from then on. A session that ended with its process has left its last snapshot; of those the "
	"last 32 are kept.\v" GROUP_TARGET_HELP "\n"
	"\n"
	"Examples:\n"
	"  tmbpf snapshot -p 1234 -o app.snap\n"
	"  tmbpf snapshot -p 1234 --exact --for 30s -o app.snap\n"
	"  tmbpf snapshot --container web --for 30s -o web\n"
	"  tmbpf stats web/*.pb.gz\n"
	"\n" COMMAND_EXIT_STATUSES;

/* "30", "30s", "5m", "1h" in seconds. */
static struct error *duration_parse(const char *text, uint64_t *ret)
{
	static const char units[] = "smh";
	static const uint64_t seconds[] = {1, 60, 3600};
	cleanup_free char *digits = strdup(text);
	size_t length = strlen(text);
	const char *unit = length ? strchr(units, text[length - 1]) : NULL;
	uint64_t factor = 1, number;
	struct error *error;

	if (!digits)
		return error_create_errno(ERROR_FAILED, ENOMEM, "--for");
	if (unit) {
		factor = seconds[unit - units];
		digits[length - 1] = 0;
	}
	error = option_number("--for", digits, 1, 86400 * 7 / factor, &number);
	if (error) {
		error_destroy(error);
		return error_create(
			ERROR_USAGE,
			"--for takes a time of 1s to 7 days, such as 30s, 5m or 1h, not \"%s\"",
			text);
	}
	*ret = number * factor;
	return NULL;
}

/*
 * Interrupted, or when the process PID (0: there is none to wait for) has ended, the time is over: what was traced so far is
 * written, and the session ends.
 */
static void wait_for(uint64_t seconds, pid_t pid)
{
	cleanup_fd int interrupts = interrupts_take();
	cleanup_fd int process = pid ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	bool gone = pid && process < 0 && errno == ESRCH;
	uint64_t began = clock_now(CLOCK_MONOTONIC);
	struct pollfd ended = {.fd = process, .events = POLLIN};

	if (!gone)
		interrupts_wait(interrupts, process, seconds);
	if (gone || (process >= 0 && poll(&ended, 1, 0) > 0))
		fprintf(stderr, "process %d ended after %.0f s: what it held last is written\n",
			(int)pid, (double)clock_since(CLOCK_MONOTONIC, began) / NSEC_PER_SEC);
}

static struct error *snapshot_store(const char *path, const void *data, size_t size)
{
	cleanup(output_cleanup) struct output *output = NULL;
	char text[TEXT_NUMBER_MAX];

	try(output_create_path(path, &output));
	try(output_write(output, data, size));
	try(output_commit(output));
	if (!output_path_is_stdout(path))
		printf("%s: %s\n", path, text_size(size, text));
	return NULL;
}

static struct error *snapshot_take(const char *path, pid_t pid)
{
	cleanup_free void *data = NULL;
	size_t size;

	try(target_snapshot_bytes(pid, &data, &size));
	return snapshot_store(path, data, size);
}

static struct error *snapshot_for(const struct arguments *arguments, pid_t pid)
{
	cleanup(json_cleanup) json_object *reply = NULL;
	struct tracer_options tracing;
	struct error *error, *stopped;
	uint64_t seconds;

	try(duration_parse(arguments->duration, &seconds));
	try(session_options_check(&arguments->session, &tracing));
	/* Whether it can be written is not to be found out when the time is over. */
	try(output_check(arguments->path));
	try(serve_start(pid, &tracing));
	wait_for(seconds, pid);
	error = snapshot_take(arguments->path, pid);
	stopped = target_request(pid, "stop", NULL, &reply, NULL, NULL);
	/* A target that ended meanwhile has ended the session as well. */
	if (error || (stopped && error_kind(stopped) == ERROR_NOTHING)) {
		error_destroy(stopped);
		stopped = NULL;
	}
	return error ? error : stopped;
}

/* The same of a group, to a folder. */
static struct error *group_for(const struct arguments *arguments)
{
	cleanup_free char *name = NULL;
	struct tracer_options tracing;
	struct error *error, *stopped;
	uint64_t seconds;

	try(duration_parse(arguments->duration, &seconds));
	try(session_options_check(&arguments->session, &tracing));
	try(group_command_folder(arguments->path));
	try(group_command_start(&arguments->target, &tracing, stdout, &name));
	fflush(stdout);
	wait_for(seconds, 0);
	error = group_command_snapshot(name, arguments->path);
	stopped = group_command_stop(name);
	if (!error)
		return stopped;
	error_destroy(stopped);
	return error;
}

static struct error *group_run(const struct arguments *arguments)
{
	cleanup_free char *name = NULL;

	if (output_path_is_stdout(arguments->path))
		return error_create(ERROR_USAGE,
				    "-o is a folder here: each process has a file of its own");
	if (arguments->duration)
		return group_for(arguments);
	try(group_find(&arguments->target, &name));
	return group_command_snapshot(name, arguments->path);
}

static struct error *snapshot_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse_option, .doc = doc, .children = children};
	struct arguments arguments = {0};
	pid_t pid;

	try(command_parse(&argp, argc, argv, &arguments));
	try(group_target_options_check(&arguments.target));
	if (!arguments.path)
		return error_create(ERROR_USAGE, "-o FILE is missing");
	if (!arguments.duration && session_options_given(&arguments.session))
		return error_create(ERROR_USAGE,
				    "how to trace is a matter of a session that begins: add --for, "
				    "or leave it to `tmbpf start`");
	if (group_target_many(&arguments.target))
		return group_run(&arguments);
	try(option_pid("-p", arguments.target.pid, &pid));
	if (output_path_is_stdout(arguments.path) && isatty(STDOUT_FILENO))
		return error_create(ERROR_USAGE, "standard output is a terminal, and a snapshot is "
						 "not for reading: name a file with -o");
	if (arguments.duration)
		return snapshot_for(&arguments, pid);
	return snapshot_take(arguments.path, pid);
}

const struct command command_snapshot = {
	.name = "snapshot",
	.summary = "write what was traced to a file",
	.needs = COMMAND_NEEDS_PRIVILEGES | COMMAND_OF_SESSIONS,
	.run = snapshot_run,
};
