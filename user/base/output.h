/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A file that appears whole or not at all.
 *
 * What is written goes to a nameless or temporary file in the same folder. output_commit() syncs
 * it, renames it over the old one and syncs the folder; until then, and if anything fails (a full
 * disk, say), a file of that name stays as it was and nothing is left behind. A path that is
 * not a regular file (a pipe, a terminal, /dev/full) is written to as it stands.
 */
#ifndef TMBPF_BASE_OUTPUT_H
#define TMBPF_BASE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct output;

/* Follows a symbolic link to an existing file; keeps that file's mode, else takes the umask's. */
struct error *output_create(const char *path, struct output **ret);
/* The same to an open DESCRIPTOR, which stays the caller's; NAME is for messages. */
struct error *output_create_descriptor(int descriptor, const char *name, struct output **ret);

/* Whether an option's PATH, "-" or NULL, means standard output. */
bool output_path_is_stdout(const char *path);
/* output_create(), or to standard output where PATH means that. */
struct error *output_create_path(const char *path, struct output **ret);
/*
 * Fails where output_create_path(PATH) would: for those that have something to write later. Leaves
 * nothing there, and opens no pipe or device.
 */
struct error *output_check(const char *path);

/* Buffered; a failure may show in a later call. */
struct error *output_write(struct output *output, const void *data, size_t size);

/* Everything is written, and the file in place, if this works. Nothing may be written later. */
struct error *output_commit(struct output *output);

/* Without a commit before, drops what was written. NULL is accepted. */
void output_destroy(struct output *output);

static inline void output_cleanup(struct output **output)
{
	output_destroy(*output);
}

#endif
