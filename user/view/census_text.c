// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A census for people. */
#include "view/census_text.h"

#include <errno.h>
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/census.h"
#include "snapshot/snapshot.h"
#include "view/table.h"

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "a report");
}

/* BEFORE and TEXT, made fit for a terminal; nothing at all if TEXT is empty. */
static struct error *print_text(FILE *file, const char *before, const char *text)
{
	cleanup_free char *shown = NULL;

	if (!text || !*text)
		return NULL;
	shown = text_display(text);
	if (!shown)
		return no_memory();
	fprintf(file, "%s%s", before, shown);
	return NULL;
}

static void print_time(int64_t nanos, FILE *file)
{
	char when[TEXT_NUMBER_MAX];

	if (*text_time(nanos, when))
		fprintf(file, ", %s UTC", when);
}

struct totals {
	uint64_t count, size;
};

static struct totals totals_of(const struct census *census)
{
	struct totals totals = {0};

	for (size_t i = 0; i < census->size_count; i++) {
		totals.count += census->sizes[i].count;
		totals.size += census->sizes[i].total;
	}
	return totals;
}

/* Who else allocates, and what that may come to. */
static struct error *print_allocators(const struct census_info *info, FILE *file)
{
	bool absent = info->malloc_absent && *info->malloc_absent;
	bool unread = info->allocators_unread && *info->allocators_unread;
	char size[TEXT_NUMBER_MAX];

	if (absent) {
		try(print_text(file, "not counted: malloc's blocks: ", info->malloc_absent));
		fputc('\n', file);
	}
	if (unread) {
		try(print_text(file, "not counted: blocks of ", info->allocators_unread));
		fputs(", whose heaps are not read", file);
		if (info->objects_unread && *info->objects_unread)
			fputs(": all objects are among them", file);
		fputc('\n', file);
	}
	if (info->allocators_unknown && *info->allocators_unknown) {
		try(print_text(file, "perhaps not counted: blocks of allocators not known: ",
			       info->allocators_unknown));
		fputc('\n', file);
	}
	if ((absent || unread) && info->unaccounted != UINT64_MAX)
		fprintf(file, "not accounted for: %s of anonymous memory\n",
			text_size(info->unaccounted, size));
	return NULL;
}

static void print_unread(const struct census_info *info, FILE *file)
{
	char size[TEXT_NUMBER_MAX];

	if (info->unstable_pools)
		fprintf(file,
			"not counted: %" PRIu64 " pools that changed each time they were read\n",
			info->unstable_pools);
	if (info->lost_arenas)
		fprintf(file, "not counted: %" PRIu64 " arenas that were given back meanwhile\n",
			info->lost_arenas);
	if (info->malloc_unknown)
		fprintf(file, "not counted: %s of malloc's in which no blocks could be made out\n",
			text_size(info->malloc_unknown, size));
	if (info->malloc_vanished)
		fprintf(file,
			"%s of malloc's were given back meanwhile: blocks in them may be counted\n",
			text_size(info->malloc_vanished, size));
}

struct error *census_print_head(const struct census *census, const struct census *before,
				FILE *file)
{
	const struct census_info *info = &census->info;
	struct totals totals = totals_of(census), old;
	char version[32], size[TEXT_NUMBER_MAX], other[TEXT_NUMBER_MAX];

	fprintf(file, "pid %" PRId32, info->pid);
	try(print_text(file, ": ", info->command_line));
	try(print_text(file, ", on ", info->host));
	snapshot_python_version(info->python_version, version, sizeof(version));
	fprintf(file, "\nCPython %s", version);
	print_time(info->time_nanos, file);
	fputc('\n', file);
	if (info->heaps == 0)
		fprintf(file, "pymalloc: %s\n", *info->objects_unread ? "not read" : "not used");
	else
		fprintf(file, "pymalloc: %" PRIu64 " arena%s", info->arenas,
			info->arenas == 1 ? "" : "s");
	if (info->heaps > 1)
		fprintf(file, " in %" PRIu64 " heaps", info->heaps);
	fprintf(file, "%sheld: %s in %" PRIu64 " blocks", info->heaps ? "\n" : "",
		text_size(totals.size, size), totals.count);
	fprintf(file, ", RSS %s\n", text_size(info->rss, other));
	if (before) {
		old = totals_of(before);
		fprintf(file, "before: %s in %" PRIu64 " blocks", text_size(old.size, size),
			old.count);
		fprintf(file, ", RSS %s", text_size(before->info.rss, other));
		print_time(before->info.time_nanos, file);
		if (before->info.pid != info->pid)
			fprintf(file, ", of pid %" PRId32, before->info.pid);
		fputc('\n', file);
	}
	print_unread(info, file);
	return print_allocators(info, file);
}

struct error *census_print_memory(const struct census *census, FILE *file)
{
	static const struct table_column columns[] = {
		{"size", true}, {"share", true}, {"anonymous memory", false}};
	struct table *table;
	struct error *error;

	if (census->part_count == 0)
		return NULL;
	fputc('\n', file);
	try(table_create(columns, array_size(columns), &table));
	error = NULL;
	for (size_t i = 0; i < census->part_count && !error; i++) {
		const struct census_part *part = &census->parts[i];
		char size[TEXT_NUMBER_MAX], share[TEXT_NUMBER_MAX];

		text_size(part->size, size);
		text_share(part->size, census->info.rss_anonymous, share);
		error = table_row(table, (const char *const[]){size, share, part->name});
	}
	if (!error)
		table_print(table, file, terminal_has_colour(file));
	table_destroy(table);
	return error;
}

