// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What becomes of a chunk that a walk came by. */
#include "target/malloc/glibc_internal.h"

struct error *glibc_emit(struct glibc *glibc, const struct glibc_chunk *chunk)
{
	struct glibc_sum *sum = &glibc->totals.states[chunk->state];
	size_t i;

	/* A thread's cache is malloc's own. */
	if (chunk->state == GLIBC_IN_USE &&
	    (chunk->total == 0x250 || chunk->total == 0x290 || chunk->total == 0x300)) {
		for (i = 0; i < glibc->cache_count; i++) {
			if (glibc->caches[i] != chunk->address)
				continue;
			glibc->totals.overhead += chunk->total;
			return NULL;
		}
	}
	sum->count++;
	sum->bytes += chunk->total;
	return glibc->visit(glibc->context, chunk);
}
