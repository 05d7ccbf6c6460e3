// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "command/command.h"
#include "command/group_commands.h"
#include "command/live_group.h"
#include "base/interrupt.h"
#include "daemon/serve.h"
#include "command/options/session_options.h"
#include "view/status_text.h"
#include "daemon/client.h"
#include "trace/session/control.h"
#include "view/table.h"

enum { OPTION_COUNT = 256 };

struct arguments {
	struct group_target_options target;
	struct session_options session;
	const char *interval, *limit, *count;
};

struct live {
	pid_t pid;
	uint64_t interval, limit, count;
	bool terminal, started;
	json_object *before; /* the previous answer, for what changed */
	char *group;         /* its name; NULL: one process */
};

static const struct argp_child children[] = {
	{&group_target_argp, 0, NULL, 0},
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
	"Watches a process: the lines that grow (with --exact, those that hold most of what was allocated since tracing "
	"began), totals, and what is not seen. "
	"Uses the process's session if there is one, else starts one and ends it at the end (Ctrl-C). Not on a terminal "
	"it prints plain lines. Of a group it shows the lines of all its processes together, with the pid of each.\v" GROUP_TARGET_HELP
	"\n"
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
	try(group_target_options_check(&arguments->target));
	if (!group_target_many(&arguments->target))
		try(option_pid("-p", arguments->target.pid, &live->pid));
	if (arguments->interval)
		try(option_number("--interval", arguments->interval, 1, 3600, &live->interval));
	if (arguments->limit)
		try(option_number("--limit", arguments->limit, 1, 10000, &live->limit));
	if (arguments->count)
		try(option_number("--count", arguments->count, 1, UINT32_MAX, &live->count));
	return NULL;
}

/* What the site at PLACE held when we looked last. */
static uint64_t size_before(const struct live *live, const char *place)
{
	json_object *sites;

	if (!live->before || !json_object_object_get_ex(live->before, "sites", &sites))
		return STATUS_NO_LAST;
	for (size_t i = 0; i < json_object_array_length(sites); i++) {
		json_object *site = json_object_array_get_idx(sites, i);

		if (!strcmp(status_text(site, "place"), place))
			return status_number(site, "size");
	}
	return 0;
}

static struct error *sites_print(const struct live *live, json_object *reply, FILE *out)
{
	static const struct table_column columns[] = {
		{"held", true},       {"blocks", true}, {"share", true},
		{"since last", true}, {"line", false},
	};
	cleanup(table_cleanup) struct table *table = NULL;
	uint64_t current = status_number(reply, "current"),
		 count = status_number(reply, "site_count");
	json_object *sites;

	if (!json_object_object_get_ex(reply, "sites", &sites))
		return error_create(ERROR_FAILED, "the session sent no sites");
	try(table_create(columns, array_size(columns), &table));
	for (size_t i = 0; i < json_object_array_length(sites) && i < live->limit; i++) {
		json_object *site = json_object_array_get_idx(sites, i);

		try(status_site_row(site, current, size_before(live, status_text(site, "place")),
				    NULL, table));
	}
	table_print(table, out, terminal_has_colour(out));
	if (count > live->limit)
		fprintf(out, "and %llu more lines\n", (unsigned long long)(count - live->limit));
	return NULL;
}

static struct error *view_print(const struct live *live, json_object *reply, FILE *out)
{
	cleanup_free char *command = text_display(status_text(reply, "command_line"));
	uint64_t nframe = status_number(reply, "nframe");
	char current[TEXT_NUMBER_MAX], peak[TEXT_NUMBER_MAX], rss[TEXT_NUMBER_MAX],
		growth[TEXT_NUMBER_MAX];

	if (live->terminal)
		fputs("\033[H\033[J", out);
	fprintf(out, "%d %s: python %s, %s, %llu frame%s, %llu s\n", live->pid,
		command ? command : "", status_text(reply, "python"), status_text(reply, "mode"),
		(unsigned long long)nframe, nframe == 1 ? "" : "s",
		(unsigned long long)status_number(reply, "seconds"));
	fprintf(out, "current %s in %llu blocks, peak %s, rss %s (%s since start)\n",
		text_size(status_number(reply, "current"), current),
		(unsigned long long)status_number(reply, "blocks"),
		status_size(reply, "peak", peak), text_size(status_number(reply, "rss"), rss),
		text_size_diff((int64_t)(status_number(reply, "rss") -
					 status_number(reply, "rss_at_start")),
			       growth));
	if (json_object_object_get_ex(reply, "cost", NULL)) {
		status_print_cost(reply, out);
		status_print_losses(reply, out);
		try(status_print_growth(reply, live->limit, out));
	} else {
		status_print_losses(reply, out);
		if (status_number(reply, "site_count") ||
		    json_object_object_get_ex(reply, "sites", NULL))
			try(sites_print(live, reply, out));
	}
	if (!live->terminal)
		fputc('\n', out);
	fflush(out);
	return NULL;
}

