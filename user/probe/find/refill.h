/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pymalloc's refill function, and where it keeps its state; see refill.c. */
#ifndef TMBPF_PROBE_FIND_REFILL_H
#define TMBPF_PROBE_FIND_REFILL_H

struct builder;
struct error;

/*
 * Finds both, adds the function's site, and audits whether a probe stands before each of its
 * callers.
 */
struct error *refill_sites(struct builder *builder);

#endif
