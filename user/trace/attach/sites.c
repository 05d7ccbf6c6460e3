// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/attach/sites.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/types.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "tmbpf.h"
#include "trace/attach/mapped.h"

/* Hooks that stand one before another: tracemalloc's over debug's, and as many of others. */
#define HOOKS_DEPTH 4

struct group {
	int fd;        /* the file, by the very inode that is mapped */
	char path[40]; /* /proc/self/fd/FD */
	bool tails;
	size_t first, count;
};

/* What sites lie in. */
struct file {
	const struct process *process;
	const struct process_map *map;
	const struct image *image;
	uint64_t bias;
};

struct module { /* that was looked at */
	dev_t device;
	ino_t inode;
};

struct sites {
	struct tmbpf_site *records; /* index: the cookie */
	uint64_t *offsets, *cookies;
	uint64_t *addresses; /* in the process */
	size_t count, capacity;
	struct group *groups;
	size_t group_count;
	size_t own_groups; /* of the interpreter's file */
	struct module *modules;
	size_t module_count, module_capacity;
	bool want_returns, pymalloc, lazy_free;
	uint64_t raw_word, raw_installed,
		raw_malloc; /* the raw table's malloc: where, what, its own */
	enum sites_hooks hooks;
};

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "cannot list the probe sites");
}

/* FD is the group's now. */
static struct error *group_add(struct sites *sites, int fd, bool tails)
{
	struct group *groups = realloc(sites->groups, (sites->group_count + 1) * sizeof(*groups));
	struct group *group;

	if (!groups)
		return no_memory();
	sites->groups = groups;
	group = &groups[sites->group_count];
	memset(group, 0, sizeof(*group));
	group->fd = fd;
	snprintf(group->path, sizeof(group->path), "/proc/self/fd/%d", group->fd);
	group->tails = tails;
	group->first = sites->count;
	sites->group_count++;
	return NULL;
}

static struct error *record_add(struct sites *sites, const struct tmbpf_site *record,
				uint64_t offset, uint64_t address)
{
	if (sites->count == sites->capacity) {
		size_t capacity = sites->capacity ? 2 * sites->capacity : 1024;
		struct tmbpf_site *records = realloc(sites->records, capacity * sizeof(*records));
		uint64_t *offsets, *cookies, *addresses;

		if (!records)
			return no_memory();
		sites->records = records;
		offsets = realloc(sites->offsets, capacity * sizeof(*offsets));
		if (!offsets)
			return no_memory();
		sites->offsets = offsets;
		cookies = realloc(sites->cookies, capacity * sizeof(*cookies));
		if (!cookies)
			return no_memory();
		sites->cookies = cookies;
		addresses = realloc(sites->addresses, capacity * sizeof(*addresses));
		if (!addresses)
			return no_memory();
		sites->addresses = addresses;
		sites->capacity = capacity;
	}
	sites->records[sites->count] = *record;
	sites->offsets[sites->count] = offset;
	sites->addresses[sites->count] = address;
	sites->cookies[sites->count] = sites->count;
	sites->count++;
	sites->groups[sites->group_count - 1].count++;
	return NULL;
}

static struct tmbpf_value value_record(const struct site_value *value)
{
	return (struct tmbpf_value){
		.displacement = value->displacement,
		.base = value->has_base ? value->base : TMBPF_NO_REGISTER,
		.shift = value->shift,
		.dereference = value->dereference,
	};
}

static uint8_t site_action(const struct site *site)
{
	switch (site->kind) {
	case SITE_GUARD:
		return TMBPF_OBJ_MALLOC + site->operation;
	case SITE_ENTRY:
		return site->raw ? TMBPF_HOOK : TMBPF_OBJ_MALLOC + site->operation;
	case SITE_RAW:
		return TMBPF_RAW_MALLOC + site->operation;
	case SITE_RESULT:
		return TMBPF_RESULT;
	case SITE_REFILL:
		return TMBPF_REFILL;
	case SITE_FREELIST_POP:
		return TMBPF_FREELIST_POP;
	case SITE_TRACK:
		return site->operation == SITE_FREE ? TMBPF_UNTRACK : TMBPF_TRACK;
	}
	return TMBPF_RESULT;
}

