// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a snapshot holds, for people: its head, and its groups. */
#include "view/report.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include "snapshot/tables.h"
#include "view/place.h"
#include "view/table.h"
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "a report");
}

/* TEXT between BEFORE and AFTER, made fit for a terminal; nothing at all if TEXT is empty. */
static struct error *print_text(FILE *file, const char *before, const char *text, const char *after)
{
	cleanup_free char *shown = NULL;

	if (*text == '\0')
		return NULL;
	shown = text_display(text);
	if (!shown)
		return no_memory();
	fprintf(file, "%s%s%s", before, shown, after);
	return NULL;
}

/* The first twelve digits of an id, as container tools show it, the name, and the image. */
static struct error *print_container(const struct snapshot_info *info, FILE *file)
{
	cleanup_free char *shown = strndup(info->container, CONTAINER_SHOWN);

	if (!shown)
		return no_memory();
	if (!*shown)
		return NULL;
	try(print_text(file, ", container ", shown, ""));
	if (strcmp(info->container_name, info->container) != 0)
		try(print_text(file, " ", info->container_name, ""));
	return print_text(file, " of ", info->image, "");
}

static bool process_known(const struct snapshot_info *info)
{
	return info->pid > 0 || *info->command_line || *info->executable || *info->container ||
	       *info->host;
}

static struct error *print_process(const struct snapshot_info *info, FILE *file)
{
	const char *name = *info->command_line ? info->command_line : info->executable;

	if (!process_known(info))
		return NULL;
	if (info->pid > 0)
		fprintf(file, "pid %" PRId32, info->pid);
	else if (*name)
		fputs("process", file);
	else
		fputs("process not known", file);
	try(print_text(file, ": ", name, ""));
	try(print_container(info, file));
	try(print_text(file, ", on ", info->host, ""));
	fputc('\n', file);
	return NULL;
}

static struct error *print_tracing(const struct snapshot_info *info, FILE *file)
{
	char version[32], when[TEXT_NUMBER_MAX];

	snapshot_python_version(info->python_version, version, sizeof(version));
	if (*version)
		fprintf(file, "CPython %s", version);
	else
		fprintf(file, "%sPython version not known",
			process_known(info) ? "" : "process and ");
	try(print_text(file, ", ", info->mode, ""));
	if (info->period > 0)
		fprintf(file, " (a block in %" PRIu64 " was seen; \302\261 is the standard error)",
			info->period);
	if (info->traceback_limit > 0)
		fprintf(file, ", up to %" PRIu32 " frame%s", info->traceback_limit,
			info->traceback_limit == 1 ? "" : "s");
	if (info->duration_nanos > 0)
		fprintf(file, ", traced for %.1f s", (double)info->duration_nanos / 1e9);
	if (*text_time(info->time_nanos, when))
		fprintf(file, ", until %s UTC", when);
	fputc('\n', file);
	return NULL;
}

static void print_held(const struct snapshot *snapshot, FILE *file)
{
	const struct snapshot_info *info = &snapshot->info;
	struct snapshot_totals totals = snapshot_totals(snapshot);
	char number[TEXT_NUMBER_MAX];

	fprintf(file, "held: %s in %" PRIu64 " block%s", text_size(totals.size, number),
		totals.count, totals.count == 1 ? "" : "s");
	if (info->current > 0 && info->current != totals.size)
		fprintf(file, ", current %s", text_size(info->current, number));
	if (info->peak > 0)
		fprintf(file, ", peak %s", text_size(info->peak, number));
	else if (info->peak_unmeasured)
		fputs(", peak not measured", file);
	if (info->rss > 0)
		fprintf(file, ", RSS %s", text_size(info->rss, number));
	fputc('\n', file);
}

static struct error *print_seen(const struct snapshot_info *info, FILE *file)
{
	if (!snapshot_info_tells_losses(info)) {
		fputs("coverage and losses not known\n", file);
		return NULL;
	}
	if (info->coverage < 0)
		fputs("coverage: not known", file);
	else
		fprintf(file, "coverage: %.1f %% of allocations", 100 * info->coverage);
	try(print_text(file, " (", info->coverage_basis, ")"));
	if (info->loss_count == 0)
		fputs(", nothing lost", file);
	fputc('\n', file);
	for (size_t i = 0; i < info->loss_count; i++) {
		const struct loss *loss = &info->losses[i];

		try(print_text(file, "lost: ", *loss->text ? loss->text : loss->name, ": "));
		fprintf(file, "%" PRIu64 "\n", loss->count);
	}
	return NULL;
}