static struct error *view_loop(struct live *live, int interrupts)
{
	for (uint64_t i = 0; i < live->count; i++) {
		json_object *request = json_object_new_object(), *reply = NULL;
		struct error *error;

		if (interrupts_wait(interrupts, -1, live->interval))
			return NULL;
		json_object_object_add(request, "limit", json_object_new_uint64(4 * live->limit));
		error = target_request(live->pid, "top", request, &reply, NULL, NULL);
		if (error && i && error_kind(error) == ERROR_NOTHING) {
			error_destroy(error);
			if (!kill(live->pid, 0) || errno == EPERM)
				printf("the session of process %d was ended\n", live->pid);
			else
				printf("process %d has ended; `tmbpf status -p %d` shows its last totals\n",
				       live->pid, live->pid);
			return NULL;
		}
		try(error);
		error = view_print(live, reply, stdout);
		json_object_put(live->before);
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
	json_object_put(view.before);
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
	cleanup(json_cleanup) json_object *status = NULL;
	struct error *error = target_request(live->pid, "status", NULL, &status, NULL, NULL);
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
static struct error *group_match(const struct arguments *arguments, json_object *status)
{
	const struct group_target_options *target = &arguments->target;
	cleanup(json_cleanup) json_object *session = NULL;
	cleanup_free char *stop = NULL;
	json_object *processes = NULL;
	struct tracer_options tracing;

	json_object_object_get_ex(status, "processes", &processes);
	for (size_t i = 0; processes && !session && i < json_object_array_length(processes); i++) {
		json_object *process = json_object_array_get_idx(processes, i);
		struct error *error;

		if (strcmp(status_text(process, "state"), "traced") != 0)
			continue;
		error = target_request(status_number(process, "pid"), "status", NULL, &session,
				       NULL, NULL);
		if (error && error_kind(error) != ERROR_NOTHING)
			return error;
		error_destroy(error); /* it has ended meanwhile */
	}
	if (!session)
		return session_options_check(&arguments->session, &tracing);
	if (asprintf(&stop, "%s %s%s",
		     target->follow      ? "-p"
		     : target->container ? "--container"
					 : "--cgroup",
		     target->follow      ? target->pid
		     : target->container ? target->container
					 : target->cgroup,
		     target->follow ? " --follow" : "") < 0) {
		stop = NULL;
		return error_create_errno(ERROR_FAILED, ENOMEM, "a group of processes");
	}
	return session_options_match(&arguments->session, status_text(status, "title"), stop,
				     session);
}

/* The same for a group. */
static struct error *group_have(struct live *live, const struct arguments *arguments)
{
	struct error *error = group_find(&arguments->target, &live->group);
	cleanup(json_cleanup) json_object *status = NULL;
	struct tracer_options tracing;

	if (!error)
		error = group_status_fetch(live->group, &status);
	if (!error && strcmp(status_text(status, "state"), "ended") != 0)
		return group_match(arguments, status);
	if (error && error_kind(error) != ERROR_NOTHING)
		return error;
	error_destroy(error);
	free(take(live->group));
	try(session_options_check(&arguments->session, &tracing));
	live->started = true;
	return group_command_start(&arguments->target, &tracing, stderr, &live->group);
}

static void started_stop(const struct live *live)
{
	json_object *reply = NULL;

	if (live->group)
		error_destroy(group_request_stop(live->group));
	else
		error_destroy(target_request(live->pid, "stop", NULL, &reply, NULL, NULL));
	json_object_put(reply);
}

static struct error *live_run(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options, .parser = parse_option, .doc = doc, .children = children};
	struct arguments arguments = {0};
	struct live live = {0};
	struct error *error;
	cleanup_fd int interrupts = -1;

	try(command_parse(&argp, argc, argv, &arguments));
	try(arguments_check(&arguments, &live));
	if (group_target_many(&arguments.target))
		error = group_have(&live, &arguments);
	else
		error = session_have(&live, &arguments);
	if (error) {
		free(live.group);
		return error;
	}
	/* When who reads this has gone, what it began has to end as well. */
	signal(SIGPIPE, SIG_IGN);
	interrupts = interrupts_take();
	error = live.group ? group_loop(&live, interrupts) : view_loop(&live, interrupts);
	if (live.started)
		started_stop(&live);
	json_object_put(live.before);
	free(live.group);
	return error;
}

const struct command command_live = {
	.name = "-p",
	.summary = "watch a process: `tmbpf -p PID`",
	.needs = COMMAND_NEEDS_PRIVILEGES | COMMAND_OF_SESSIONS,
	.run = live_run,
};
