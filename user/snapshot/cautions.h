/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What makes the numbers of snapshots hard to compare. */
#ifndef TMBPF_SNAPSHOT_CAUTIONS_H
#define TMBPF_SNAPSHOT_CAUTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct snapshot;

struct caution {
	const char *name; /* an identifier: "traceback_limit" */
	char *text;       /* for people; may hold what a target chose: text_display() */
};

struct cautions { /* all zero: none */
	struct caution *items;
	size_t count, capacity;
};

/*
 * What differs among the COUNT SNAPSHOTS, and what one of them did not see. What a snapshot does
 * not tell is not held against it. FILES name them. IN_ORDER: the oldest should be the first.
 */
struct error *cautions_find(const char *const *files, const struct snapshot *const *snapshots,
			    size_t count, bool in_order, struct cautions *ret);
void cautions_deinit(struct cautions *cautions);

#endif
