// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What differs between snapshots, for people: a table, or tracebacks. */
#include "view/difference.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "snapshot/comparison.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include "view/place.h"
#include "view/table.h"
#include <errno.h>
#include <inttypes.h>

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "a report");
}

static const struct comparison_value *values_of(const struct comparison *comparison,
						const struct difference *difference)
{
	return &comparison->values[difference->values];
}

static const struct comparison_value *last_of(const struct comparison *comparison,
					      const struct difference *difference)
{
	return &values_of(comparison, difference)[comparison->snapshot_count - 1];
}

/* Whether it is the same in all snapshots. */
static bool difference_none(const struct comparison *comparison,
			    const struct difference *difference)
{
	const struct comparison_value *values = values_of(comparison, difference);

	for (size_t i = 1; i < comparison->snapshot_count; i++) {
		if (values[i].size != values[0].size || values[i].count != values[0].count)
			return false;
	}
	return true;
}

/* The last snapshot that has something there. */
static size_t snapshot_of(const struct comparison *comparison, const struct difference *difference)
{
	const struct comparison_value *values = values_of(comparison, difference);
	size_t i = comparison->snapshot_count;

	while (i-- > 0) {
		if (values[i].count > 0)
			return i;
	}
	return comparison->snapshot_count - 1;
}

/* The snapshot that has most there. */
static size_t most_of(const struct comparison *comparison, const struct difference *difference)
{
	const struct comparison_value *values = values_of(comparison, difference);
	size_t most = 0;

	for (size_t i = 1; i < comparison->snapshot_count; i++)
		if (values[i].size > values[most].size)
			most = i;
	return most;
}

/* How much that is of what was there: "+12.3 %", or that it came or went. */
static char *change_format(const struct comparison *comparison, const struct difference *difference,
			   char buffer[TEXT_NUMBER_MAX])
{
	const struct comparison_value *first = values_of(comparison, difference);
	const struct comparison_value *last = last_of(comparison, difference);

	if (difference->noise)
		snprintf(buffer, TEXT_NUMBER_MAX, "noise");
	else if (first->count == 0)
		snprintf(buffer, TEXT_NUMBER_MAX, "new");
	else if (last->count == 0)
		snprintf(buffer, TEXT_NUMBER_MAX, "gone");
	else if (first->size == 0)
		snprintf(buffer, TEXT_NUMBER_MAX, "-");
	else
		snprintf(buffer, TEXT_NUMBER_MAX, "%+.1f %%",
			 100.0 * (double)difference->size_diff / (double)first->size);
	return buffer;
}

static enum table_colour colour_of(int64_t diff)
{
	if (diff == 0)
		return TABLE_PLAIN;
	return diff > 0 ? TABLE_RED : TABLE_GREEN;
}

struct row {
	struct place place;
	char size[TEXT_NUMBER_MAX], size_diff[TEXT_ESTIMATE_MAX], change[TEXT_NUMBER_MAX];
	char count[TEXT_NUMBER_MAX], count_diff[TEXT_NUMBER_MAX];
};

static void row_format(const struct tables *tables, const struct comparison *comparison,
		       const struct difference *difference, struct row *row)
{
	const struct comparison_value *last = last_of(comparison, difference);

	char number[TEXT_NUMBER_MAX];

	row->place = place_of_difference(tables, comparison, difference);
	text_size(last->size, row->size);
	text_estimate(text_size_diff(difference->size_diff, number), difference->size_error,
		      row->size_diff);
	change_format(comparison, difference, row->change);
	snprintf(row->count, sizeof(row->count), "%" PRIu64, last->count);
	snprintf(row->count_diff, sizeof(row->count_diff), "%+" PRId64, difference->count_diff);
}

/* A group's line in either table. */
struct printing {
	const struct compared *compared;
	const struct tables *tables;
	const struct comparison *comparison;
	const struct source_lines *lines;
	struct table *table;
};

static struct error *source_add(const struct printing *printing, const struct place *place,
				const struct difference *difference)
{
	cleanup_free char *source =
		place_source(place, printing->lines, snapshot_of(printing->comparison, difference));

	return source && *source ? table_indented(printing->table, source) : NULL;
}

/* With two snapshots: the new one's size, and what changed. */
static const struct table_column two_columns[] = {
	{"size_diff", true},  {"change", true}, {"size", true},
	{"count_diff", true}, {"count", true},  {"place", false},
};

static struct error *two_add(const struct printing *printing, const struct difference *difference)
{
	struct row row;
	cleanup_free char *place = NULL;

	row_format(printing->tables, printing->comparison, difference, &row);
	place = place_text(&row.place);
	if (!place)
		return no_memory();
	try(table_row(printing->table, (const char *const[]){row.size_diff, row.change, row.size,
							     row.count_diff, row.count, place}));
	table_colour(printing->table, 0, colour_of(difference->size_diff));
	return source_add(printing, &row.place, difference);
}

