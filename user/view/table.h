/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tables of text whose columns line up on a terminal, also with wide characters. Cells are shown
 * as text_display() makes them: what comes from a target cannot steer the terminal.
 */
#ifndef TMBPF_VIEW_TABLE_H
#define TMBPF_VIEW_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct error;
struct table;

struct table_column {
	const char *title; /* "" for none */
	bool right;        /* numbers; the last column is best left-aligned */
};

/* COLUMNS are COUNT, copied; their titles are borrowed. */
struct error *table_create(const struct table_column *columns, size_t count, struct table **ret);
/* NULL is accepted. */
void table_destroy(struct table *table);

static inline void table_cleanup(struct table **table)
{
	table_destroy(*table);
}

/* A row of as many CELLS as there are columns, copied. */
struct error *table_row(struct table *table, const char *const *cells);
/* Growth, shrinking; nothing of either. */
enum table_colour { TABLE_PLAIN, TABLE_RED, TABLE_GREEN };

/* The colour of a cell of the last row, where there is colour. */
void table_colour(struct table *table, size_t column, enum table_colour colour);
/* A line of its own below the last row, from the last column on. */
struct error *table_note(struct table *table, const char *text);
/* The same, two columns further in. */
struct error *table_indented(struct table *table, const char *text);

/* Titles, if there is a row, and rows; with COLOUR the titles are bold, and cells coloured. */
void table_print(const struct table *table, FILE *file, bool colour);

/* Whether FILE is a terminal that is to have colour: NO_COLOR and TERM are honoured. */
bool terminal_has_colour(FILE *file);

#endif
