/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A status object (record_status()) for people. */
#ifndef TMBPF_VIEW_STATUS_TEXT_H
#define TMBPF_VIEW_STATUS_TEXT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct error;
struct table;

/* Members; 0, WITHOUT or "" where there is none. */
uint64_t status_number(json_object *status, const char *key);
double status_real(json_object *status, const char *key, double without);
const char *status_text(json_object *status, const char *key);
/* The size of member KEY in BUFFER (TEXT_NUMBER_MAX); "not measured" where it is null. */
const char *status_size(json_object *status, const char *key, char *buffer);

/* Fails without memory. */
struct error *status_print(json_object *status, FILE *out);
/* In one line, indented by DEPTH steps. */
void status_print_line(json_object *status, unsigned depth, FILE *out);

/* Of a session that estimates: what it costs; and at most LIMIT lines that grow. */
void status_print_cost(json_object *status, FILE *out);
struct error *status_print_growth(json_object *status, size_t limit, FILE *out);

/*
 * Rows of the tables of the live view, with PID before the last column, or without it (NULL): a line of "growth", and one of
 * "sites", which had BEFORE bytes when it was looked at last, where CURRENT bytes are held in all.
 */
struct error *status_growth_row(json_object *row, const char *pid, struct table *table);
struct error *status_site_row(json_object *site, uint64_t current, uint64_t before, const char *pid,
			      struct table *table);
/* For BEFORE: there was no look before. */
#define STATUS_NO_LAST UINT64_MAX
/* Whether a line of "growth" is shown to grow. */
bool status_grows(json_object *row);

/* The lines about what is not seen: losses and coverage. */
void status_print_losses(json_object *status, FILE *out);

#endif
