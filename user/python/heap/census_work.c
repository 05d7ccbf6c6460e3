// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What counting blocks and looking for their owners have in common. */
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "python/heap/census_internal.h"
#include "python/malloc.h"

struct error *census_tallies_grow(struct census_work *work, uint32_t type)
{
	size_t before = work->tally_capacity;

	try(array_reserve(&work->tallies, &work->tally_capacity, before, type + 1 - before,
			  sizeof(*work->tallies)));
	memset(work->tallies + before, 0, (work->tally_capacity - before) * sizeof(*work->tallies));
	return NULL;
}

struct error *census_chunks_each(struct census_work *work,
				 struct error *(*visit)(void *context,
							const struct glibc_chunk *chunk))
{
	glibc_destroy(work->glibc);
	work->glibc = NULL;
	try(python_glibc_create(work->python, work->excluded, work->space->arena_count,
				&work->glibc));
	return glibc_each(work->glibc, visit, work);
}
