// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Collects the sites: those of the plan, of hooks, and behind calls in other modules. */
#include "trace/attach/sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "trace/attach/mapped.h"
#include "trace/attach/sites_internal.h"

/* The file that sites lie in. */
struct file {
	const struct process *process;
	const struct process_map *map;
	const struct image *image;
	uint64_t bias;
};

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "cannot list the probe sites");
}

/* Takes FD over. */
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

/* Whether SITE is needed, given what the allocator tables hold. */
static bool site_wanted(const struct sites *sites, const struct site *site)
{
	/*
	 * The raw domain's own entries tell nothing that libc's calls do not; a hook's entries do.
	 */
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

/*
 * Adds those of COUNT sites that are wanted as a group of their own: the tail jumps, or all others.
 */
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

/* The same for the interpreter's own file. */
static struct error *own_fill(struct sites *sites, const struct python *python,
			      const struct site *found, size_t count, bool tails)
{
	const struct file file = {python->process, &python->map, python->image, python->bias};

	return group_fill(sites, &file, found, count, tails);
}

/*
 * Adds the plan's sites. Tail jumps are a group of their own: they want the program that can ask
 * for a return probe.
 */
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

/* Without memory the module is looked at again: slower, but not wrong. */
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
 * Sites in other modules only save return probes. So a module that cannot be read is left out: what
 * returns into it is caught by return probes, or counted.
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

/* Probes the entries of a hook's malloc, calloc and realloc. */
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
 * Hooks call what they stand before through their context, so libc's results arrive there. Also,
 * tracemalloc asks the raw domain's implementation for memory of its own, which it does not count.
 * So a raw allocation is a caller's only if it came in by the hook's entry.
 */
static struct error *hooks_add(struct sites *sites, const struct python *python,
			       const struct plan *plan, const struct python_allocator tables[3])
{
	cleanup_free struct site *results = NULL;
	uint64_t functions[2 * 3];
	size_t count = 0;

	if (sites->hooks == SITES_PLAIN)
		return NULL;
	try(sites_hooks_check(sites, python));
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
	/*
	 * Without pymalloc the object domain's hook stands before the raw domain's implementation
	 * too.
	 */
	return sites->pymalloc ? NULL : hook_entries_add(sites, python, functions + 3);
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
	try(sites_hooks_find(sites, python, plan, tables));
	sites->pymalloc = pymalloc;
	if (before & SITES_TRACEMALLOC || !(sites->hooks & SITES_TRACEMALLOC)) {
		/* Hooks that were removed may come back, so their probes stay. */
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
	error = sites_hooks_find(sites, python, plan, tables);
	sites->lazy_free = lazy_free && sites->pymalloc;
	if (!error)
		error = plan_add(sites, python, plan);
	if (!error)
		error = hooks_add(sites, python, plan, tables);
	sites->own_groups = sites->group_count;
	if (!error)
		error = modules_add(sites, python);
	/*
	 * A return probe of Linux 6.11 and later returns through a system call, which a seccomp
	 * filter may answer by killing the process. So a process with a filter gets none.
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