static struct error *site_add(struct sites *sites, const struct site *site, uint64_t bias)
{
	struct tmbpf_site record = {
		.action = site_action(site),
		.flags = (site->kind == SITE_GUARD ? TMBPF_SITE_GUARD : 0) |
			 (site->kind == SITE_RAW && site->tail ? TMBPF_SITE_TAIL : 0),
		.stack_delta = site->stack_delta,
		.returns = site->returns ? site->returns + bias : 0,
		.a = {value_record(&site->a[0]), value_record(&site->a[1]),
		      value_record(&site->a[2])},
	};

	return record_add(sites, &record, site->offset, site->address + bias);
}

/* Whether SITE serves, given what the allocator tables hold. */
static bool site_wanted(const struct sites *sites, const struct site *site)
{
	/* The raw domain's own entries say nothing that libc's calls do not; a hook's do. */
	if (site->kind == SITE_ENTRY && site->raw)
		return sites->hooks & SITES_TRACEMALLOC;
	if ((site->kind == SITE_GUARD || site->kind == SITE_ENTRY) && site->operation == SITE_FREE)
		return !sites->lazy_free;
	if (site->malloc_only)
		return !sites->pymalloc || sites->hooks != SITES_PLAIN;
	return true;
}

static bool site_is_tail(const struct site *site)
{
	return site->kind == SITE_RAW && site->tail && site->operation != SITE_FREE;
}

/* Adds those of COUNT sites that are wanted, tail jumps or all others, as a group of their own. */
static struct error *group_fill(struct sites *sites, const struct file *file,
				const struct site *found, size_t count, bool tails)
{
	const struct site *first = NULL;
	cleanup_fd int fd = -1;

	for (size_t i = 0; i < count && !first; i++)
		if (site_is_tail(&found[i]) == tails && site_wanted(sites, &found[i]))
			first = &found[i];
	if (!first)
		return NULL;
	try(mapped_file(file->process, file->map, file->image->fd, first->offset, &fd));
	try(group_add(sites, fd, tails));
	take_fd(fd);
	for (size_t i = 0; i < count; i++)
		if (site_is_tail(&found[i]) == tails && site_wanted(sites, &found[i]))
			try(site_add(sites, &found[i], file->bias));
	return NULL;
}

/* The same of the interpreter's own file. */
static struct error *own_fill(struct sites *sites, const struct python *python,
			      const struct site *found, size_t count, bool tails)
{
	const struct file file = {python->process, &python->map, python->image, python->bias};

	return group_fill(sites, &file, found, count, tails);
}

/* The plan's sites, tail jumps apart: they want the program that can ask for a return probe. */
static struct error *plan_add(struct sites *sites, const struct python *python,
			      const struct plan *plan)
{
	try(own_fill(sites, python, plan->sites, plan->site_count, false));
	return own_fill(sites, python, plan->sites, plan->site_count, true);
}

static void image_release(struct image **image)
{
	image_destroy(*image);
}

static struct error *module_add(struct sites *sites, const struct python *python,
				const struct process_map *map)
{
	cleanup(image_release) struct image *image = NULL;
	cleanup_free struct site *found = NULL;
	size_t count = 0;
	struct file file = {.process = python->process, .map = map};
	int fd;

	try(process_open_map(python->process, map, &fd));
	try(image_create(fd, map->path, &image));
	try(plan_module_results(image, &found, &count));
	file.image = image;
	file.bias = image_bias(image, map->start, map->offset);
	return group_fill(sites, &file, found, count, false);
}

static bool module_known(const struct sites *sites, const struct process_map *map)
{
	for (size_t i = 0; i < sites->module_count; i++)
		if (sites->modules[i].inode == map->inode &&
		    sites->modules[i].device == map->device)
			return true;
	return false;
}

/* Without memory it is looked at again: slower, not wrong. */
static void module_remember(struct sites *sites, const struct process_map *map)
{
	struct error *error = array_reserve(&sites->modules, &sites->module_capacity,
					    sites->module_count, 1, sizeof(*sites->modules));

	if (error)
		error_destroy(error);
	else
		sites->modules[sites->module_count++] = (struct module){map->device, map->inode};
}

/*
 * Other modules only help to see results without a return probe: one that cannot be read is left out, and
 * what returns into it is caught by return probes or counted.
 */
static struct error *modules_add(struct sites *sites, const struct python *python)
{
	struct process_map *maps;
	size_t count;

	try(process_maps(python->process, &maps, &count));
	for (size_t i = 0; i < count; i++) {
		struct process_map *map = &maps[i];

		if (!map->executable || map->path[0] != '/' || map->inode == python->map.inode ||
		    module_known(sites, map))
			continue;
		error_destroy(module_add(sites, python, map));
		module_remember(sites, map);
	}
	process_maps_destroy(maps, count);
	return NULL;
}

