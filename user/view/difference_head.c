// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is compared, for people: a row for each snapshot, and what they hold. */
#include "view/difference.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/comparison.h"
#include "snapshot/snapshot.h"
#include "view/report.h"
#include "view/table.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* What is told of each snapshot; a column that is empty in all is left out. */
enum column {
	NUMBER,
	NAME,
	PID,
	HOST,
	CONTAINER,
	PYTHON,
	MODE,
	NFRAME,
	COVERAGE,
	TAKEN,
	HELD,
	COLUMN_COUNT
};

static const struct table_column columns[COLUMN_COUNT] = {
	[NUMBER] = {"", false},
	[NAME] = {"file", false},
	[PID] = {"pid", true},
	[HOST] = {"host", false},
	[CONTAINER] = {"container", false},
	[PYTHON] = {"python", false},
	[MODE] = {"mode", false},
	[NFRAME] = {"frames", true},
	[COVERAGE] = {"coverage", true},
	[TAKEN] = {"taken (UTC)", false},
	[HELD] = {"held", false},
};

/* Numbers and such of one snapshot; text is borrowed from it. */
struct cells {
	char container[CONTAINER_SHOWN + 1];
	char number[24], pid[16], python[32], nframe[16], coverage[TEXT_NUMBER_MAX],
		taken[TEXT_NUMBER_MAX], held[TEXT_NUMBER_MAX + 40];
	const char *texts[COLUMN_COUNT];
};

static const char *number_format(size_t i, const struct comparison *comparison, char *buffer,
				 size_t size)
{
	if (comparison->snapshot_count == 2 && !comparison->side_by_side)
		return i == 0 ? "old" : "new";
	snprintf(buffer, size, "%zu", i + 1);
	return buffer;
}

static const char *held_format(const struct snapshot *snapshot, char *buffer, size_t size)
{
	struct snapshot_totals totals = snapshot_totals(snapshot);
	char number[TEXT_NUMBER_MAX];

	snprintf(buffer, size, "%s in %" PRIu64 " block%s", text_size(totals.size, number),
		 totals.count, totals.count == 1 ? "" : "s");
	return buffer;
}

static void cells_fill(const struct compared *compared, size_t i,
		       const struct comparison *comparison, struct cells *cells)
{
	const struct snapshot_info *info = &compared[i].snapshot->info;
	const char **texts = cells->texts;

	if (info->pid > 0)
		snprintf(cells->pid, sizeof(cells->pid), "%" PRId32, info->pid);
	if (info->traceback_limit > 0)
		snprintf(cells->nframe, sizeof(cells->nframe), "%" PRIu32, info->traceback_limit);
	snapshot_python_version(info->python_version, cells->python, sizeof(cells->python));
	texts[NUMBER] = number_format(i, comparison, cells->number, sizeof(cells->number));
	texts[NAME] = compared[i].name;
	texts[PID] = cells->pid;
	texts[HOST] = info->host;
	snprintf(cells->container, sizeof(cells->container), "%s", info->container);
	texts[CONTAINER] = cells->container;
	texts[PYTHON] = cells->python;
	texts[MODE] = info->mode;
	texts[NFRAME] = cells->nframe;
	if (info->coverage >= 0)
		snprintf(cells->coverage, sizeof(cells->coverage), "%.1f %%", 100 * info->coverage);
	texts[COVERAGE] = cells->coverage;
	texts[TAKEN] = text_time(info->time_nanos, cells->taken);
	texts[HELD] = held_format(compared[i].snapshot, cells->held, sizeof(cells->held));
}

static bool column_used(const struct cells *cells, size_t count, size_t column)
{
	for (size_t i = 0; i < count; i++) {
		if (*cells[i].texts[column])
			return true;
	}
	return false;
}

static struct error *snapshots_print(const struct cells *cells, size_t count, FILE *file)
{
	cleanup(table_cleanup) struct table *table = NULL;
	struct table_column used[COLUMN_COUNT];
	size_t from[COLUMN_COUNT], used_count = 0;

	for (size_t i = 0; i < COLUMN_COUNT; i++) {
		if (!column_used(cells, count, i))
			continue;
		from[used_count] = i;
		used[used_count++] = columns[i];
	}
	try(table_create(used, used_count, &table));
	for (size_t i = 0; i < count; i++) {
		const char *row[COLUMN_COUNT];

		for (size_t j = 0; j < used_count; j++) {
			const char *text = cells[i].texts[from[j]];

			row[j] = *text ? text : "-";
		}
		try(table_row(table, row));
	}
	table_print(table, file, terminal_has_colour(file));
	return NULL;
}

static const char *command_of(const struct compared *compared)
{
	const struct snapshot_info *info = &compared->snapshot->info;

	return *info->command_line ? info->command_line : info->executable;
}

/* One line if all are the same. */
static struct error *commands_print(const struct compared *compared, const struct cells *cells,
				    size_t count, FILE *file)
{
	bool same = true;

	for (size_t i = 1; i < count; i++)
		same = same && strcmp(command_of(&compared[i]), command_of(&compared[0])) == 0;
	for (size_t i = 0; i < (same ? 1 : count); i++) {
		cleanup_free char *shown = text_display(command_of(&compared[i]));

		if (!shown)
			return error_create_errno(ERROR_FAILED, ENOMEM, "a report");
		if (!*shown)
			continue;
		if (same)
			fprintf(file, "command: %s\n", shown);
		else
			fprintf(file, "command (%s): %s\n", cells[i].texts[NUMBER], shown);
	}
	return NULL;
}

/* "held: 10 KiB -> 12 KiB (+2048 B, +20.0 %) in 100 -> 110 blocks (+10)" */
static void totals_print(const char *title, const struct comparison *comparison, FILE *file)
{
	const struct comparison_value *totals = comparison->totals;
	size_t last = comparison->snapshot_count - 1;
	int64_t size_diff = (int64_t)totals[last].size - (int64_t)totals[0].size;
	int64_t count_diff = (int64_t)totals[last].count - (int64_t)totals[0].count;
	char number[TEXT_NUMBER_MAX];

	fprintf(file, "%s: ", title);
	if (comparison->side_by_side) {
		for (size_t i = 0; i <= last; i++)
			fprintf(file, "%s%s in %" PRIu64 " blocks", i > 0 ? " | " : "",
				text_size(totals[i].size, number), totals[i].count);
		fputc('\n', file);
		return;
	}
	for (size_t i = 0; i <= last; i++)
		fprintf(file, "%s%s", i > 0 ? " -> " : "", text_size(totals[i].size, number));
	fprintf(file, " (%s", text_size_diff(size_diff, number));
	if (totals[0].size > 0)
		fprintf(file, ", %+.1f %%", 100.0 * (double)size_diff / (double)totals[0].size);
	fputs(") in ", file);
	for (size_t i = 0; i <= last; i++)
		fprintf(file, "%s%" PRIu64, i > 0 ? " -> " : "", totals[i].count);
	fprintf(file, " blocks (%+" PRId64 ")\n", count_diff);
}

struct error *difference_print_head(const struct compared *compared,
				    const struct comparison *comparison, bool selected, FILE *file)
{
	size_t count = comparison->snapshot_count;
	cleanup_free struct cells *cells = calloc(count, sizeof(*cells));

	if (!cells)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a report");
	for (size_t i = 0; i < count; i++)
		cells_fill(compared, i, comparison, &cells[i]);
	try(snapshots_print(cells, count, file));
	try(commands_print(compared, cells, count, file));
	totals_print(selected ? "selected" : "held", comparison, file);
	return NULL;
}
