/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The source lines of snapshots, for the views. */
#ifndef TMBPF_COMMAND_SOURCES_H
#define TMBPF_COMMAND_SOURCES_H

#include "view/place.h"
#include <stddef.h>

struct error;
struct snapshot;
struct sources;

/* FILES are the names of the COUNT snapshot files, SNAPSHOTS what was read from them. */
struct error *sources_create(const char *const *files, const struct snapshot *const *snapshots,
			     size_t count, struct sources **ret);
/* NULL is accepted. */
void sources_destroy(struct sources *sources);

static inline void sources_cleanup(struct sources **sources)
{
	sources_destroy(*sources);
}

/* Says on standard error if lines are missing because reading them took too long. */
void sources_warn(const struct sources *sources);

/* Good as long as SOURCES. */
struct source_lines sources_lines(struct sources *sources);

#endif
