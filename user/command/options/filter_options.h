/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The options that choose traces, of every command that reads a snapshot file. */
#ifndef TMBPF_COMMAND_OPTIONS_FILTER_OPTIONS_H
#define TMBPF_COMMAND_OPTIONS_FILTER_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

struct error;
struct filter;
struct snapshot;

struct filter_given {
	int key; /* of the option */
	const char *value;
};

struct filter_options { /* as they were given; all zero: none */
	const char *domain;
	bool all_frames;
	struct filter_given *given; /* the repeatable ones */
	size_t given_count, given_capacity;
	/* Of filter_options_check(). */
	struct filter *domain_filter; /* NULL: none */
	struct filter *filters;
	size_t filter_count;
};

/* To be a child of the command's parser, whose input for it is a struct filter_options. */
extern const struct argp filter_argp;

/* What --help says of patterns, to be put below a command's own text. */
#define FILTER_HELP                                                                                \
	"A PATTERN is matched with the whole file name: '*', '?', '[a-z]', '[!a-z]'; "             \
	"\":12\" at its end asks for a line, \"@1\" for a domain (to match such an end itself, "   \
	"write \"[:]12\" or \"[@]1\"). A trace is kept if it passes one of the inclusive "         \
	"filters, where there are any, and each of the exclusive ones.\n"

/* Makes the filters of what was given; a usage error says what is wrong with it. */
struct error *filter_options_check(struct filter_options *options);

/* Whether there is any filter. */
bool filter_options_any(const struct filter_options *options);

/* SNAPSHOT's traces that pass, as a new snapshot; NULL if there is no filter: all of them. */
struct error *filter_options_apply(const struct filter_options *options,
				   const struct snapshot *snapshot, struct snapshot **ret);

void filter_options_deinit(struct filter_options *options);

#endif