struct error *sites_modules(struct sites *sites, const struct python *python)
{
	return modules_add(sites, python);
}

static struct error *read_inner(const struct python *python, uint64_t context, uint32_t skip,
				uint64_t ret[5])
{
	if (!context)
		return error_create(ERROR_FAILED, "no context");
	return memory_read(&python->process->memory, context + skip, ret, 5 * sizeof(uint64_t));
}

/*
 * What stands in an allocator table: OWN (the implementation itself), or a hook in front of it. Debug hooks have a
 * context {char api_id; PyMemAllocatorEx}, (_PyMem_DebugMalloc, Objects/obmalloc.c), tracemalloc's is the allocator
 * that it replaced (Modules/_tracemalloc.c). Hooks may be stacked; DEPTH bounds that.
 */
static struct error *table_follow(const struct python *python, const struct python_allocator *table,
				  const uint64_t own[2], int depth, enum sites_hooks *hooks,
				  uint64_t *ret_function)
{
	uint64_t inner[5], context = table->context;

	if (table->malloc == own[0] || table->malloc == own[1]) {
		*ret_function = table->malloc;
		return NULL;
	}
	/* What a hook of someone else's does to sizes and addresses is not known. */
	if (table->malloc < python->map.start || table->malloc >= python->map.end)
		depth = 0;
	for (uint32_t skip = 0; depth && skip <= 8; skip += 8) {
		struct python_allocator next;

		uint8_t letter = 0;

		error_destroy(memory_read_u8(&python->process->memory, context, &letter));
		if (skip && letter != 'r' && letter != 'm' && letter != 'o')
			break;
		struct error *error = read_inner(python, context, skip, inner);

		if (error) {
			error_destroy(error);
			break;
		}
		next = (struct python_allocator){inner[0], inner[1], inner[2], inner[3], inner[4]};
		error = table_follow(python, &next, own, depth - 1, hooks, ret_function);
		if (!error) {
			*hooks |= skip ? SITES_DEBUG : SITES_TRACEMALLOC;
			return NULL;
		}
		error_destroy(error);
	}
	return error_advise(
		error_create(
			ERROR_FAILED,
			"process %d uses an allocator hook that tmbpf does not know (malloc at 0x%llx)",
			python->process->pid, (unsigned long long)table->malloc),
		"What a hook does to sizes and addresses is not known, so nothing is traced.");
}

static struct error *hooks_find(struct sites *sites, const struct python *python,
				const struct plan *plan, struct python_allocator tables[3])
{
	const uint64_t *object = plan->functions[0], *raw = plan->functions[1];
	const uint64_t own[2] = {object[SITE_MALLOC] + python->bias,
				 raw[SITE_MALLOC] + python->bias};
	uint64_t address[3], function = 0;

	for (int i = 0; i < 3; i++)
		address[i] = plan->tables[i] ? plan->tables[i] + python->bias : 0;
	try(python_allocators(python, address[0], address[1], address[2], tables));
	/* PyMemAllocatorEx: ctx, then malloc. */
	sites->raw_word = (address[0] ? address[0] : python->allocators) + sizeof(uint64_t);
	sites->raw_installed = tables[0].malloc;
	sites->raw_malloc = own[1];
	try(table_follow(python, &tables[0], own, HOOKS_DEPTH, &sites->hooks, &function));
	if (function != own[1])
		return error_create(ERROR_FAILED,
				    "process %d does not use malloc for its raw domain",
				    python->process->pid);
	try(table_follow(python, &tables[2], own, HOOKS_DEPTH, &sites->hooks, &function));
	sites->pymalloc = function == own[0];
	return NULL;
}

/* The entries of a hook's malloc, calloc and realloc. */
static struct error *hook_entries_add(struct sites *sites, const struct python *python,
				      const uint64_t functions[3])
{
	const uint64_t all[4] = {functions[0], functions[1], functions[2], 0};
	cleanup_free struct site *entries = NULL;
	size_t count;

	try(plan_hook_entries(python->image, all, &entries, &count));
	return own_fill(sites, python, entries, count, false);
}

/*
 * Hooks call what they stand before through their context: there libc's results arrive. And tracemalloc asks the raw
 * domain's implementation for memory of its own, which it does not count itself: a raw allocation is a
 * caller's only if it has come in by the hook's entry.
 */
