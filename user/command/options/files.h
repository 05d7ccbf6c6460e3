/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The files that a command was given, in order. */
#ifndef TMBPF_COMMAND_OPTIONS_FILES_H
#define TMBPF_COMMAND_OPTIONS_FILES_H

#include <argp.h>
#include <stddef.h>

struct files {
	const char **list; /* to be freed; what it leads to is the command line's */
	size_t count, capacity;
};

/* For a parser: 0, or ENOMEM. */
error_t files_add(struct files *files, const char *file);

#endif
