// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "command/live_group.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "command/group_commands.h"
#include "view/status_text.h"
#include "daemon/client.h"
#include "view/table.h"

/* A line of a process. */
struct line {
	pid_t pid;
	double sort;
	json_object *object; /* of "sites" or "growth" */
};

/* All that was answered. */
struct answers {
	json_object *list; /* a reply for each process */
	struct line *sites, *growth;
	size_t site_count, site_capacity, growth_count, growth_capacity;
};

static void answers_deinit(struct answers *answers)
{
	json_object_put(answers->list);
	free(answers->sites);
	free(answers->growth);
}

static struct error *lines_add(json_object *reply, const char *key, const char *sort,
			       struct line **lines, size_t *count, size_t *capacity)
{
	json_object *rows;

	if (!json_object_object_get_ex(reply, key, &rows) ||
	    !json_object_is_type(rows, json_type_array))
		return NULL;
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		json_object *row = json_object_array_get_idx(rows, i);

		try(array_reserve(lines, capacity, *count, 1, sizeof(**lines)));
		(*lines)[(*count)++] = (struct line){
			.pid = status_number(reply, "pid"),
			.sort = status_real(row, sort, 0),
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

/* Asks each process that is traced. */
static struct error *answers_fetch(json_object *status, uint64_t limit, struct answers *answers)
{
	json_object *processes = NULL;

	answers->list = json_object_new_array();
	json_object_object_get_ex(status, "processes", &processes);
	for (size_t i = 0; processes && i < json_object_array_length(processes); i++) {
		json_object *process = json_object_array_get_idx(processes, i), *reply = NULL;
		json_object *request;
		struct error *error;

		if (strcmp(status_text(process, "state"), "traced") != 0)
			continue;
		request = json_object_new_object();
		json_object_object_add(request, "limit", json_object_new_uint64(4 * limit));
		error = target_request(status_number(process, "pid"), "top", request, &reply, NULL,
				       NULL);
		if (error && error_kind(error) != ERROR_NOTHING)
			return error;
		error_destroy(error); /* it has ended meanwhile */
		if (!reply)
			continue;
		json_object_array_add(answers->list, reply);
		try(lines_add(reply, "sites", "size", &answers->sites, &answers->site_count,
			      &answers->site_capacity));
		try(lines_add(reply, "growth", "size", &answers->growth, &answers->growth_count,
			      &answers->growth_capacity));
	}
	if (answers->site_count)
		qsort(answers->sites, answers->site_count, sizeof(struct line), line_compare);
	if (answers->growth_count)
		qsort(answers->growth, answers->growth_count, sizeof(struct line), line_compare);
	return NULL;
}

/* What identifies a line from one look to the next. */
static char *line_key(const struct line *line)
{
	char *key;

	return asprintf(&key, "%d %s", line->pid, status_text(line->object, "place")) < 0 ? NULL
											  : key;
}

static uint64_t size_before(const struct group_view *view, const struct line *line)
{
	cleanup_free char *key = line_key(line);

	if (!view->before)
		return STATUS_NO_LAST;
	return key ? status_number(view->before, key) : 0;
}

static void before_set(struct group_view *view, const struct answers *answers)
{
	json_object_put(view->before);
	view->before = json_object_new_object();
	for (size_t i = 0; i < answers->site_count; i++) {
		const struct line *line = &answers->sites[i];
		cleanup_free char *key = line_key(line);

		if (key)
			json_object_object_add(
				view->before, key,
				json_object_new_uint64(status_number(line->object, "size")));
	}
}

/* Shares are of what all hold together, CURRENT. */
static struct error *sites_print(const struct group_view *view, const struct answers *answers,
				 uint64_t current, FILE *out)
{
	static const struct table_column columns[] = {
		{"held", true},       {"blocks", true}, {"share", true},
		{"since last", true}, {"pid", true},    {"line", false},
	};
	cleanup(table_cleanup) struct table *table = NULL;

	try(table_create(columns, array_size(columns), &table));
	for (size_t i = 0; i < answers->site_count && i < view->limit; i++) {
		const struct line *line = &answers->sites[i];
		char pid[16];

		snprintf(pid, sizeof(pid), "%d", line->pid);
		try(status_site_row(line->object, current, size_before(view, line), pid, table));
	}
	table_print(table, out, terminal_has_colour(out));
	if (answers->site_count > view->limit)
		fprintf(out, "and %zu more lines\n", (size_t)(answers->site_count - view->limit));
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
		fprintf(out, "and %llu more lines\n", (unsigned long long)more);
	return NULL;
}

struct sums {
	uint64_t current, blocks, rss, losses;
	double share, budget,
		coverage; /* the most, the same of all, the least; coverage 2: not known */
	bool estimates;
};

static uint64_t losses_sum(json_object *losses)
{
	struct json_object_iterator at = json_object_iter_begin(losses);
	struct json_object_iterator end = json_object_iter_end(losses);
	uint64_t sum = 0;

	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
		sum += json_object_get_uint64(json_object_iter_peek_value(&at));
	return sum;
}

static void sums_add(struct sums *sums, json_object *reply)
{
	double coverage = status_real(reply, "coverage", -1);
	json_object *losses, *cost;

	sums->current += status_number(reply, "current");
	sums->blocks += status_number(reply, "blocks");
	sums->rss += status_number(reply, "rss");
	if (coverage >= 0 && coverage < sums->coverage)
		sums->coverage = coverage;
	if (json_object_object_get_ex(reply, "losses", &losses))
		sums->losses += losses_sum(losses);
	if (!json_object_object_get_ex(reply, "cost", &cost))
		return;
	sums->estimates = true;
	sums->budget = status_real(cost, "budget", 0);
	if (status_real(cost, "share", 0) > sums->share)
		sums->share = status_real(cost, "share", 0);
}

static void head_print(json_object *status, const struct answers *answers, const struct sums *sums,
		       FILE *out)
{
	cleanup_free char *title = text_display(status_text(status, "title"));
	char current[TEXT_NUMBER_MAX], rss[TEXT_NUMBER_MAX];
	json_object *counts = NULL;

	json_object_object_get_ex(status, "counts", &counts);
	fprintf(out, "%s: %zu traced, %llu ended, %llu no CPython, %llu failed; %.0f s\n",
		title ? title : "", json_object_array_length(answers->list),
		(unsigned long long)status_number(counts, "ended") +
			status_number(counts, "forgotten"),
		(unsigned long long)status_number(counts, "other"),
		(unsigned long long)status_number(counts, "failed"),
		status_real(status, "seconds", 0));
	fprintf(out, "current %s in %llu blocks, rss %s together\n",
		text_size(sums->current, current), (unsigned long long)sums->blocks,
		text_size(sums->rss, rss));
	if (sums->estimates)
		fprintf(out, "cost      at most %.2f %% of a process's time, budget %.0f %%\n",
			100 * sums->share, 100 * sums->budget);
	if (sums->coverage <= 1)
		fprintf(out, "coverage  %.2f %% where it is least\n", 100 * sums->coverage);
	if (sums->losses)
		fprintf(out, "losses    %llu; `tmbpf status -p PID` tells which\n",
			(unsigned long long)sums->losses);
	group_status_print_losses(status, out);
}

struct error *group_view_print(struct group_view *view, FILE *out)
{
	cleanup(json_cleanup) json_object *status = NULL;
	cleanup(answers_deinit) struct answers answers = {0};
	struct sums sums = {.coverage = 2};

	try(group_status_fetch(view->name, &status));
	if (!strcmp(status_text(status, "state"), "ended"))
		return error_create(ERROR_NOTHING, "%s: all processes have ended",
				    status_text(status, "title"));
	try(answers_fetch(status, view->limit, &answers));
	for (size_t i = 0; i < json_object_array_length(answers.list); i++)
		sums_add(&sums, json_object_array_get_idx(answers.list, i));
	if (view->terminal)
		fputs("\033[H\033[J", out);
	head_print(status, &answers, &sums, out);
	if (answers.site_count)
		try(sites_print(view, &answers, sums.current, out));
	if (sums.estimates)
		try(growth_print(view, &answers, out));
	if (!view->terminal)
		fputc('\n', out);
	fflush(out);
	before_set(view, &answers);
	return NULL;
}
