/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plan turned into what the BPF programs read: a record for each site, grouped by file for attaching. Besides the
 * interpreter's own sites there are the results behind calls in other modules of the process.
 */
#ifndef TMBPF_TRACE_SITES_H
#define TMBPF_TRACE_SITES_H

#include <linux/types.h>
#include <stdint.h>

#include "probe/plan.h"
#include "python/python.h"
#include "trace/kernel.h"

struct error;
struct sites;

/* What the allocator tables of the process name. */
enum sites_hooks {                        /* flags: both may stand there */
		   SITES_PLAIN = 0,       /* pymalloc, or malloc alone */
		   SITES_DEBUG = 1,       /* PYTHONMALLOC=debug: debug hooks around either */
		   SITES_TRACEMALLOC = 2, /* tracemalloc's, which pass sizes and pointers through */
};

/* LAZY_FREE: without the object domain's frees, where its pools can be asked instead. */
struct error *sites_create(const struct python *python, const struct plan *plan, bool lazy_free,
			   struct sites **ret);
void sites_destroy(struct sites *sites);

/*
 * What sites_create() would refuse the process for as it is now, by what its allocator tables name;
 * nothing is kept.
 */
struct error *sites_check(const struct python *python, const struct plan *plan);

/* Addresses in the process: of the raw table's malloc word, and of the raw domain's own malloc. */
void sites_raw_table(const struct sites *sites, __u64 *ret_word, __u64 *ret_malloc);

/*
 * Looks at the tables again. RET_ADDED: tracemalloc's hooks have been put in since, and their sites are added as further
 * groups. Refuses hooks that are not understood.
 */
struct error *sites_rehook(struct sites *sites, const struct python *python,
			   const struct plan *plan, bool *ret_added);

uint32_t sites_count(const struct sites *sites);
uint32_t sites_return_count(const struct sites *sites);
/* Whether there are tail jumps whose callers may be unknown, and return probes are safe in this process. */
bool sites_want_returns(const struct sites *sites);
enum sites_hooks sites_hooks(const struct sites *sites);
/* Whether the object domain's frees are left out. */
bool sites_lazy_free(const struct sites *sites);
/* Whether the object domain is pymalloc's, behind whatever hooks. */
bool sites_pymalloc(const struct sites *sites);

/* Groups: sites of one file, of one program. The path in RET lives as long as SITES. */
size_t sites_group_count(const struct sites *sites);
void sites_group(const struct sites *sites, size_t index, struct probes *ret);

/* Pages of files that have sites of the groups from FIRST on. */
struct error *sites_pages(const struct sites *sites, size_t first, size_t *ret);

/*
 * Those sites of a group that see allocations and their results, as bursts want them; COUNT 0: none. What
 * other modules return to is left out. OFFSETS and COOKIES have room for all of the group.
 */
void sites_group_births(const struct sites *sites, size_t index, uint64_t *offsets,
			uint64_t *cookies, struct probes *ret);

/* The same of all files for the raw domain's allocations and their results. */
void sites_group_raw(const struct sites *sites, size_t index, uint64_t *offsets, uint64_t *cookies,
		     struct probes *ret);

/* Adds the sites of modules that the process has loaded since, as further groups. */
struct error *sites_modules(struct sites *sites, const struct python *python);

/* Writes the records from the index FIRST on, and their addresses in the process, into the BPF maps. */
struct error *sites_store(const struct sites *sites, uint32_t first, int sites_map,
			  int addresses_map);

/*
 * The same for the return addresses at which their results are awaited: once the probes are there, for what
 * returns to such a place is looked for nowhere else.
 */
struct error *sites_store_returns(const struct sites *sites, uint32_t first, int returns_map);

#endif
