/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What hooks in the allocator tables call; see hooks.c. */
#ifndef TMBPF_PROBE_FIND_HOOKS_H
#define TMBPF_PROBE_FIND_HOOKS_H

#include <stddef.h>
#include <stdint.h>

struct builder;
struct error;
struct plan;

/*
 * Adds the sites behind the calls that hooks, FUNCTIONS and what they call, make through their
 * context.
 */
struct error *hooks_results(struct builder *builder, const uint64_t *functions, size_t count);

/* Leaves out of FOUND what is probed by PLAN already. */
void hooks_subtract(struct plan *found, const struct plan *plan);

#endif
