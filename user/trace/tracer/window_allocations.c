// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Sorts and searches the allocations that a sampling window has listed. */
#include "trace/tracer/window_allocations.h"

#include <errno.h>
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "tmbpf.h"

static int allocation_compare(const void *left, const void *right)
{
	const struct tmbpf_allocation *a = *(const struct tmbpf_allocation *const *)left;
	const struct tmbpf_allocation *b = *(const struct tmbpf_allocation *const *)right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return a < b ? -1 : a > b; /* in the order in which they were allocated */
}

static int allocation_find(const void *key, const void *element)
{
	uint64_t address = *(const uint64_t *)key;
	const struct tmbpf_allocation *allocation =
		*(const struct tmbpf_allocation *const *)element;

	return address < allocation->address ? -1 : address > allocation->address;
}

void window_allocations_clear(struct tmbpf_allocation *allocations, size_t count)
{
	memset(allocations, 0, count * sizeof(*allocations));
}

struct error *window_allocations_order(const struct tmbpf_allocation *allocations, size_t count,
				       const struct tmbpf_allocation ***ret, size_t *ret_count)
{
	const struct tmbpf_allocation **order = calloc(count + 1, sizeof(*order));
	size_t complete = 0;

	if (!order)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot track blocks");
	for (size_t i = 0; i < count; i++)
		if (__atomic_load_n(&allocations[i].address, __ATOMIC_ACQUIRE))
			order[complete++] = &allocations[i];
	qsort(order, complete, sizeof(*order), allocation_compare);
	*ret = order;
	*ret_count = complete;
	return NULL;
}

struct error *window_allocations_since(const struct tmbpf_allocation *const *order, size_t count,
				       const struct tmbpf_allocation *const *seen,
				       size_t seen_count, const struct tmbpf_allocation ***ret,
				       size_t *ret_count)
{
	const struct tmbpf_allocation **since = calloc(count + 1, sizeof(*since));
	size_t kept = 0, k = 0;

	if (!since)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot track blocks");
	for (size_t i = 0; i < count; i++) {
		if (k < seen_count && order[i] == seen[k])
			k++;
		else
			since[kept++] = order[i];
	}
	*ret = since;
	*ret_count = kept;
	return NULL;
}

size_t window_allocations_unique(const struct tmbpf_allocation **allocations, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (i + 1 == count || allocations[i + 1]->address != allocations[i]->address)
			allocations[kept++] = allocations[i];
	return kept;
}

const struct tmbpf_allocation *
window_allocations_find(const struct tmbpf_allocation *const *allocations, size_t count,
			uint64_t address)
{
	const struct tmbpf_allocation *const *found =
		bsearch(&address, allocations, count, sizeof(*allocations), allocation_find);

	return found ? *found : NULL;
}
