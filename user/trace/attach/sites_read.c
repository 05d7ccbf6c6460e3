// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Hands the sites out: as probes, by groups, and as records for the BPF programs. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "trace/attach/sites_internal.h"

void sites_raw_table(const struct sites *sites, __u64 *ret_word, __u64 *ret_malloc)
{
	*ret_word = sites->raw_word;
	*ret_malloc = sites->raw_malloc;
}

uint32_t sites_count(const struct sites *sites)
{
	return sites->count;
}

uint32_t sites_return_count(const struct sites *sites)
{
	uint32_t count = 0;

	for (size_t i = 0; i < sites->count; i++)
		count += sites->records[i].action == TMBPF_RESULT && sites->records[i].returns;
	return count;
}

bool sites_want_returns(const struct sites *sites)
{
	return sites->want_returns;
}

enum sites_hooks sites_hooks(const struct sites *sites)
{
	return sites->hooks;
}

bool sites_lazy_free(const struct sites *sites)
{
	return sites->lazy_free;
}

bool sites_pymalloc(const struct sites *sites)
{
	return sites->pymalloc;
}

size_t sites_group_count(const struct sites *sites)
{
	return sites->group_count;
}

void sites_group(const struct sites *sites, size_t index, struct probes *ret)
{
	const struct group *group = &sites->groups[index];

	ret->path = group->path;
	ret->offsets = sites->offsets + group->first;
	ret->cookies = sites->cookies + group->first;
	ret->count = group->count;
	ret->session = group->tails;
}

static int page_compare(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

struct error *sites_pages(const struct sites *sites, size_t first, size_t *ret)
{
	size_t from = first < sites->group_count ? sites->groups[first].first : sites->count;
	size_t count = sites->count - from, pages = 0;
	cleanup_free uint64_t *list = calloc(count + 1, sizeof(*list));
	uint64_t page = sysconf(_SC_PAGESIZE);

	if (!list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot list the probe sites");
	/* By address, which tells files apart. */
	for (size_t i = 0; i < count; i++)
		list[i] = sites->addresses[from + i] / page;
	if (count)
		qsort(list, count, sizeof(*list), page_compare);
	for (size_t i = 0; i < count; i++)
		pages += !i || list[i] != list[i - 1];
	*ret = pages;
	return NULL;
}

static bool site_sees_allocations(const struct tmbpf_site *site)
{
	switch (site->action) {
	case TMBPF_OBJ_FREE:
	case TMBPF_RAW_FREE:
	case TMBPF_REFILL:
	case TMBPF_UNTRACK:
		return false;
	}
	return true;
}

static bool site_sees_raw(const struct tmbpf_site *site)
{
	return site->action == TMBPF_RESULT || site->action == TMBPF_TRACK ||
	       (site->action >= TMBPF_RAW_MALLOC && site->action <= TMBPF_RAW_REALLOC);
}

/* The sites of a group for which WANTED holds. */
static void sites_choose(const struct sites *sites, size_t index,
			 bool (*wanted)(const struct tmbpf_site *site), uint64_t *offsets,
			 uint64_t *cookies, struct probes *ret)
{
	uint32_t count = 0;

	sites_group(sites, index, ret);
	for (uint32_t i = 0; i < ret->count; i++) {
		if (!wanted(&sites->records[ret->cookies[i]]))
			continue;
		offsets[count] = ret->offsets[i];
		cookies[count++] = ret->cookies[i];
	}
	ret->count = count;
	ret->offsets = offsets;
	ret->cookies = cookies;
}

void sites_group_allocations(const struct sites *sites, size_t index, uint64_t *offsets,
			     uint64_t *cookies, struct probes *ret)
{
	sites_choose(sites, index, site_sees_allocations, offsets, cookies, ret);
	if (index >= sites->own_groups)
		ret->count = 0;
}

void sites_group_raw(const struct sites *sites, size_t index, uint64_t *offsets, uint64_t *cookies,
		     struct probes *ret)
{
	sites_choose(sites, index, site_sees_raw, offsets, cookies, ret);
}

struct error *sites_store(const struct sites *sites, uint32_t first, int sites_map,
			  int addresses_map)
{
	for (uint32_t i = first; i < sites->count; i++)
		if (bpf_map_update_elem(sites_map, &i, &sites->records[i], BPF_ANY) ||
		    bpf_map_update_elem(addresses_map, &sites->addresses[i], &i, BPF_NOEXIST))
			return error_create_errno(ERROR_FAILED, errno,
						  "cannot store the probe sites");
	return NULL;
}

struct error *sites_store_returns(const struct sites *sites, uint32_t first, int returns_map)
{
	for (uint32_t i = first; i < sites->count; i++) {
		const struct tmbpf_site *record = &sites->records[i];
		uint32_t yes = 1;

		if (record->action == TMBPF_RESULT && record->returns &&
		    bpf_map_update_elem(returns_map, &record->returns, &yes, BPF_ANY))
			return error_create_errno(ERROR_FAILED, errno,
						  "cannot store the places of return");
	}
	return NULL;
}
