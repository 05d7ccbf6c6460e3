// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf snapshot`: writes what was traced to a file, or of a group to a folder. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/json_read.h"
#include "base/output.h"
#include "base/text.h"
#include "command/command.h"
#include "command/group_commands.h"
#include "command/options/options.h"
#include "command/options/session_options.h"
#include "command/options/target_options.h"
#include "daemon/archive.h"
#include "daemon/client.h"
#include "daemon/group/group_client.h"
#include "daemon/group/group_target.h"
#include "daemon/serve.h"

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
	 "Where to: written aside, then put in place, so that an older FILE is lost only to a "
	 "whole one; - is standard output. Of a group it is a folder, made if missing, for a file "
	 "of each process, PID.pb.gz",
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
	"Writes what the session of a process has traced to a file: a gzipped pprof profile, which "
	"`tmbpf stats`, `diff`, `export` and `go tool pprof` read. With --for a session begins, "
	"and the file has what was allocated from then on. A session that ended with its process "
	"has left its last snapshot; of those the last 32 are kept.\v" TARGET_HELP "\n"
	"\n"
	"Examples:\n"
	"  tmbpf snapshot -p 1234 -o app.snap\n"
	"  tmbpf snapshot -p 1234 --exact --for 30s -o app.snap\n"
	"  tmbpf snapshot --container web --for 30s -o web\n"
	"  tmbpf stats web/*.pb.gz\n"
	"\n" COMMAND_EXIT_STATUSES;

/*
 * Waits so long, or until it is interrupted, or until the process PID (0: there is none to wait
 * for) has ended. Then what was traced so far is written, and the session ends.
 */
