// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf run`: runs a command and traces it from its first allocation on. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/output.h"
#include "base/text.h"
#include "command/command.h"
#include "command/options/options.h"
#include "command/options/session_options.h"
#include "daemon/reports.h"
#include "daemon/reports_estimate.h"
#include "daemon/serve.h"
#include "format/format.h"
#include "python/reference_process.h"
#include "sandbox/privileges.h"
#include "snapshot/snapshot.h"
#include "trace/session/session.h"
#include "trace/tracer/launch.h"
#include "view/status_text.h"

/* How long a reference process may take to start, in steps of ten milliseconds. */
#define REFERENCE_STEPS 500

struct arguments {
	struct session_options session;
	const char *path;
	char **command;
};

static const struct argp_child children[] = {{&session_argp, 0, NULL, 0}, {0}};

static const struct argp_option options[] = {
	{"output", 'o', "FILE", 0,
	 "Write a snapshot when the command ends, of what it held then and all it allocated", 0},
	{0},
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &arguments->session;
		return 0;
	case 'o':
		arguments->path = value;
		return 0;
	case ARGP_KEY_ARG:
		/* The rest is the command's own. */
		arguments->command = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "COMMAND is missing");
		return EINVAL;
	}
	return ARGP_ERR_UNKNOWN;
}

static const char doc[] =
	"Runs a command and traces the first CPython that it becomes, from its first allocation "
	"on. While it runs, the other commands reach it by its pid (`tmbpf status`). The exit "
	"status is the command's own; 1, 2 or 3 with a message if tmbpf itself fails, or the "
	"command was never a CPython; 128 and the signal's number if it was ended by one.\v"
	"At the end Python has freed most of what the command held: for a leak, take a snapshot "
	"while it runs. A Python that a shell starts as a child is not followed: use `exec` "
	"there.\n"
	"\n"
	"How the interpreter is laid out is learned from another process of it, started for a "
	"moment beside the command, and checked once the command's own is up. So it has to be a "
	"program called python* (no uwsgi, no program with a CPython in it), without PYTHONMALLOC "
	"and PYTHONDEVMODE, which change its allocators while it starts: start others by "
	"themselves, and attach with `tmbpf start -p PID`.\n"
	"\n"
	"Example:\n"
	"  tmbpf run --exact -o app.snap -- python3 app.py --port 8000\n";

/* Hooks that the interpreter is about to put in come after its first allocations. */
static struct error *environment_check(pid_t pid)
{
	cleanup_file FILE *file = NULL;
	cleanup_free char *entry = NULL;
	char path[40];
	size_t capacity = 0;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	file = fopen(path, "re");
	if (!file)
		return error_create_errno(ERROR_FAILED, errno,
					  "cannot read the command's environment");
	while (getdelim(&entry, &capacity, 0, file) > 0) {
		bool allocator = !strncmp(entry, "PYTHONMALLOC=", 13) && entry[13] &&
				 strcmp(entry + 13, "pymalloc") && strcmp(entry + 13, "default");
		bool developer = !strncmp(entry, "PYTHONDEVMODE=", 14) && entry[14];

		if (allocator || developer)
			return error_advise(
				error_create(ERROR_FAILED,
					     "%s changes the allocators while the command starts",
					     entry),
				"Start the command by itself and attach with `tmbpf start -p PID "
				"--exact`.");
	}
	return NULL;
}

