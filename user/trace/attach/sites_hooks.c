// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which allocators stand in the tables of the process, and which hooks before them. */
#include "base/cleanup.h"
#include "base/error.h"
#include "python/allocators.h"
#include "trace/attach/sites_internal.h"

/* Hooks that may stand one before another: tracemalloc's, debug's, and two others. */
#define HOOKS_DEPTH 4

/*
 * Whose functions are in TABLE, and that nothing is traced therefore. OWN: as table_follow() has
 * it.
 */
static struct error *table_refuse(const struct python *python, const struct python_allocator *table,
				  const uint64_t own[2])
{
	enum python_allocator_kind kind = PYTHON_ALLOCATOR_OTHER;
	struct python_allocator inner = *table;

	for (int i = 0; i <= HOOKS_DEPTH; i++) {
		kind = python_allocator_kind(python, &inner, own[0], own[1], &inner);
		if (kind != PYTHON_ALLOCATOR_DEBUG && kind != PYTHON_ALLOCATOR_TRACEMALLOC)
			break;
	}
	if (kind == PYTHON_ALLOCATOR_MIMALLOC)
		return error_advise(
			error_create(ERROR_FAILED,
				     "process %d allocates its objects by mimalloc, which tmbpf "
				     "does not trace",
				     python->process->pid),
			"Start it without PYTHONMALLOC=mimalloc: pymalloc and malloc are traced.");
	return error_advise(
		error_create(ERROR_FAILED,
			     "process %d uses an allocator hook that tmbpf does not know "
			     "(malloc at 0x%llx)",
			     python->process->pid, (unsigned long long)table->malloc),
		"What a hook does to sizes and addresses is not known, so nothing is traced.");
}

static struct error *read_inner(const struct python *python, uint64_t context, uint32_t skip,
				uint64_t ret[5])
{
	if (!context)
		return error_create(ERROR_FAILED, "no context");
	return memory_read(&python->process->memory, context + skip, ret, 5 * sizeof(uint64_t));
}

/*
 * Follows an allocator table to OWN, the implementation itself, through the hooks before it. A
 * debug hook has the context {char api_id; PyMemAllocatorEx} (_PyMem_DebugMalloc,
 * Objects/obmalloc.c); tracemalloc's context is the allocator that it replaced
 * (Modules/_tracemalloc.c). Hooks may be stacked; DEPTH bounds that.
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
	/* What a hook of somebody else's does to sizes and addresses is not known. */
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
	return table_refuse(python, table, own);
}

struct error *sites_hooks_find(struct sites *sites, const struct python *python,
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

/* There tracemalloc's own memory comes through its hooks too, and is not told from a caller's. */
struct error *sites_hooks_check(const struct sites *sites, const struct python *python)
{
	if (!(sites->hooks & SITES_TRACEMALLOC) || python->version < 0x030f0000)
		return NULL;
	return error_advise(error_create(ERROR_FAILED,
					 "process %d runs tracemalloc, which from 3.15 on cannot "
					 "be told from what it traces",
					 python->process->pid),
			    "Stop tracemalloc in the process, or take its own snapshots.");
}

struct error *sites_check(const struct python *python, const struct plan *plan)
{
	struct sites sites = {.hooks = SITES_PLAIN};
	struct python_allocator tables[3];

	try(sites_hooks_find(&sites, python, plan, tables));
	return sites_hooks_check(&sites, python);
}