/* A row's cells: the first COUNT, then its name. */
struct cells {
	char text[5][TEXT_NUMBER_MAX];
	size_t count;
};

static char *cell(struct cells *cells)
{
	return cells->text[cells->count++];
}

static void change_format(const struct census_row *row, char buffer[TEXT_NUMBER_MAX])
{
	double diff = (double)row->size - (double)row->size_before;

	if (row->size_before == 0 && row->count_before == 0)
		snprintf(buffer, TEXT_NUMBER_MAX, "new");
	else if (row->size == 0 && row->count == 0)
		snprintf(buffer, TEXT_NUMBER_MAX, "gone");
	else if (row->size_before == 0)
		snprintf(buffer, TEXT_NUMBER_MAX, "-");
	else
		snprintf(buffer, TEXT_NUMBER_MAX, "%+.1f %%",
			 100.0 * diff / (double)row->size_before);
}

static void cells_compared(const struct census_row *row, struct cells *cells)
{
	text_size_diff((int64_t)(row->size - row->size_before), cell(cells));
	change_format(row, cell(cells));
	text_size(row->size, cell(cells));
	snprintf(cell(cells), TEXT_NUMBER_MAX, "%+" PRId64,
		 (int64_t)(row->count - row->count_before));
	snprintf(cell(cells), TEXT_NUMBER_MAX, "%" PRIu64, row->count);
}

static void cells_plain(const struct census_rows *rows, const struct census_row *row,
			struct cells *cells)
{
	text_size(row->size, cell(cells));
	text_share(row->size, rows->total_size, cell(cells));
	if (rows->by == CENSUS_BY_OWNER)
		text_size(row->owned, cell(cells));
	snprintf(cell(cells), TEXT_NUMBER_MAX, "%" PRIu64, row->count);
	text_average(row->size, row->count, cell(cells));
}

static struct error *row_add(struct table *table, const struct census_rows *rows,
			     const struct census_row *row, bool compared)
{
	struct cells cells = {.count = 0};
	const char *texts[6];
	size_t i;

	if (compared)
		cells_compared(row, &cells);
	else
		cells_plain(rows, row, &cells);
	for (i = 0; i < cells.count; i++)
		texts[i] = cells.text[i];
	texts[i] = row->name;
	try(table_row(table, texts));
	if (compared && row->size != row->size_before)
		table_colour(table, 0, row->size > row->size_before ? TABLE_RED : TABLE_GREEN);
	return NULL;
}

static struct error *rows_table(const struct census_rows *rows, bool compared, struct table **ret)
{
	static const char *const names[] = {[CENSUS_BY_PART] = "type",
					    [CENSUS_BY_TYPE] = "type",
					    [CENSUS_BY_SIZE] = "size of a block",
					    [CENSUS_BY_OWNER] = "owner"};
	const struct table_column name = {names[rows->by], false};
	const struct table_column both[] = {{"size_diff", true},  {"change", true}, {"size", true},
					    {"count_diff", true}, {"count", true},  name};
	const struct table_column owners[] = {{"size", true},    {"share", true},   {"owned", true},
					      {"objects", true}, {"average", true}, name};
	const struct table_column others[] = {
		{"size", true}, {"share", true}, {"count", true}, {"average", true}, name};

	if (compared)
		return table_create(both, array_size(both), ret);
	if (rows->by == CENSUS_BY_OWNER)
		return table_create(owners, array_size(owners), ret);
	return table_create(others, array_size(others), ret);
}

/* What LIMIT left out. */
static void print_rest(const struct census_rows *rows, bool compared, size_t shown,
		       size_t unchanged, FILE *file)
{
	uint64_t size = 0, before = 0;
	size_t count = rows->count - unchanged - shown;
	char text[TEXT_NUMBER_MAX];

	for (size_t i = shown; i < shown + count; i++) {
		size += rows->rows[i].size;
		before += rows->rows[i].size_before;
	}
	if (count > 0)
		fprintf(file, "\n%zu more not shown: %s; --limit 0 shows all\n", count,
			compared ? text_size_diff((int64_t)(size - before), text)
				 : text_size(size, text));
	if (unchanged > 0)
		fprintf(file, "%s%zu unchanged\n", count > 0 ? "" : "\n", unchanged);
}

static bool row_same(const struct census_row *row)
{
	return row->size == row->size_before && row->count == row->count_before;
}

struct error *census_print_rows(const struct census_rows *rows, bool compared, size_t limit,
				FILE *file)
{
	size_t shown = 0, unchanged = 0;
	struct error *error = NULL;
	struct table *table;

	/* They come last. */
	for (size_t i = 0; i < rows->count; i++)
		unchanged += compared && row_same(&rows->rows[i]);
	try(rows_table(rows, compared, &table));
	for (; shown < rows->count - unchanged && shown < limit && !error; shown++)
		error = row_add(table, rows, &rows->rows[shown], compared);
	if (!error) {
		fputc('\n', file);
		table_print(table, file, terminal_has_colour(file));
		print_rest(rows, compared, shown, unchanged, file);
	}
	table_destroy(table);
	return error;
}