static void reference_exec(const char *path)
{
	char *const argv[] = {(char *)path, "-I", "-S", "-c", "import time; time.sleep(60)", NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	execv(path, argv);
	_exit(127);
}

/* Starts the reference process; on return it runs PATH, or has ended because it cannot. */
static struct error *reference_start(const char *path, pid_t *ret)
{
	int executed[2];
	char byte;

	/* The last writing end is closed when the reference process executes. */
	if (pipe2(executed, O_CLOEXEC))
		return error_create_errno(ERROR_FAILED, errno, "cannot start %s", path);
	*ret = fork();
	if (!*ret)
		reference_exec(path);
	close(executed[1]);
	if (*ret > 0)
		while (read(executed[0], &byte, 1) < 0 && errno == EINTR)
			;
	close(executed[0]);
	return *ret < 0 ? error_create_errno(ERROR_FAILED, errno, "cannot start %s", path) : NULL;
}

/* Until it is killed and waited for here, its pid is nobody else's. */
static void reference_end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static bool reference_ended(pid_t pid)
{
	siginfo_t info = {0};

	return !waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid == pid;
}

/* The interpreter of the program PATH, seen in a process of its own. */
static struct error *reference_look(const char *path, struct process **ret_process,
				    struct python **ret)
{
	const struct timespec step = {.tv_nsec = 10000000};
	struct process *process = NULL;
	struct error *error = NULL;
	bool ended = false;
	pid_t pid;

	try(reference_start(path, &pid));
	/* While it starts, its libraries are not loaded yet, and its interpreter is in parts. */
	for (int i = 0; i < REFERENCE_STEPS; i++) {
		ended = reference_ended(pid);
		error_destroy(error);
		error = process ? NULL : process_create(pid, &process);
		if (!error)
			error = python_create(process, ret);
		if (!error || ended)
			break;
		nanosleep(&step, NULL);
	}
	reference_end(pid);
	if (error) {
		process_destroy(process);
		error = error_prefix(error, "cannot learn how %s is laid out", path);
		return ended ? error_advise(error, "It was started with -I -S -c, as CPython from "
						   "3.6 on can be.")
			     : error;
	}
	*ret_process = process;
	return NULL;
}

/* Only a program that is a python can be started a second time without knowing what it would do. */
static struct error *program_check(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	if (!strncmp(name, "python", 6))
		return NULL;
	return error_advise(error_create(ERROR_FAILED, "%s runs CPython but is no python program",
					 path),
			    "Start it by itself and attach with `tmbpf start -p PID --exact`.");
}

/* Lets the command go on until it is a CPython that has not begun yet. */
static struct error *python_await(struct launch *launch, struct process **ret)
{
	for (;;) {
		struct process *process = NULL;
		bool held, present = false;
		struct error *error;
		int status;

		try(launch_next(launch, &held, &status));
		if (!held)
			return error_create(
				ERROR_NOTHING, "the command ended (%s %d) and was never a CPython",
				WIFSIGNALED(status) ? "signal" : "exit status",
				WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		error = process_create(launch_pid(launch), &process);
		if (!error)
			error = python_present(process, &present);
		if (!error && present) {
			*ret = process;
			return NULL;
		}
		process_destroy(process);
		try(error);
	}
}

static struct error *session_begin(struct launch *launch, struct tracer_options *tracing,
				   struct session **ret)
{
	struct process *process = NULL, *reference_process = NULL;
	struct python *reference = NULL;
	struct error *error;

	try(python_await(launch, &process));
	error = environment_check(process->pid);
	if (!error)
		error = program_check(process->executable);
	if (!error)
		error = reference_look(process->executable, &reference_process, &reference);
	if (!error) {
		tracing->reference = reference;
		error = session_create(process->pid, tracing, NULL, ret);
		tracing->reference = NULL;
	}
	python_destroy(reference);
	process_destroy(reference_process);
	process_destroy(process);
	return error;
}

/* Its pools are gone: what they said when they were read last. */
static void lazy_summary_print(const struct session *session)
{
	char current[TEXT_NUMBER_MAX];

	if (session->walk.at)
		fprintf(stderr,
			"tmbpf: process %d held %s %.1f s before its end, when its pools were read "
			"last\n",
			session->pid, text_size(session->walk.size, current),
			clock_since(CLOCK_MONOTONIC, session->walk.at));
	else
		fprintf(stderr,
			"tmbpf: process %d ended before its pools were read: what it held is not "
			"known\n",
			session->pid);
}

/* What sampling windows saw; the last window was some time before the end. */
static struct error *estimate_print(struct session *session)
{
	cleanup(json_deinit) struct json status;

	json_init(&status);
	if (session->sampler)
		try(reports_estimate_status(session, &status));
	try(json_built(&status));
	fprintf(stderr,
		"tmbpf: process %d was seen in %" PRIu64 " windows, its heap last %.1f s before "
		"its end; --exact sees all of it\n",
		session->pid, json_get_number(status.root, "windows"),
		json_get_real(status.root, "census_age", 0));
	return status_print_growth(status.root, 10, stderr);
}

static struct error *summary_print(struct session *session)
{
	struct tracer_counters counters;
	char current[TEXT_NUMBER_MAX], peak[TEXT_NUMBER_MAX];

	tracer_counters(session->tracer, &counters);
	if (session_is_lazy(session))
		lazy_summary_print(session);
	else if (session->options.mode == TMBPF_MODE_SAMPLED)
		try(estimate_print(session));
	else
		fprintf(stderr, "tmbpf: process %d held %s at the end, %s at its peak\n",
			session->pid, text_size(counters.current, current),
			text_size(counters.peak, peak));
	if (session->warning)
		fprintf(stderr, "tmbpf: %s\n", session->warning);
	return NULL;
}

static struct error *run_end(struct session *session, const char *path)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;

	try(summary_print(session));
	if (!path)
		return NULL;
	try(reports_snapshot(session, false, &snapshot));
	try(privileges_end());
	return snapshot_file_write(snapshot, path);
}

/* The command's own exit status, a signal's as a shell tells it. */
static int exit_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return ERROR_FAILED;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static struct error *run_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_option,
		.args_doc = "[--] COMMAND [ARGUMENT...]",
		.doc = doc,
		.children = children,
	};
	struct arguments arguments = {0};
	struct tracer_options tracing;
	struct session *session = NULL;
	struct launch *launch;
	struct error *error;
	pid_t pid;

	try(options_parse_in_order(&argp, argc, argv, &arguments));
	try(session_options_check(&arguments.session, &tracing));
	if (arguments.path && output_path_is_stdout(arguments.path))
		return error_create(ERROR_USAGE,
				    "-o -: standard output is the command's: name a file");
	/* Before the command runs: afterwards it would be lost. */
	if (arguments.path)
		try(output_check(arguments.path));
	privileges_raise();
	try(launch_create(arguments.command, &launch));
	pid = launch_pid(launch);
	error = session_begin(launch, &tracing, &session);
	/* What the terminal sends is the command's to answer; we stay to the end. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	launch_destroy(launch);
	/*
	 * The command, and what it was learned from, have all that we had: they were started
	 * before.
	 */
	if (!error)
		error = serve_attached(session, arguments.path != NULL);
	if (!error)
		error = serve_session(session, -1);
	if (!error)
		error = run_end(session, arguments.path);
	session_destroy(session);
	if (error)
		return error;
	exit(exit_status(pid));
}

const struct command command_run = {
	.name = "run",
	.summary = "run a command and trace it from the first allocation on",
	.needs = COMMAND_NEEDS_PRIVILEGES | COMMAND_OF_SESSIONS,
	.run = run_run,
};