static struct error *hooks_add(struct sites *sites, const struct python *python,
			       const struct plan *plan, const struct python_allocator tables[3])
{
	cleanup_free struct site *results = NULL;
	uint64_t functions[2 * 3];
	size_t count = 0;

	if (sites->hooks == SITES_PLAIN)
		return NULL;
	/* There tracemalloc's own memory comes through its hooks too, and is not told from a caller's. */
	if (sites->hooks & SITES_TRACEMALLOC && python->version >= 0x030f0000)
		return error_advise(
			error_create(
				ERROR_FAILED,
				"process %d runs tracemalloc, which from 3.15 on cannot be told "
				"from what it traces",
				python->process->pid),
			"Stop tracemalloc in the process, or take its own snapshots.");
	for (int i = 0; i < 3; i += 2) {
		const uint64_t words[3] = {tables[i].malloc, tables[i].calloc, tables[i].realloc};

		for (int k = 0; k < 3; k++)
			functions[count++] = words[k] - python->bias;
	}
	try(plan_hook_results(python->image, plan, functions, count, &results, &count));
	try(own_fill(sites, python, results, count, false));
	if (!(sites->hooks & SITES_TRACEMALLOC))
		return NULL;
	try(hook_entries_add(sites, python, functions));
	/* Without pymalloc the object domain's hook stands before the raw domain's implementation too. */
	return sites->pymalloc ? NULL : hook_entries_add(sites, python, functions + 3);
}

void sites_raw_table(const struct sites *sites, __u64 *ret_word, __u64 *ret_malloc)
{
	*ret_word = sites->raw_word;
	*ret_malloc = sites->raw_malloc;
}

struct error *sites_rehook(struct sites *sites, const struct python *python,
			   const struct plan *plan, bool *ret_added)
{
	struct python_allocator tables[3];
	enum sites_hooks before = sites->hooks;
	bool pymalloc = sites->pymalloc;
	uint64_t installed;

	*ret_added = false;
	try(memory_read_u64(&python->process->memory, sites->raw_word, &installed));
	if (installed == sites->raw_installed)
		return NULL;
	sites->raw_installed = installed;
	sites->hooks = SITES_PLAIN;
	try(hooks_find(sites, python, plan, tables));
	sites->pymalloc = pymalloc;
	if (before & SITES_TRACEMALLOC || !(sites->hooks & SITES_TRACEMALLOC)) {
		/* Hooks that went may come back: their probes stay. */
		sites->hooks |= before;
		return NULL;
	}
	sites->hooks |= before;
	try(hooks_add(sites, python, plan, tables));
	*ret_added = true;
	return NULL;
}

struct error *sites_create(const struct python *python, const struct plan *plan, bool lazy_free,
			   struct sites **ret)
{
	struct sites *sites = calloc(1, sizeof(*sites));
	struct python_allocator tables[3];
	struct error *error;
	int seccomp = 2;

	if (!sites)
		return no_memory();
	error = hooks_find(sites, python, plan, tables);
	sites->lazy_free = lazy_free && sites->pymalloc;
	if (!error)
		error = plan_add(sites, python, plan);
	if (!error)
		error = hooks_add(sites, python, plan, tables);
	sites->own_groups = sites->group_count;
	if (!error)
		error = modules_add(sites, python);
	/*
	 * Linux 6.11 and later return through a system call, which a seccomp filter may answer by killing the process: no
	 * return probe where there is one.
	 */
	if (!error)
		error = process_seccomp(python->process, &seccomp);
	sites->want_returns = !seccomp;
	if (error) {
		sites_destroy(sites);
		return error;
	}
	*ret = sites;
	return NULL;
}

void sites_destroy(struct sites *sites)
{
	if (!sites)
		return;
	for (size_t i = 0; i < sites->group_count; i++)
		close(sites->groups[i].fd);
	free(sites->groups);
	free(sites->modules);
	free(sites->records);
	free(sites->offsets);
	free(sites->cookies);
	free(sites->addresses);
	free(sites);
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
		return no_memory();
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

static bool site_sees_births(const struct tmbpf_site *site)
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

/* Those sites of a group for which WANTED holds. */
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

void sites_group_births(const struct sites *sites, size_t index, uint64_t *offsets,
			uint64_t *cookies, struct probes *ret)
{
	sites_choose(sites, index, site_sees_births, offsets, cookies, ret);
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
