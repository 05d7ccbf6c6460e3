/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Promoted calls of the allocators; see guards.c. */
#ifndef TMBPF_PROBE_FIND_GUARDS_H
#define TMBPF_PROBE_FIND_GUARDS_H

#include <stdint.h>

struct builder;
struct error;

/* Finds the guards of both domains: builder->guards. */
struct error *guards_find(struct builder *builder);

/* The guard whose conditional jump stands at JUMP, or NULL. */
const struct guard *guard_at(const struct builder *builder, uint64_t jump);

/* Adds the object domain's guards to the sites. */
struct error *guards_sites(struct builder *builder);

#endif
