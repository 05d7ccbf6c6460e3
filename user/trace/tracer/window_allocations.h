/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The allocations that a sampling window has listed, by address. */
#ifndef TMBPF_TRACE_TRACER_WINDOW_ALLOCATIONS_H
#define TMBPF_TRACE_TRACER_WINDOW_ALLOCATIONS_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct tmbpf_allocation;

/* Forgets the allocations in the first COUNT places: none is complete until it is written anew. */
void window_allocations_clear(struct tmbpf_allocation *allocations, size_t count);
/*
 * Pointers to the complete ones of COUNT ALLOCATIONS, by address, and in time order at one address;
 * malloc'd. Others may still be written meanwhile.
 */
struct error *window_allocations_order(const struct tmbpf_allocation *allocations, size_t count,
				       const struct tmbpf_allocation ***ret, size_t *ret_count);
/*
 * Those of ORDER that were not in SEEN, an earlier order of the same window. They stay in order;
 * malloc'd.
 */
struct error *window_allocations_since(const struct tmbpf_allocation *const *order, size_t count,
				       const struct tmbpf_allocation *const *seen,
				       size_t seen_count, const struct tmbpf_allocation ***ret,
				       size_t *ret_count);
/* Keeps the last allocation at each address. Returns how many there are then. */
size_t window_allocations_unique(const struct tmbpf_allocation **allocations, size_t count);
/* One of the allocations at ADDRESS; NULL: there is none. */
const struct tmbpf_allocation *
window_allocations_find(const struct tmbpf_allocation *const *allocations, size_t count,
			uint64_t address);

#endif
