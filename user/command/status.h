/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A status object (record_status()) for people. */
#ifndef TMBPF_COMMAND_STATUS_H
#define TMBPF_COMMAND_STATUS_H

#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>

struct error;

/* Members; 0, WITHOUT or "" where there is none. */
uint64_t status_number(json_object *status, const char *key);
double status_real(json_object *status, const char *key, double without);
const char *status_text(json_object *status, const char *key);
/* The size of member KEY in BUFFER (TEXT_NUMBER_MAX); "not measured" where it is null. */
const char *status_size(json_object *status, const char *key, char *buffer);

/* Fails without memory. */
struct error *status_print(json_object *status, FILE *out);
void status_print_line(json_object *status, FILE *out);

/* Of a session that estimates: what it costs; and at most LIMIT lines that grow. */
void status_print_cost(json_object *status, FILE *out);
struct error *status_print_growth(json_object *status, size_t limit, FILE *out);

/* The lines about what is not seen: losses and coverage. */
void status_print_losses(json_object *status, FILE *out);

#endif
