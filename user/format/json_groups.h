/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Statistics and differences as JSON, printed as they go. What they look like is said in
 * docs/statistics.schema.json and docs/differences.schema.json; a change that old readers would
 * not understand gets a new version.
 */
#ifndef TMBPF_FORMAT_JSON_GROUPS_H
#define TMBPF_FORMAT_JSON_GROUPS_H

#include <stddef.h>
#include <stdio.h>

struct comparison;
struct error;
struct json;
struct snapshot;
struct statistics;
struct tables;

#define JSON_STATISTICS_SCHEMA   "tmbpf-statistics"
#define JSON_STATISTICS_VERSION  1
#define JSON_DIFFERENCES_SCHEMA  "tmbpf-differences"
#define JSON_DIFFERENCES_VERSION 1

/* The first LIMIT groups, and how many were left out. SNAPSHOT is the one they are of. */
struct error *json_print_statistics(const struct snapshot *snapshot,
				    const struct statistics *statistics, size_t limit, FILE *file);

/*
 * The first LIMIT groups, and how many were left out. JSON's root has what else is to be said:
 * json_differences_init() has begun it.
 */
struct error *json_print_differences(struct json *json, const struct tables *tables,
				     const struct comparison *comparison, size_t limit, FILE *file);
/* To be followed by json_deinit(). */
void json_differences_init(struct json *json);

#endif