struct error *report_print_head(const struct snapshot *snapshot,
				const struct statistics *statistics, bool selected, FILE *file)
{
	char number[TEXT_NUMBER_MAX];

	try(print_process(&snapshot->info, file));
	try(print_tracing(&snapshot->info, file));
	print_held(snapshot, file);
	try(print_seen(&snapshot->info, file));
	if (selected)
		fprintf(file, "selected: %s in %" PRIu64 " block%s\n",
			text_size(statistics->trace_size, number), statistics->trace_count,
			statistics->trace_count == 1 ? "" : "s");
	fputc('\n', file);
	return NULL;
}

struct row {
	struct place place;
	char size[TEXT_ESTIMATE_MAX], share[TEXT_NUMBER_MAX];
	char count[TEXT_NUMBER_MAX], average[TEXT_NUMBER_MAX];
};

static void row_format(const struct snapshot *snapshot, const struct statistics *statistics,
		       const struct statistic *statistic, struct row *row)
{
	char number[TEXT_NUMBER_MAX];

	row->place = place_of_statistic(snapshot->tables, statistics, statistic);
	text_estimate(text_size(statistic->size, number), sqrt(statistic->size_variance),
		      row->size);
	text_share(statistic->size, statistics->trace_size, row->share);
	snprintf(row->count, sizeof(row->count), "%" PRIu64, statistic->count);
	text_average(statistic->size, statistic->count, row->average);
}

static struct error *row_add(struct table *table, const struct row *row,
			     const struct source_lines *lines)
{
	cleanup_free char *place = place_text(&row->place);
	cleanup_free char *source = place_source(&row->place, lines, 0);
	const char *cells[] = {row->size, row->share, row->count, row->average, place};

	if (!place)
		return no_memory();
	try(table_row(table, cells));
	return source && *source ? table_indented(table, source) : NULL;
}

static struct error *print_table(const struct snapshot *snapshot,
				 const struct statistics *statistics, size_t shown,
				 const struct source_lines *lines, FILE *file)
{
	static const struct table_column columns[] = {
		{"size", true},    {"share", true},  {"count", true},
		{"average", true}, {"place", false},
	};
	cleanup(table_cleanup) struct table *table = NULL;

	try(table_create(columns, array_size(columns), &table));
	for (size_t i = 0; i < shown; i++) {
		struct row row;

		row_format(snapshot, statistics, &statistics->items[i], &row);
		try(row_add(table, &row, lines));
	}
	table_print(table, file, terminal_has_colour(file));
	return NULL;
}

static struct error *print_tracebacks(const struct snapshot *snapshot,
				      const struct statistics *statistics, size_t shown,
				      const struct source_lines *lines, FILE *file)
{
	bool colour = terminal_has_colour(file);

	for (size_t i = 0; i < shown; i++) {
		const struct statistic *statistic = &statistics->items[i];
		struct row row;

		row_format(snapshot, statistics, statistic, &row);
		fprintf(file, "%s%s%s (%s) in %s block%s, %s on average%s\n", i > 0 ? "\n" : "",
			colour ? "\033[1m" : "", row.size, row.share, row.count,
			statistic->count == 1 ? "" : "s", row.average, colour ? "\033[0m" : "");
		try(traceback_print(snapshot->tables, statistic->traceback, lines, 0, file));
	}
	return NULL;
}

static void print_left_out(const struct statistics *statistics, size_t shown, FILE *file)
{
	size_t left = statistics->count - shown;
	uint64_t size = 0, count = 0;
	char number[TEXT_NUMBER_MAX];

	if (left == 0)
		return;
	for (size_t i = shown; i < statistics->count; i++) {
		size += statistics->items[i].size;
		count += statistics->items[i].count;
	}
	fprintf(file, "\n%zu more not shown", left);
	/* Cumulative groups overlap, and their sum means nothing. */
	if (!statistics->cumulative)
		fprintf(file, ": %s in %" PRIu64 " block%s", text_size(size, number), count,
			count == 1 ? "" : "s");
	fputs("; --limit 0 shows all\n", file);
}

struct error *report_print_groups(const struct snapshot *snapshot,
				  const struct statistics *statistics, size_t limit,
				  const struct source_lines *lines, FILE *file)
{
	size_t shown = statistics->count < limit ? statistics->count : limit;

	if (statistics->count == 0) {
		fputs(snapshot_totals(snapshot).count ? "nothing that is held passes the filters\n"
						      : "nothing is held\n",
		      file);
		return NULL;
	}
	if (statistics->group_by == GROUP_BY_TRACEBACK)
		try(print_tracebacks(snapshot, statistics, shown, lines, file));
	else
		try(print_table(snapshot, statistics, shown, lines, file));
	print_left_out(statistics, shown, file);
	return NULL;
}
