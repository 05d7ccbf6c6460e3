/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plan as the BPF programs read it: a record for each site, in groups by file for attaching.
 * Besides the interpreter's own sites there are the results behind calls in other modules of the
 * process.
 */
#ifndef TMBPF_TRACE_ATTACH_SITES_H
#define TMBPF_TRACE_ATTACH_SITES_H

#include <linux/types.h>
#include <stdint.h>

#include "probe/plan.h"
#include "python/python.h"
#include "trace/attach/kernel.h"

struct error;
struct sites;

/* What the allocator tables of the process hold: flags. */
enum sites_hooks {
	SITES_PLAIN = 0, /* pymalloc, or malloc alone */
	SITES_DEBUG = 1, /* PYTHONMALLOC=debug: debug hooks around either */
	/* tracemalloc's hooks, which pass sizes and pointers through */
	SITES_TRACEMALLOC = 2,
};

/* LAZY_FREE leaves out the object domain's frees, if its pools can be asked instead. */
struct error *sites_create(const struct python *python, const struct plan *plan, bool lazy_free,
			   struct sites **ret);
void sites_destroy(struct sites *sites);

/*
 * What sites_create() would refuse the process for as it is now, by what its allocator tables name.
 * Nothing is kept.
 */
struct error *sites_check(const struct python *python, const struct plan *plan);

/*
 * Two addresses in the process: of the raw table's malloc word, and of the raw domain's own malloc.
 */
void sites_raw_table(const struct sites *sites, __u64 *ret_word, __u64 *ret_malloc);

/*
 * Looks at the tables again. RET_ADDED: tracemalloc's hooks were put in since, and their sites are
 * added as further groups. Refuses hooks that are not understood.
 */
struct error *sites_rehook(struct sites *sites, const struct python *python,
			   const struct plan *plan, bool *ret_added);

uint32_t sites_count(const struct sites *sites);
uint32_t sites_return_count(const struct sites *sites);
/*
 * Whether there are tail jumps whose callers may be unknown, and return probes are safe in the
 * process.
 */
bool sites_want_returns(const struct sites *sites);
enum sites_hooks sites_hooks(const struct sites *sites);
/* Whether the object domain's frees are left out. */
bool sites_lazy_free(const struct sites *sites);
/* Whether the object domain is pymalloc's, behind any hooks. */
bool sites_pymalloc(const struct sites *sites);

/* Groups are the sites of one file and one program. The path in RET lives as long as SITES. */
size_t sites_group_count(const struct sites *sites);
void sites_group(const struct sites *sites, size_t index, struct probes *ret);

/* The pages of files that have sites of the groups from FIRST on. */
struct error *sites_pages(const struct sites *sites, size_t first, size_t *ret);

/*
 * The sites of a group that see allocations and their results, for sampling windows. RET->count is
 * 0 if it has none. Sites to which other modules return are left out. OFFSETS and COOKIES have room
 * for the whole group.
 */
void sites_group_allocations(const struct sites *sites, size_t index, uint64_t *offsets,
			     uint64_t *cookies, struct probes *ret);

/* The same for the raw domain's allocations and their results, of all files. */
void sites_group_raw(const struct sites *sites, size_t index, uint64_t *offsets, uint64_t *cookies,
		     struct probes *ret);

/* Adds the sites of modules that the process has loaded since, as further groups. */
struct error *sites_modules(struct sites *sites, const struct python *python);

/* Writes the records from index FIRST on, and their addresses in the process, into the BPF maps. */
struct error *sites_store(const struct sites *sites, uint32_t first, int sites_map,
			  int addresses_map);

/*
 * The same for the return addresses at which their results are awaited. Only to be called once the
 * probes are attached: what returns to such an address is not looked for elsewhere.
 */
struct error *sites_store_returns(const struct sites *sites, uint32_t first, int returns_map);

#endif