/* "size 1", or whose it is; a file of no known process is called by its number. */
static void title_format(const struct compared *compared, const struct comparison *comparison,
			 size_t i, char *buffer, size_t size)
{
	if (comparison->side_by_side && compared[i].snapshot->info.pid > 0)
		snprintf(buffer, size, "pid %" PRId32, compared[i].snapshot->info.pid);
	else
		snprintf(buffer, size, "size %zu", i + 1);
}

/* With more: the size in each, the difference of the last to the first, and the mark of a leak. */
static struct error *many_columns(const struct compared *compared,
				  const struct comparison *comparison, struct table_column **ret,
				  char (**ret_titles)[32])
{
	static const struct table_column in_order[] = {
		{"size_diff", true}, {"count_diff", true}, {"grows", false}, {"place", false}};
	static const struct table_column side_by_side[] = {
		{"apart", true}, {"blocks", true}, {"most in", false}, {"place", false}};
	const struct table_column *behind = comparison->side_by_side ? side_by_side : in_order;
	size_t count = comparison->snapshot_count;
	cleanup_free struct table_column *columns =
		calloc(count + array_size(in_order), sizeof(*columns));
	char(*titles)[32] = calloc(count, sizeof(*titles));

	if (!columns || !titles) {
		free(titles);
		return no_memory();
	}
	for (size_t i = 0; i < count; i++) {
		title_format(compared, comparison, i, titles[i], sizeof(titles[i]));
		columns[i] = (struct table_column){titles[i], true};
	}
	for (size_t i = 0; i < array_size(in_order); i++)
		columns[count + i] = behind[i];
	*ret = take(columns);
	*ret_titles = titles;
	return NULL;
}

static struct error *many_add(const struct printing *printing, const struct difference *difference)
{
	const struct comparison_value *values = values_of(printing->comparison, difference);
	size_t count = printing->comparison->snapshot_count;
	cleanup_free const char **cells = calloc(count + 4, sizeof(*cells));
	cleanup_free char(*sizes)[TEXT_NUMBER_MAX] = calloc(count, sizeof(*sizes));
	cleanup_free char *place = NULL;
	char most[32];
	struct row row;

	row_format(printing->tables, printing->comparison, difference, &row);
	place = place_text(&row.place);
	if (!cells || !sizes || !place)
		return no_memory();
	for (size_t i = 0; i < count; i++)
		cells[i] = text_size(values[i].size, sizes[i]);
	cells[count] = row.size_diff;
	cells[count + 1] = row.count_diff;
	cells[count + 2] = difference->grows ? "each step" : "";
	if (printing->comparison->side_by_side) {
		title_format(printing->compared, printing->comparison,
			     most_of(printing->comparison, difference), most, sizeof(most));
		cells[count + 2] = difference->noise ? "noise" : most;
	}
	cells[count + 3] = place;
	try(table_row(printing->table, cells));
	table_colour(printing->table, count, colour_of(difference->size_diff));
	if (difference->grows)
		table_colour(printing->table, count + 2, TABLE_RED);
	return source_add(printing, &row.place, difference);
}

static bool difference_any(const struct comparison *comparison)
{
	for (size_t i = 0; i < comparison->count; i++) {
		if (!difference_none(comparison, &comparison->items[i]))
			return true;
	}
	return false;
}

/* How many groups are to be gone through for the first LIMIT that differ. */
static size_t range_find(const struct comparison *comparison, size_t limit)
{
	size_t i, shown = 0;

	for (i = 0; i < comparison->count && shown < limit; i++) {
		if (!difference_none(comparison, &comparison->items[i]))
			shown++;
	}
	return i;
}

static struct error *print_table(const struct compared *compared, const struct tables *tables,
				 const struct comparison *comparison, size_t range,
				 const struct source_lines *lines, FILE *file)
{
	cleanup(table_cleanup) struct table *table = NULL;
	struct printing printing = {compared, tables, comparison, lines, NULL};
	cleanup_free struct table_column *columns = NULL;
	cleanup_free char(*titles)[32] = NULL;
	bool many = comparison->snapshot_count > 2 || comparison->side_by_side;

	if (many) {
		try(many_columns(compared, comparison, &columns, &titles));
		try(table_create(columns, comparison->snapshot_count + 4, &table));
	} else {
		try(table_create(two_columns, array_size(two_columns), &table));
	}
	printing.table = table;
	for (size_t i = 0; i < range; i++) {
		const struct difference *difference = &comparison->items[i];

		if (difference_none(comparison, difference))
			continue;
		try(many ? many_add(&printing, difference) : two_add(&printing, difference));
	}
	table_print(table, file, terminal_has_colour(file));
	return NULL;
}

