// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/births.h"

#include <errno.h>
#include <linux/types.h>
#include <stdlib.h>

#include "base/error.h"
#include "tmbpf.h"

static int birth_compare(const void *left, const void *right)
{
	const struct tmbpf_birth *a = *(const struct tmbpf_birth *const *)left;
	const struct tmbpf_birth *b = *(const struct tmbpf_birth *const *)right;

	if (a->address != b->address)
		return a->address < b->address ? -1 : 1;
	return a < b ? -1 : a > b; /* the order of the births */
}

static int birth_find(const void *key, const void *element)
{
	uint64_t address = *(const uint64_t *)key;
	const struct tmbpf_birth *birth = *(const struct tmbpf_birth *const *)element;

	return address < birth->address ? -1 : address > birth->address;
}

struct error *births_order(const struct tmbpf_birth *births, size_t count,
			   const struct tmbpf_birth ***ret)
{
	const struct tmbpf_birth **order = calloc(count + 1, sizeof(*order));

	if (!order)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot follow blocks");
	for (size_t i = 0; i < count; i++)
		order[i] = &births[i];
	qsort(order, count, sizeof(*order), birth_compare);
	*ret = order;
	return NULL;
}

size_t births_unique(const struct tmbpf_birth **births, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (i + 1 == count || births[i + 1]->address != births[i]->address)
			births[kept++] = births[i];
	return kept;
}

const struct tmbpf_birth *births_find(const struct tmbpf_birth *const *births, size_t count,
				      uint64_t address)
{
	const struct tmbpf_birth *const *found =
		bsearch(&address, births, count, sizeof(*births), birth_find);

	return found ? *found : NULL;
}
