// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "snapshot/snapshot.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "base/text.h"
#include "command/command.h"
#include "command/ended.h"
#include "command/serve.h"
#include "command/session_options.h"
#include "command/target.h"
#include "trace/control.h"

enum { OPTION_FOR = 256 };

struct arguments {
	struct target_options target;
	struct session_options session;
	const char *path, *duration;
};

static const struct argp_child children[] = {
	{&target_argp, 0, NULL, 0},
	{&session_argp, 0, NULL, 0},
	{0},
};

static const struct argp_option options[] = {
	{"output", 'o', "FILE", 0,
	 "Where to: written aside, then put in place, so that an older FILE is lost only to a whole one; - is standard output",
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
	"`export` and `go tool pprof` read. A session that ended with its process has left its last snapshot.\v"
	"Examples:\n"
	"  tmbpf snapshot -p 1234 -o app.snap\n"
	"  tmbpf snapshot -p 1234 --exact --for 30s -o app.snap\n"
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

	if (!digits)
		return error_create_errno(ERROR_FAILED, ENOMEM, "--for");
	if (unit) {
		factor = seconds[unit - units];
		digits[length - 1] = 0;
	}
	try(option_number("--for", digits, 1, 86400 * 7 / factor, &number));
	*ret = number * factor;
	return NULL;
}

static struct error *wait_for(uint64_t seconds)
{
	struct timespec rest = {.tv_sec = seconds};

	while (nanosleep(&rest, &rest) && errno == EINTR)
		;
	return NULL;
}

/* The bytes of PID's snapshot: of the running session, or what an ended one has left. */
static struct error *snapshot_fetch(pid_t pid, void **ret, size_t *ret_size)
{
	cleanup(json_cleanup) json_object *reply = NULL;
	struct error *error = target_request(pid, "snapshot", NULL, &reply, ret, ret_size);
	struct error *ended;

	if (!error || error_kind(error) != ERROR_NOTHING)
		return error;
	ended = ended_snapshot(pid, ret, ret_size);
	if (!ended) {
		error_destroy(error);
		return NULL;
	}
	error_destroy(ended);
	return error;
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

	try(snapshot_fetch(pid, &data, &size));
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
	try(serve_start(pid, &tracing));
	wait_for(seconds);
	error = snapshot_take(arguments->path, pid);
	stopped = target_request(pid, "stop", NULL, &reply, NULL, NULL);
	/* A target that ended meanwhile has ended the session as well. */
	if (error || (stopped && error_kind(stopped) == ERROR_NOTHING)) {
		error_destroy(stopped);
		stopped = NULL;
	}
	return error ? error : stopped;
}

static struct error *snapshot_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse_option, .doc = doc, .children = children};
	struct arguments arguments = {0};
	pid_t pid;

	try(command_parse(&argp, argc, argv, &arguments));
	try(target_pid(&arguments.target, &pid));
	if (!arguments.path)
		return error_create(ERROR_USAGE, "-o FILE is missing");
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
	.needs = COMMAND_NEEDS_PRIVILEGES,
	.run = snapshot_run,
};