static void duration_wait(uint64_t seconds, pid_t pid)
{
	cleanup_fd int interrupts = interrupts_catch();
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

/* Writes a snapshot's bytes, and says so where they do not go to standard output. */
static struct error *bytes_store(const char *path, const void *data, size_t size)
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

static struct error *process_store(const char *path, pid_t pid)
{
	cleanup_free void *data = NULL;
	size_t size;

	try(client_snapshot_bytes(pid, &data, &size));
	return bytes_store(path, data, size);
}

/* Starts a session, waits, and ends it. */
static struct error *process_for(const struct arguments *arguments, pid_t pid)
{
	struct tracer_options tracing;
	struct error *error, *stopped;
	uint64_t seconds = 0;

	try(option_duration("--for", arguments->duration, &seconds));
	try(session_options_check(&arguments->session, &tracing));
	/* Whether it can be written is not to be found out when the time is over. */
	try(output_check(arguments->path));
	try(serve_start(pid, &tracing));
	duration_wait(seconds, pid);
	error = process_store(arguments->path, pid);
	stopped = client_stop(pid);
	/* A target that ended meanwhile has ended the session as well. */
	if (error || (stopped && error_kind(stopped) == ERROR_NOTHING)) {
		error_destroy(stopped);
		stopped = NULL;
	}
	return error ? error : stopped;
}

/* Makes FOLDER where it is not there; fails if nothing can be written into it. */
static struct error *folder_make(const char *folder)
{
	if (mkdir(folder, 0777) && errno != EEXIST)
		return error_create_errno(ERROR_FAILED, errno, "cannot make the folder %s", folder);
	return access(folder, W_OK | X_OK)
		       ? error_create_errno(ERROR_FAILED, errno, "cannot write into the folder %s",
					    folder)
		       : NULL;
}

/*
 * The last snapshot of a process that has ended: that of the group NAME, not of who has had its pid
 * since.
 */
static struct error *ended_bytes(const char *name, pid_t pid, void **ret, size_t *ret_size)
{
	if (!ended_is_of(pid, name))
		return error_create(ERROR_NOTHING, "process %d is not traced", pid);
	return ended_snapshot(pid, ret, ret_size);
}

/*
 * Writes FOLDER/PID.pb.gz; *RET is true if there was anything to write. ENDED: the group's name, if
 * its process PID has ended; else NULL.
 */
static struct error *member_store(const char *folder, pid_t pid, const char *ended, bool *ret)
{
	cleanup_free char *path = NULL;
	cleanup_free void *data = NULL;
	struct error *error;
	size_t size;

	error = ended ? ended_bytes(ended, pid, &data, &size)
		      : client_snapshot_bytes(pid, &data, &size);
	if (error && error_kind(error) == ERROR_NOTHING) {
		fprintf(stderr, "tmbpf: no snapshot of process %d: its session is gone\n", pid);
		error_destroy(error);
		return NULL;
	}
	try(error);
	if (asprintf(&path, "%s/%d.pb.gz", folder, pid) < 0) {
		path = NULL;
		return error_create_errno(ERROR_FAILED, ENOMEM, "a group of processes");
	}
	*ret = true;
	return bytes_store(path, data, size);
}

/* A file for each process of the group NAME, in FOLDER, which is made if it is missing. */
static struct error *group_store(const char *name, const char *folder)
{
	cleanup(json_cleanup) struct json_object *status = NULL;
	struct json_object *processes;
	size_t written = 0;

	try(group_status_fetch(name, &status));
	try(folder_make(folder));
	processes = json_get_array(status, "processes");
	for (size_t i = 0; i < json_length(processes); i++) {
		struct json_object *process = json_at(processes, i);
		bool ended = !strcmp(json_get_text(process, "state"), "ended"), done = false;

		if (!ended && strcmp(json_get_text(process, "state"), "traced") != 0)
			continue;
		try(member_store(folder, (pid_t)json_get_number(process, "pid"),
				 ended ? name : NULL, &done));
		written += done;
	}
	if (!written)
		return error_create(ERROR_NOTHING, "the group %s has no session", name);
	return NULL;
}

/* The same of a group, to a folder. */
static struct error *group_for(const struct arguments *arguments, const struct group_wanted *wanted)
{
	cleanup_free char *name = NULL;
	struct tracer_options tracing;
	struct error *error, *stopped;
	uint64_t seconds = 0;

	try(option_duration("--for", arguments->duration, &seconds));
	try(session_options_check(&arguments->session, &tracing));
	try(folder_make(arguments->path));
	try(group_command_start(wanted, &tracing, stdout, &name));
	fflush(stdout);
	duration_wait(seconds, 0);
	error = group_store(name, arguments->path);
	stopped = group_command_stop(name);
	if (!error)
		return stopped;
	error_destroy(stopped);
	return error;
}

static struct error *group_run(const struct arguments *arguments)
{
	cleanup_free char *name = NULL;
	struct group_wanted wanted;

	if (output_path_is_stdout(arguments->path))
		return error_create(ERROR_USAGE,
				    "-o is a folder here: each process has a file of its own");
	try(target_options_group(&arguments->target, &wanted));
	if (arguments->duration)
		return group_for(arguments, &wanted);
	try(group_find(&wanted, &name));
	return group_store(name, arguments->path);
}

static struct error *snapshot_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse_option, .doc = doc, .children = children};
	struct arguments arguments = {0};
	pid_t pid = 0;

	try(options_parse(&argp, argc, argv, &arguments));
	try(target_options_check(&arguments.target));
	if (!arguments.path)
		return error_create(ERROR_USAGE, "-o FILE is missing");
	if (!arguments.duration && session_options_given(&arguments.session))
		return error_create(ERROR_USAGE,
				    "how to trace is a matter of a session that begins: add --for, "
				    "or leave it to `tmbpf start`");
	if (target_options_many(&arguments.target))
		return group_run(&arguments);
	try(target_options_pid(&arguments.target, &pid));
	if (output_path_is_stdout(arguments.path) && isatty(STDOUT_FILENO))
		return error_create(ERROR_USAGE, "standard output is a terminal, and a snapshot is "
						 "not for reading: name a file with -o");
	if (arguments.duration)
		return process_for(&arguments, pid);
	return process_store(arguments.path, pid);
}

const struct command command_snapshot = {
	.name = "snapshot",
	.summary = "write what was traced to a file",
	.needs = COMMAND_NEEDS_PRIVILEGES | COMMAND_OF_SESSIONS,
	.run = snapshot_run,
};
