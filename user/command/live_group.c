// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The live view of a group: each process is asked, and their lines are shown in one table. */
#include "command/live_group.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/text.h"
#include "daemon/client.h"
#include "daemon/group/group_client.h"
#include "view/group_text.h"
#include "view/status_text.h"
#include "view/table.h"

/* A line of a process. */
struct line {
	pid_t pid;
	double sort;
	struct json_object *object; /* of "lines" or "growth" */
};

/* All that was answered. */
struct answers {
	struct json json;
	struct json_object *list; /* a reply for each process; it owns what lines refer to */
	struct line *lines, *growth;
	size_t line_count, line_capacity, growth_count, growth_capacity;
};

static void answers_deinit(struct answers *answers)
{
	json_deinit(&answers->json);
	free(answers->lines);
	free(answers->growth);
}

/* Adds the rows that are REPLY's KEY to *LINES; they will be sorted by their member SORT. */
static struct error *lines_add(struct json_object *reply, const char *key, const char *sort,
			       struct line **lines, size_t *count, size_t *capacity)
{
	struct json_object *rows = json_get_array(reply, key);

	for (size_t i = 0; i < json_length(rows); i++) {
		struct json_object *row = json_at(rows, i);

		try(array_reserve(lines, capacity, *count, 1, sizeof(**lines)));
		(*lines)[(*count)++] = (struct line){
			.pid = (pid_t)json_get_number(reply, "pid"),
			.sort = json_get_real(row, sort, 0),
			.object = row,
		};
	}
	return NULL;
}

static int line_compare(const void *a, const void *b)
{
	const struct line *left = a, *right = b;

	if (left->sort != right->sort)
		return left->sort < right->sort ? 1 : -1;
	return left->pid < right->pid ? -1 : left->pid > right->pid;
}

/* Takes in what PROCESS answers; nothing if it has ended meanwhile. */
static struct error *answer_fetch(struct json_object *process, uint64_t limit,
				  struct answers *answers)
{
	cleanup(json_cleanup) struct json_object *reply = NULL;
	struct json request;
	struct error *error;

	json_init(&request);
	json_number(&request, request.root, "limit", 4 * limit);
	error = client_request((pid_t)json_get_number(process, "pid"), "top", &request, &reply,
			       NULL, NULL);
	if (error && error_kind(error) != ERROR_NOTHING)
		return error;
	error_destroy(error);
	if (!reply)
		return NULL;
	json_share(&answers->json, answers->list, NULL, reply);
	try(json_built(&answers->json));
	try(lines_add(reply, "lines", "size", &answers->lines, &answers->line_count,
		      &answers->line_capacity));
	return lines_add(reply, "growth", "size", &answers->growth, &answers->growth_count,
			 &answers->growth_capacity);
}

/* Asks each process that is traced. */
static struct error *answers_fetch(struct json_object *status, uint64_t limit,
				   struct answers *answers)
{
	struct json_object *processes = json_get_array(status, "processes");

	json_init(&answers->json);
	answers->list = json_new_array(&answers->json, answers->json.root, "answers");
	for (size_t i = 0; i < json_length(processes); i++) {
		struct json_object *process = json_at(processes, i);

		if (!strcmp(json_get_text(process, "state"), "traced"))
			try(answer_fetch(process, limit, answers));
	}
	if (answers->line_count)
		qsort(answers->lines, answers->line_count, sizeof(struct line), line_compare);
	if (answers->growth_count)
		qsort(answers->growth, answers->growth_count, sizeof(struct line), line_compare);
	return NULL;
}

/* What identifies a line from one look to the next. */
static char *line_key(const struct line *line)
{
	char *key;

	return asprintf(&key, "%d %s", line->pid, json_get_text(line->object, "place")) < 0 ? NULL
											    : key;
}

static uint64_t size_before(const struct group_view *view, const struct line *line)
{
	cleanup_free char *key = line_key(line);

	if (!view->before)
		return STATUS_NO_LAST;
	return key ? json_get_number(view->before, key) : 0;
}

static struct error *before_set(struct group_view *view, const struct answers *answers)
{
	struct json before;

	json_init(&before);
	for (size_t i = 0; i < answers->line_count; i++) {
		const struct line *line = &answers->lines[i];
		cleanup_free char *key = line_key(line);

		if (key)
			json_number(&before, before.root, key,
				    json_get_number(line->object, "size"));
	}
	json_cleanup(&view->before);
	view->before = before.root;
	return json_built(&before);
}

