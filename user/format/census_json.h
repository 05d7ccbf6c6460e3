/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A census as JSON (docs/census.schema.json): written, and read again to be compared with. */
#ifndef TMBPF_FORMAT_CENSUS_JSON_H
#define TMBPF_FORMAT_CENSUS_JSON_H

struct census;
struct error;
struct output;

#define CENSUS_JSON_SCHEMA  "tmbpf-census"
#define CENSUS_JSON_VERSION 2

struct error *census_json_write(const struct census *census, struct output *output);

/*
 * Reads the file PATH ("-" is standard input), whose content is not trusted: what is no census,
 * of a newer version, or damaged is refused with what is wrong. What an older version did not
 * tell is empty.
 */
struct error *census_json_read(const char *path, struct census **ret);

#endif
