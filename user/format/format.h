/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The formats of snapshot files, in one table. */
#ifndef TMBPF_FORMAT_FORMAT_H
#define TMBPF_FORMAT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct output;
struct snapshot;
struct tables;

struct format_options {
	uint32_t python_version; /* a hexversion: who is to load it; 0: whom it is of */
	/* An older snapshot to show the difference to, on the same tables; NULL: none. */
	const struct snapshot *base;
};

struct format {
	const char *name;
	const char *summary;
	/* Either may be NULL: then the format is only written, or only read. */
	struct error *(*read)(const char *path, struct tables *tables, struct snapshot **ret);
	/* Does not commit OUTPUT. */
	struct error *(*write)(const struct snapshot *snapshot,
			       const struct format_options *options, struct output *output);
	bool differences; /* options->base is shown; other writers do not look at it */
};

extern const struct format formats[];
extern const size_t format_count;

/* NULL if there is none. */
const struct format *format_find(const char *name);

/* What is opened for PATH: "-" is standard input. Borrowed. */
const char *snapshot_file_path(const char *path);

/* A snapshot file, as `tmbpf snapshot` writes it, or what Python dumped. */
struct error *snapshot_file_read(const char *path, struct tables *tables, struct snapshot **ret);
struct error *snapshot_file_write(const struct snapshot *snapshot, const char *path);

#endif
