/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TMBPF_PROBE_FIND_ENTRIES_H
#define TMBPF_PROBE_FIND_ENTRIES_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/code/listing.h"
#include "probe/find/site.h"

struct builder;
struct error;

/*
 * The site at the entry of FUNCTION, which takes an allocator's arguments (ctx, then OPERATION's).
 * It is the first emulated instruction, else the first one, single-stepped. False where there is no
 * code.
 */
bool entry_find(struct listing *listing, uint64_t function, enum site_operation operation, bool raw,
		struct site *ret);

/* Adds the entries of the object domain's implementations. */
struct error *entries_sites(struct builder *builder);

/* Adds the entries of PyTraceMalloc_Track and _Untrack; warns of what is not there. */
struct error *track_sites(struct builder *builder);

#endif
