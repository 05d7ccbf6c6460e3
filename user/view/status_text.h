/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The status of a session, an object that the session answers, for people. */
#ifndef TMBPF_VIEW_STATUS_TEXT_H
#define TMBPF_VIEW_STATUS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct error;
struct json_object;
struct table;

/* Fewer windows than these tell of no line that it grows. */
#define STATUS_WINDOWS_LEAST 3

/* The size that the member KEY is in BUFFER (TEXT_NUMBER_MAX); "not measured" where it is null. */
const char *status_size(struct json_object *status, const char *key, char *buffer);

/* Fails without memory. */
struct error *status_print(struct json_object *status, FILE *out);
/* In one line, indented by DEPTH steps. */
void status_print_line(struct json_object *status, unsigned int depth, FILE *out);

/* Of a session that estimates: what it costs; and at most LIMIT lines that grow. */
void status_print_cost(struct json_object *status, FILE *out);
struct error *status_print_growth(struct json_object *status, size_t limit, FILE *out);

/* What is not seen: coverage and losses. */
void status_print_losses(struct json_object *status, FILE *out);

/* Whether a line of "growth" is shown to grow. */
bool status_grows(struct json_object *row);
/*
 * Adds a line of "growth" to a table of the live view; with PID, if it is not NULL, before the last
 * column.
 */
struct error *status_growth_row(struct json_object *row, const char *pid, struct table *table);
/*
 * The same of a line of "lines". It had BEFORE bytes at the last look; CURRENT bytes are held in
 * all.
 */
struct error *status_line_row(struct json_object *line, uint64_t current, uint64_t before,
			      const char *pid, struct table *table);
/* For BEFORE: there was no look before. */
#define STATUS_NO_LAST UINT64_MAX

#endif