/* Shares are of what all hold together, CURRENT. */
static struct error *lines_print(const struct group_view *view, const struct answers *answers,
				 uint64_t current, FILE *out)
{
	static const struct table_column columns[] = {
		{"held", true},       {"blocks", true}, {"share", true},
		{"since last", true}, {"pid", true},    {"line", false},
	};
	cleanup(table_cleanup) struct table *table = NULL;

	try(table_create(columns, array_size(columns), &table));
	for (size_t i = 0; i < answers->line_count && i < view->limit; i++) {
		const struct line *line = &answers->lines[i];
		char pid[16];

		snprintf(pid, sizeof(pid), "%d", line->pid);
		try(status_line_row(line->object, current, size_before(view, line), pid, table));
	}
	table_print(table, out, terminal_has_colour(out));
	if (answers->line_count > view->limit)
		fprintf(out, "and %" PRIu64 " more lines\n", answers->line_count - view->limit);
	return NULL;
}

static struct error *growth_print(const struct group_view *view, const struct answers *answers,
				  FILE *out)
{
	static const struct table_column columns[] = {{"growth", true},
						      {"held", true},
						      {"windows", true},
						      {"pid", true},
						      {"line", false}};
	cleanup(table_cleanup) struct table *table = NULL;
	uint64_t shown = 0, more = 0;

	try(table_create(columns, array_size(columns), &table));
	for (size_t i = 0; i < answers->growth_count; i++) {
		const struct line *line = &answers->growth[i];
		char pid[16];

		if (!status_grows(line->object))
			continue;
		if (shown == view->limit) {
			more++;
			continue;
		}
		snprintf(pid, sizeof(pid), "%d", line->pid);
		try(status_growth_row(line->object, pid, table));
		shown++;
	}
	if (shown)
		table_print(table, out, terminal_has_colour(out));
	else
		fprintf(out, "no line is known to grow\n");
	if (more)
		fprintf(out, "and %" PRIu64 " more lines\n", more);
	return NULL;
}

/* What the processes come to together. */
struct sums {
	uint64_t current, blocks, rss, losses;
	double share;    /* the most */
	double budget;   /* the same of all */
	double coverage; /* the least; 2: not known */
	bool estimates;
};

static void sums_add(struct sums *sums, struct json_object *reply)
{
	double coverage = json_get_real(reply, "coverage", -1);
	struct json_object *cost = json_get_object(reply, "cost");

	sums->current += json_get_number(reply, "current");
	sums->blocks += json_get_number(reply, "blocks");
	sums->rss += json_get_number(reply, "rss");
	sums->losses += json_sum(json_get_object(reply, "losses"));
	if (coverage >= 0 && coverage < sums->coverage)
		sums->coverage = coverage;
	if (!cost)
		return;
	sums->estimates = true;
	sums->budget = json_get_real(cost, "budget", 0);
	if (json_get_real(cost, "share", 0) > sums->share)
		sums->share = json_get_real(cost, "share", 0);
}

static void head_print(struct json_object *status, const struct answers *answers,
		       const struct sums *sums, FILE *out)
{
	cleanup_free char *title = text_display(json_get_text(status, "title"));
	char current[TEXT_NUMBER_MAX], rss[TEXT_NUMBER_MAX];
	struct json_object *counts = json_get_object(status, "counts");

	fprintf(out,
		"%s: %zu traced, %" PRIu64 " ended, %" PRIu64 " no CPython, %" PRIu64
		" failed; %.0f s\n",
		title ? title : "", json_length(answers->list),
		json_get_number(counts, "ended") + json_get_number(counts, "forgotten"),
		json_get_number(counts, "other"), json_get_number(counts, "failed"),
		json_get_real(status, "seconds", 0));
	fprintf(out, "current %s in %" PRIu64 " blocks, rss %s together\n",
		text_size(sums->current, current), sums->blocks, text_size(sums->rss, rss));
	if (sums->estimates)
		fprintf(out, "cost      at most %.2f %% of a process's time, budget %.0f %%\n",
			100 * sums->share, 100 * sums->budget);
	if (sums->coverage <= 1)
		fprintf(out, "coverage  %.2f %% where it is least\n", 100 * sums->coverage);
	if (sums->losses)
		fprintf(out, "losses    %" PRIu64 "; `tmbpf status -p PID` tells which\n",
			sums->losses);
	group_status_print_losses(status, out);
}

struct error *group_view_print(struct group_view *view, FILE *out)
{
	cleanup(json_cleanup) struct json_object *status = NULL;
	cleanup(answers_deinit) struct answers answers = {0};
	struct sums sums = {.coverage = 2};

	try(group_status_fetch(view->name, &status));
	if (!strcmp(json_get_text(status, "state"), "ended"))
		return error_create(ERROR_NOTHING, "%s: all processes have ended",
				    json_get_text(status, "title"));
	try(answers_fetch(status, view->limit, &answers));
	for (size_t i = 0; i < json_length(answers.list); i++)
		sums_add(&sums, json_at(answers.list, i));
	if (view->terminal)
		fputs("\033[H\033[J", out);
	head_print(status, &answers, &sums, out);
	if (answers.line_count)
		try(lines_print(view, &answers, sums.current, out));
	if (sums.estimates)
		try(growth_print(view, &answers, out));
	if (!view->terminal)
		fputc('\n', out);
	fflush(out);
	return before_set(view, &answers);
}
