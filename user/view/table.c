// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Tables whose columns line up on a terminal. */
#include "view/table.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/environment.h"
#include "base/error.h"
#include "base/text.h"
#include <errno.h>
#include <string.h>

#define GAP 2 /* columns of blanks between two of the table's */

struct column {
	const char *title;
	bool right;
	size_t width;
};

struct cell {
	char *text; /* NULL: none */
	enum table_colour colour;
};

struct table {
	struct column *columns;
	size_t column_count;
	/* Rows of column_count cells, row by row; a note has no text in all but the last. */
	struct cell *cells;
	size_t cell_count, cell_capacity;
};

struct error *table_create(const struct table_column *columns, size_t count, struct table **ret)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table)
		table->columns = calloc(count, sizeof(*table->columns));
	if (!table || !table->columns) {
		free(table);
		return error_create_errno(ERROR_FAILED, ENOMEM, "a table");
	}
	table->column_count = count;
	for (size_t i = 0; i < count; i++)
		table->columns[i] = (struct column){columns[i].title, columns[i].right,
						    text_width(columns[i].title)};
	*ret = table;
	return NULL;
}

void table_destroy(struct table *table)
{
	if (!table)
		return;
	for (size_t i = 0; i < table->cell_count; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table->columns);
	free(table);
}

static struct error *table_reserve(struct table *table)
{
	return array_reserve(&table->cells, &table->cell_capacity, table->cell_count,
			     table->column_count, sizeof(*table->cells));
}

struct error *table_row(struct table *table, const char *const *cells)
{
	try(table_reserve(table));
	for (size_t i = 0; i < table->column_count; i++) {
		char *shown = text_display(cells[i]);
		size_t width;

		if (!shown) {
			/* What is half a row is none. */
			while (i-- > 0)
				free(table->cells[table->cell_count + i].text);
			return error_create_errno(ERROR_FAILED, ENOMEM, "a table");
		}
		width = text_width(shown);
		if (width > table->columns[i].width)
			table->columns[i].width = width;
		table->cells[table->cell_count + i] = (struct cell){.text = shown};
	}
	table->cell_count += table->column_count;
	return NULL;
}

void table_colour(struct table *table, size_t column, enum table_colour colour)
{
	table->cells[table->cell_count - table->column_count + column].colour = colour;
}

struct error *table_note(struct table *table, const char *text)
{
	char *shown;

	try(table_reserve(table));
	shown = text_display(text);
	if (!shown)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a table");
	for (size_t i = 0; i + 1 < table->column_count; i++)
		table->cells[table->cell_count++] = (struct cell){0};
	table->cells[table->cell_count++] = (struct cell){.text = shown};
	return NULL;
}

struct error *table_indented(struct table *table, const char *text)
{
	cleanup_free char *indented = NULL;

	if (asprintf(&indented, "  %s", text) < 0) {
		indented = NULL;
		return error_create_errno(ERROR_FAILED, ENOMEM, "a table");
	}
	return table_note(table, indented);
}

static void blanks_print(FILE *file, size_t count)
{
	fprintf(file, "%*s", (int)count, "");
}

static void cell_print(const struct table *table, size_t i, const char *shown, const char *colour,
		       FILE *file)
{
	const struct column *column = &table->columns[i];
	size_t width = text_width(shown);
	size_t fill = width < column->width ? column->width - width : 0;
	bool last = i + 1 == table->column_count;

	if (column->right)
		blanks_print(file, fill);
	fprintf(file, "%s%s%s", colour, shown, *colour ? "\033[0m" : "");
	if (!column->right && !last)
		blanks_print(file, fill);
	if (!last)
		blanks_print(file, GAP);
}

static void titles_print(const struct table *table, FILE *file, bool colour)
{
	if (colour)
		fputs("\033[1m", file);
	for (size_t i = 0; i < table->column_count; i++)
		cell_print(table, i, table->columns[i].title, "", file);
	fputs(colour ? "\033[0m\n" : "\n", file);
}

void table_print(const struct table *table, FILE *file, bool colour)
{
	static const char *const escapes[] = {
		[TABLE_PLAIN] = "", [TABLE_RED] = "\033[31m", [TABLE_GREEN] = "\033[32m"};

	if (table->cell_count == 0)
		return;
	titles_print(table, file, colour);
	for (size_t i = 0; i < table->cell_count; i++) {
		const struct cell *cell = &table->cells[i];

		cell_print(table, i % table->column_count, cell->text ? cell->text : "",
			   colour ? escapes[cell->colour] : "", file);
		if ((i + 1) % table->column_count == 0)
			fputc('\n', file);
	}
}

bool terminal_has_colour(FILE *file)
{
	const char *refused = environment_user("NO_COLOR");
	const char *terminal = environment_user("TERM");

	/* no-color.org: set and not empty. */
	if (refused && *refused)
		return false;
	return isatty(fileno(file)) && terminal && strcmp(terminal, "dumb") != 0;
}
