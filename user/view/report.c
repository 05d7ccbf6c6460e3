// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "view/report.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include "view/table.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

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

static struct error *print_process(const struct snapshot_info *info, FILE *file)
{
	const char *name = *info->command_line ? info->command_line : info->executable;

	if (info->pid > 0)
		fprintf(file, "pid %" PRId32, info->pid);
	else
		fputs("process unknown", file);
	try(print_text(file, ": ", name, ""));
	try(print_text(file, ", container ", info->container, ""));
	try(print_text(file, ", on ", info->host, ""));
	fputc('\n', file);
	return NULL;
}

static struct error *print_tracing(const struct snapshot_info *info, FILE *file)
{
	time_t seconds = (time_t)(info->time_nanos / 1000000000);
	char version[32], when[64];
	struct tm tm;

	snapshot_python_version(info->python_version, version, sizeof(version));
	fprintf(file, "CPython %s", *version ? version : "of unknown version");
	try(print_text(file, ", ", info->mode, ""));
	if (info->traceback_limit > 0)
		fprintf(file, ", up to %" PRIu32 " frame%s", info->traceback_limit,
			info->traceback_limit == 1 ? "" : "s");
	if (info->duration_nanos > 0)
		fprintf(file, ", traced for %.1f s", (double)info->duration_nanos / 1e9);
	if (info->time_nanos > 0 && gmtime_r(&seconds, &tm) &&
	    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		fprintf(file, ", until %s", when);
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
	if (info->current != totals.size)
		fprintf(file, ", current %s", text_size(info->current, number));
	if (info->peak > 0)
		fprintf(file, ", peak %s", text_size(info->peak, number));
	if (info->rss > 0)
		fprintf(file, ", RSS %s", text_size(info->rss, number));
	fputc('\n', file);
}

static struct error *print_seen(const struct snapshot_info *info, FILE *file)
{
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

		fprintf(file, "lost: %" PRIu64, loss->count);
		try(print_text(file, " ", *loss->text ? loss->text : loss->name, "\n"));
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

static char *frame_format(const struct snapshot *snapshot, const struct frame *frame, bool named)
{
	const char *name = frame && named ? snapshot->strings[frame->name] : "";
	char *text;
	int length;

	length = asprintf(&text, "%s:%" PRIu32 "%s%s", snapshot_filename(snapshot, frame),
			  frame ? frame->lineno : 0, *name ? " " : "", name);
	return length < 0 ? NULL : text;
}

char *report_frame(const struct snapshot *snapshot, const struct frame *frame)
{
	return frame_format(snapshot, frame, true);
}

static char *report_function(const struct snapshot *snapshot, const struct frame *frame)
{
	const char *name = frame ? snapshot->strings[frame->name] : "";
	char *text;
	int length;

	length = asprintf(&text, "%s (%s:%" PRIu32 ")", *name ? name : "<unknown>",
			  snapshot_filename(snapshot, frame), frame ? frame->firstlineno : 0);
	return length < 0 ? NULL : text;
}

char *report_place(const struct snapshot *snapshot, const struct statistics *statistics,
		   const struct statistic *statistic)
{
	const struct frame *frame = NULL;

	if (statistic->frame != STATISTIC_NO_FRAME)
		frame = &snapshot->frames[statistic->frame];
	switch (statistics->group_by) {
	case GROUP_BY_FILENAME:
		return strdup(snapshot_filename(snapshot, frame));
	case GROUP_BY_FUNCTION:
		return report_function(snapshot, frame);
	case GROUP_BY_LINENO:
	case GROUP_BY_TRACEBACK:
		break;
	}
	return frame_format(snapshot, frame, !statistic->several_functions);
}

/* The callers of a group's most recent frame, a line each, below the group's own. */
static struct error *print_callers(const struct snapshot *snapshot,
				   const struct statistic *statistic, struct table *table)
{
	const struct traceback *traceback = &snapshot->tracebacks[statistic->traceback];
	cleanup_free char *more = NULL;

	for (uint32_t i = 1; i < traceback->nframe; i++) {
		cleanup_free char *frame =
			report_frame(snapshot, &snapshot->frames[traceback->first + i]);
		cleanup_free char *indented = NULL;

		if (!frame || asprintf(&indented, "  %s", frame) < 0) {
			indented = NULL;
			return no_memory();
		}
		try(table_note(table, indented));
	}
	if (traceback->total_nframe <= traceback->nframe)
		return NULL;
	if (asprintf(&more, "  and %" PRIu32 " older frames",
		     traceback->total_nframe - traceback->nframe) < 0) {
		more = NULL;
		return no_memory();
	}
	return table_note(table, more);
}

static struct error *print_group(const struct snapshot *snapshot,
				 const struct statistics *statistics,
				 const struct statistic *statistic, struct table *table)
{
	char size[TEXT_NUMBER_MAX], share[TEXT_NUMBER_MAX];
	char count[TEXT_NUMBER_MAX], average[TEXT_NUMBER_MAX];
	cleanup_free char *place = report_place(snapshot, statistics, statistic);
	const char *cells[] = {size, share, count, average, place};

	if (!place)
		return no_memory();
	text_size(statistic->size, size);
	text_share(statistic->size, statistics->trace_size, share);
	snprintf(count, sizeof(count), "%" PRIu64, statistic->count);
	text_average(statistic->size, statistic->count, average);
	try(table_row(table, cells));
	if (statistics->group_by == GROUP_BY_TRACEBACK)
		return print_callers(snapshot, statistic, table);
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
		fprintf(file, ": %s in %" PRIu64 " blocks", text_size(size, number), count);
	fputs("; --limit says how many are\n", file);
}

struct error *report_print_groups(const struct snapshot *snapshot,
				  const struct statistics *statistics, size_t limit, FILE *file)
{
	static const struct table_column columns[] = {
		{"size", true},    {"share", true},  {"count", true},
		{"average", true}, {"place", false},
	};
	cleanup(table_cleanup) struct table *table = NULL;
	size_t shown = statistics->count < limit ? statistics->count : limit;

	if (statistics->count == 0) {
		fputs("nothing is held\n", file);
		return NULL;
	}
	try(table_create(columns, array_size(columns), &table));
	for (size_t i = 0; i < shown; i++)
		try(print_group(snapshot, statistics, &statistics->items[i], table));
	table_print(table, file, terminal_has_colour(file));
	print_left_out(statistics, shown, file);
	return NULL;
}
