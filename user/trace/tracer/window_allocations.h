/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a window has listed: births, by their address. */
#ifndef TMBPF_TRACE_TRACER_WINDOW_ALLOCATIONS_H
#define TMBPF_TRACE_TRACER_WINDOW_ALLOCATIONS_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct tmbpf_allocation;

/* Forgets what a window listed in the first COUNT places: no birth is complete until it is written anew. */
void window_allocations_clear(struct tmbpf_allocation *births, size_t count);
/*
 * Pointers to those of the COUNT BIRTHS that are complete by address, of one address in their order; malloc'd. Births may go
 * on being written meanwhile.
 */
struct error *window_allocations_order(const struct tmbpf_allocation *births, size_t count,
				       const struct tmbpf_allocation ***ret, size_t *ret_count);
/* Those of ORDER that were not there when SEEN, of the same window, was ordered: in their order, malloc'd. */
struct error *window_allocations_since(const struct tmbpf_allocation *const *order, size_t count,
				       const struct tmbpf_allocation *const *seen,
				       size_t seen_count, const struct tmbpf_allocation ***ret,
				       size_t *ret_count);
/* Keeps the last birth at each address of those ordered; how many there are. */
size_t window_allocations_unique(const struct tmbpf_allocation **births, size_t count);
/* One of those at ADDRESS, NULL if there is none. */
const struct tmbpf_allocation *window_allocations_find(const struct tmbpf_allocation *const *births,
						       size_t count, uint64_t address);

#endif
