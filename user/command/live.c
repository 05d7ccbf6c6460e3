// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* `tmbpf -p PID`: watches a process, or a group, until it is interrupted. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/text.h"
#include "command/command.h"
#include "command/group_commands.h"
#include "command/live_group.h"
#include "command/options/options.h"
#include "command/options/session_options.h"
#include "command/options/target_options.h"
#include "daemon/client.h"
#include "daemon/group/group_client.h"
#include "daemon/group/group_target.h"
#include "daemon/serve.h"
#include "view/status_text.h"
#include "view/table.h"

enum { OPTION_COUNT = 256 };

struct arguments {
	struct target_options target;
	struct session_options session;
	const char *interval, *limit, *count;
};

struct live {
	pid_t pid;
	uint64_t interval, limit, count;
	bool terminal, started;
	struct json_object *before; /* the previous answer, for what changed */
	struct group_wanted wanted; /* where a group is */
	char *group;                /* its name; NULL: one process */
};

static const struct argp_child children[] = {
	{&target_argp, 0, NULL, 0},
	{&session_argp, 0, NULL, 0},
	{0},
};

static const struct argp_option options[] = {
	{"interval", 'i', "SECONDS", 0, "How often to look, 1 to 3600 (default 2)", 0},
	{"limit", 'n', "N", 0, "Lines to show (default 20)", 0},
	{"count", OPTION_COUNT, "N", 0, "Look N times, then end (default: until interrupted)", 0},
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
	case 'i':
		arguments->interval = value;
		return 0;
	case 'n':
		arguments->limit = value;
		return 0;
	case OPTION_COUNT:
		arguments->count = value;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const char doc[] =
	"Watches a process: the lines that grow (with --exact, those that hold most of what was "
	"allocated since tracing began), totals, and what is not seen. Uses the process's session "
	"if there is one, else starts one and ends it at the end (Ctrl-C). Not on a terminal it "
	"prints plain lines. Of a group it shows the lines of all its processes together, with the "
	"pid of each.\v" TARGET_HELP "\n"
	"\n"
	"Examples: a process; a server and its workers; a container:\n"
	"  tmbpf -p 1234\n"
	"  tmbpf -p 1234 --follow\n"
	"  tmbpf --container web\n"
	"\n" COMMAND_EXIT_STATUSES;

static struct error *arguments_check(const struct arguments *arguments, struct live *live)
{
	live->interval = 2;
	live->limit = 20;
	live->count = UINT64_MAX;
	live->terminal = isatty(STDOUT_FILENO);
	try(target_options_check(&arguments->target));
	if (target_options_many(&arguments->target))
		try(target_options_group(&arguments->target, &live->wanted));
	else
		try(target_options_pid(&arguments->target, &live->pid));
	try(option_number("--interval", arguments->interval, 1, 3600, &live->interval));
	try(option_number("--limit", arguments->limit, 1, 10000, &live->limit));
	return option_number("--count", arguments->count, 1, UINT32_MAX, &live->count);
}

/* What the line at PLACE held when we looked last. */
static uint64_t size_before(const struct live *live, const char *place)
{
	struct json_object *lines = json_get_array(live->before, "lines");

	if (!lines)
		return STATUS_NO_LAST;
	for (size_t i = 0; i < json_length(lines); i++) {
		struct json_object *line = json_at(lines, i);

		if (!strcmp(json_get_text(line, "place"), place))
			return json_get_number(line, "size");
	}
	return 0;
}

/* The lines that hold most. */
static struct error *lines_print(const struct live *live, struct json_object *reply, FILE *out)
{
	static const struct table_column columns[] = {
		{"held", true},       {"blocks", true}, {"share", true},
		{"since last", true}, {"line", false},
	};
	cleanup(table_cleanup) struct table *table = NULL;
	uint64_t current = json_get_number(reply, "current");
	uint64_t count = json_get_number(reply, "line_count");
	struct json_object *lines = json_get_array(reply, "lines");

	try(table_create(columns, array_size(columns), &table));
	for (size_t i = 0; i < json_length(lines) && i < live->limit; i++) {
		struct json_object *line = json_at(lines, i);

		try(status_line_row(line, current, size_before(live, json_get_text(line, "place")),
				    NULL, table));
	}
	table_print(table, out, terminal_has_colour(out));
	if (count > live->limit)
		fprintf(out, "and %" PRIu64 " more lines\n", count - live->limit);
	return NULL;
}

/* What the process holds, and how it is traced. */
static void head_print(const struct live *live, struct json_object *reply, FILE *out)
{
	cleanup_free char *command = text_display(json_get_text(reply, "command_line"));
	uint64_t nframe = json_get_number(reply, "nframe"), rss = json_get_number(reply, "rss");
	char current[TEXT_NUMBER_MAX], peak[TEXT_NUMBER_MAX];
	char resident[TEXT_NUMBER_MAX], growth[TEXT_NUMBER_MAX];

	fprintf(out, "%d %s: python %s, %s, %" PRIu64 " frame%s, %" PRIu64 " s\n", live->pid,
		command ? command : "", json_get_text(reply, "python"),
		json_get_text(reply, "mode"), nframe, nframe == 1 ? "" : "s",
		(uint64_t)json_get_real(reply, "seconds", 0));
	fprintf(out, "current %s in %" PRIu64 " blocks, peak %s, rss %s (%s since start)\n",
		text_size(json_get_number(reply, "current"), current),
		json_get_number(reply, "blocks"), status_size(reply, "peak", peak),
		text_size(rss, resident),
		text_size_diff((int64_t)(rss - json_get_number(reply, "rss_at_start")), growth));
}

static struct error *view_print(const struct live *live, struct json_object *reply, FILE *out)
{
	if (live->terminal)
		fputs("\033[H\033[J", out);
	head_print(live, reply, out);
	if (json_has(reply, "cost")) {
		status_print_cost(reply, out);
		status_print_losses(reply, out);
		try(status_print_growth(reply, live->limit, out));
	} else {
		status_print_losses(reply, out);
		/* A session that estimates has none before its first window. */
		if (json_has(reply, "lines"))
			try(lines_print(live, reply, out));
	}
	if (!live->terminal)
		fputc('\n', out);
	fflush(out);
	return NULL;
}

/* The session of the process has gone since the last look. */
static void end_print(const struct live *live)
{
	if (!kill(live->pid, 0) || errno == EPERM)
		printf("the session of process %d was ended\n", live->pid);
	else
		printf("process %d has ended; `tmbpf status -p %d` shows its last totals\n",
		       live->pid, live->pid);
}

static struct error *view_loop(struct live *live, int interrupts)
{
	for (uint64_t i = 0; i < live->count; i++) {
		struct json_object *reply = NULL;
		struct json request;
		struct error *error;

		if (interrupts_wait(interrupts, -1, live->interval))
			return NULL;
		json_init(&request);
		json_number(&request, request.root, "limit", 4 * live->limit);
		error = client_request(live->pid, "top", &request, &reply, NULL, NULL);
		if (error && i && error_kind(error) == ERROR_NOTHING) {
			error_destroy(error);
			end_print(live);
			return NULL;
		}
		try(error);
		error = view_print(live, reply, stdout);
		json_cleanup(&live->before);
		live->before = reply;
		try(error);
		if (ferror(stdout))
			return NULL;
	}
	return NULL;
}

static struct error *group_loop(struct live *live, int interrupts)
{
	struct group_view view = {
		.name = live->group, .limit = live->limit, .terminal = live->terminal};
	struct error *error = NULL;

	for (uint64_t i = 0; i < live->count && !error && !ferror(stdout); i++) {
		if (interrupts_wait(interrupts, -1, live->interval))
			break;
		error = group_view_print(&view, stdout);
	}
	json_cleanup(&view.before);
	if (error && error_kind(error) == ERROR_NOTHING) {
		cleanup_free char *shown = text_display(error_message(error));

		printf("%s\n", shown ? shown : "");
		error_destroy(error);
		return NULL;
	}
	return error;
}

/* Starts a session if there is none; one that is there has to be what was asked for. */
static struct error *session_have(struct live *live, const struct arguments *arguments)
{
	cleanup(json_cleanup) struct json_object *status = NULL;
	struct error *error = client_request(live->pid, "status", NULL, &status, NULL, NULL);
	struct tracer_options tracing;
	char what[32], stop[32];

	if (!error) {
		snprintf(what, sizeof(what), "process %d", live->pid);
		snprintf(stop, sizeof(stop), "-p %d", live->pid);
		return session_options_match(&arguments->session, what, stop, status);
	}
	if (error_kind(error) != ERROR_NOTHING)
		return error;
	error_destroy(error);
	try(session_options_check(&arguments->session, &tracing));
	try(serve_start(live->pid, &tracing));
	live->started = true;
	return NULL;
}

/* All sessions of a group have the same options; of one that has none yet nobody can tell. */
static struct error *group_match(const struct arguments *arguments, struct json_object *status)
{
	cleanup(json_cleanup) struct json_object *session = NULL;
	cleanup_free char *stop = NULL;
	struct json_object *processes = json_get_array(status, "processes");
	struct tracer_options tracing;

	for (size_t i = 0; !session && i < json_length(processes); i++) {
		struct json_object *process = json_at(processes, i);
		struct error *error;

		if (strcmp(json_get_text(process, "state"), "traced") != 0)
			continue;
		error = client_request((pid_t)json_get_number(process, "pid"), "status", NULL,
				       &session, NULL, NULL);
		if (error && error_kind(error) != ERROR_NOTHING)
			return error;
		error_destroy(error); /* it has ended meanwhile */
	}
	if (!session)
		return session_options_check(&arguments->session, &tracing);
	stop = target_options_text(&arguments->target);
	if (!stop)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a group of processes");
	return session_options_match(&arguments->session, json_get_text(status, "title"), stop,
				     session);
}

/* The same for a group. */
static struct error *group_have(struct live *live, const struct arguments *arguments)
{
	struct error *error = group_find(&live->wanted, &live->group);
	cleanup(json_cleanup) struct json_object *status = NULL;
	struct tracer_options tracing;

	if (!error)
		error = group_status_fetch(live->group, &status);
	if (!error && strcmp(json_get_text(status, "state"), "ended") != 0)
		return group_match(arguments, status);
	if (error && error_kind(error) != ERROR_NOTHING)
		return error;
	error_destroy(error);
	free(take(live->group));
	try(session_options_check(&arguments->session, &tracing));
	live->started = true;
	return group_command_start(&live->wanted, &tracing, stderr, &live->group);
}

static void started_stop(const struct live *live)
{
	error_destroy(live->group ? group_request_stop(live->group) : client_stop(live->pid));
}

static struct error *live_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse_option, .doc = doc, .children = children};
	struct arguments arguments = {0};
	struct live live = {0};
	struct error *error;
	cleanup_fd int interrupts = -1;

	try(options_parse(&argp, argc, argv, &arguments));
	try(arguments_check(&arguments, &live));
	if (target_options_many(&arguments.target))
		error = group_have(&live, &arguments);
	else
		error = session_have(&live, &arguments);
	if (error) {
		free(live.group);
		return error;
	}
	/* When who reads this has gone, what it began has to end as well. */
	signal(SIGPIPE, SIG_IGN);
	interrupts = interrupts_catch();
	error = live.group ? group_loop(&live, interrupts) : view_loop(&live, interrupts);
	if (live.started)
		started_stop(&live);
	json_cleanup(&live.before);
	free(live.group);
	return error;
}

const struct command command_live = {
	.name = "-p",
	.summary = "watch a process: `tmbpf -p PID`",
	.needs = COMMAND_NEEDS_PRIVILEGES | COMMAND_OF_SESSIONS,
	.run = live_run,
};