static void print_sizes(const struct comparison *comparison, const struct difference *difference,
			FILE *file)
{
	const struct comparison_value *values = values_of(comparison, difference);
	char number[TEXT_NUMBER_MAX];

	for (size_t i = 0; i < comparison->snapshot_count; i++)
		fprintf(file, "%s%s",
			i == 0                     ? ""
			: comparison->side_by_side ? " | "
						   : " -> ",
			text_size(values[i].size, number));
	if (comparison->snapshot_count > 2 && difference->grows)
		fputs(", grows in each step", file);
}

static struct error *print_tracebacks(const struct tables *tables,
				      const struct comparison *comparison, size_t range,
				      const struct source_lines *lines, FILE *file)
{
	static const char *const escapes[] = {[TABLE_PLAIN] = "\033[1m",
					      [TABLE_RED] = "\033[1;31m",
					      [TABLE_GREEN] = "\033[1;32m"};
	bool colour = terminal_has_colour(file), first = true;

	for (size_t i = 0; i < range; i++) {
		const struct difference *difference = &comparison->items[i];
		struct row row;

		if (difference_none(comparison, difference))
			continue;
		row_format(tables, comparison, difference, &row);
		fprintf(file, "%s%s%s (%s)%s: ", first ? "" : "\n",
			colour ? escapes[colour_of(difference->size_diff)] : "", row.size_diff,
			comparison->side_by_side ? "apart" : row.change, colour ? "\033[0m" : "");
		print_sizes(comparison, difference, file);
		fprintf(file, "; count %s (%s)\n", row.count, row.count_diff);
		try(traceback_print(tables, difference->traceback, lines,
				    snapshot_of(comparison, difference), file));
		first = false;
	}
	return NULL;
}

static void print_left_out(const struct comparison *comparison, size_t range, FILE *file)
{
	size_t left = 0, unchanged = 0;
	int64_t size_diff = 0, count_diff = 0;
	char number[TEXT_NUMBER_MAX];

	for (size_t i = 0; i < comparison->count; i++) {
		const struct difference *difference = &comparison->items[i];

		if (difference_none(comparison, difference)) {
			unchanged++;
		} else if (i >= range) {
			left++;
			/* Cumulative groups overlap, and their sum means nothing. */
			size_diff += comparison->cumulative ? 0 : difference->size_diff;
			count_diff += comparison->cumulative ? 0 : difference->count_diff;
		}
	}
	if (left > 0) {
		fprintf(file, "\n%zu more not shown", left);
		/* What is apart has no sum either. */
		if (!comparison->cumulative && !comparison->side_by_side)
			fprintf(file, ": %s in %+" PRId64 " blocks",
				text_size_diff(size_diff, number), count_diff);
		fputs("; --limit 0 shows all\n", file);
	}
	if (unchanged > 0)
		fprintf(file, "%s%zu %s\n", left > 0 ? "" : "\n", unchanged,
			comparison->side_by_side ? "alike in all" : "unchanged");
}

struct error *difference_print_groups(const struct compared *compared, const struct tables *tables,
				      const struct comparison *comparison, size_t limit,
				      const struct source_lines *lines, FILE *file)
{
	size_t range = range_find(comparison, limit);

	if (!difference_any(comparison))
		fputs("no difference\n", file);
	else if (comparison->group_by == GROUP_BY_TRACEBACK)
		try(print_tracebacks(tables, comparison, range, lines, file));
	else
		try(print_table(compared, tables, comparison, range, lines, file));
	print_left_out(comparison, range, file);
	return NULL;
}

static int compare_growth(const void *left, const void *right)
{
	const struct difference *const *one = left, *const *other = right;

	/* Of what grew alike, the earlier in the comparison's order comes first. */
	if ((*one)->size_diff == (*other)->size_diff)
		return (*one > *other) - (*one < *other);
	return (*one)->size_diff < (*other)->size_diff ? 1 : -1;
}

struct error *difference_print_growth(const struct tables *tables,
				      const struct comparison *comparison, size_t limit, FILE *file)
{
	cleanup_free const struct difference **grown =
		calloc(comparison->count + 1, sizeof(*grown));
	size_t count = 0;

	if (!grown)
		return no_memory();
	for (size_t i = 0; i < comparison->count; i++) {
		if (comparison->items[i].size_diff > 0)
			grown[count++] = &comparison->items[i];
	}
	qsort(grown, count, sizeof(const struct difference *), compare_growth);
	for (size_t i = 0; i < count && i < limit; i++) {
		struct place place = place_of_difference(tables, comparison, grown[i]);
		cleanup_free char *text = place_text(&place);
		cleanup_free char *shown = text ? text_display(text) : NULL;
		char number[TEXT_NUMBER_MAX];

		if (!shown)
			return no_memory();
		fprintf(file, "  %s %s\n", text_size_diff(grown[i]->size_diff, number), shown);
	}
	return NULL;
}
