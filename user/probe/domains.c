// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * From 3.12 on the layout says where the live tables are, and what the file has there is what they
 * are before anybody changes them: pymalloc's functions and the raw domain's. Up to 3.11 the tables
 * are those that hold the same functions in the file: some are constant, and stay so.
 */
#include "probe/domains.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "probe/find/allocators.h"
#include "probe/plan.h"
#include "python/python.h"

/* Hooks in front of hooks: debug, tracemalloc, one that someone wrote. */
#define HOOKS_MAX 4

/* The implementations' malloc functions, addresses in the process. */
struct own {
	uint64_t pymalloc, raw;
};

/* What TABLE leads to. */
static struct error *table_follow(const struct python *python, const struct python_allocator *table,
				  const struct own *own, struct domain_allocator *ret)
{
	struct domain_allocator found = {.kind = PYTHON_ALLOCATOR_OTHER};
	struct python_allocator inner = *table;

	for (unsigned int i = 0; i < HOOKS_MAX; i++) {
		found.kind = python_allocator_kind(python, &inner, own->pymalloc, own->raw, &inner);
		if (found.kind != PYTHON_ALLOCATOR_DEBUG &&
		    found.kind != PYTHON_ALLOCATOR_TRACEMALLOC)
			break;
		found.kind = PYTHON_ALLOCATOR_OTHER;
	}
	if (found.kind == PYTHON_ALLOCATOR_OTHER)
		try(python_allocator_source(python, &inner, found.source));
	*ret = found;
	return NULL;
}

static struct error *live_read(const struct python *python, const uint64_t live[DOMAINS],
			       struct domain_allocator *ret)
{
	struct python_allocator tables[DOMAINS];
	struct own own;

	/* PyMemAllocatorEx: ctx, then malloc. */
	if (!tables_word(python->image, live[TABLES_OBJ] + 8, &own.pymalloc) ||
	    !tables_word(python->image, live[TABLES_RAW] + 8, &own.raw) || !own.pymalloc ||
	    !own.raw)
		return error_create(ERROR_FAILED,
				    "%s: what its allocator tables hold at first is not in it",
				    python->image->path);
	own.pymalloc += python->bias;
	own.raw += python->bias;
	try(python_allocators(python, 0, 0, 0, tables));
	for (unsigned int i = 0; i < DOMAINS; i++)
		try(table_follow(python, &tables[i], &own, &ret[i]));
	return NULL;
}

static bool is_worse(enum python_allocator_kind one, enum python_allocator_kind other)
{
	static const int ranks[] = {
		[PYTHON_ALLOCATOR_PYMALLOC] = 0,
		[PYTHON_ALLOCATOR_MALLOC] = 1,
		[PYTHON_ALLOCATOR_MIMALLOC] = 2,
		[PYTHON_ALLOCATOR_OTHER] = 3,
	};

	return ranks[one] > ranks[other];
}

/* The tables that hold pymalloc's functions in the file, or the RAW domain's. */
static struct error *copies_read(const struct python *python, const struct tables *tables, bool raw,
				 const struct own *own, struct domain_allocator *ret)
{
	struct domain_allocator worst = {.kind = PYTHON_ALLOCATOR_PYMALLOC};

	for (unsigned int i = 0; i < tables->copy_count[raw]; i++) {
		struct domain_allocator found;
		struct python_allocator table;

		try(memory_read(&python->process->memory, tables->copies[raw][i] + python->bias,
				&table, sizeof(table)));
		try(table_follow(python, &table, own, &found));
		if (is_worse(found.kind, worst.kind))
			worst = found;
	}
	*ret = worst;
	return NULL;
}

static struct error *file_read(const struct python *python, struct domain_allocator *ret)
{
	struct tables tables;
	struct own own;

	try(tables_find(python->image, NULL, &tables));
	own.pymalloc = tables.functions[0][0] + python->bias;
	own.raw = tables.functions[1][0] + python->bias;
	try(copies_read(python, &tables, true, &own, &ret[DOMAIN_RAW]));
	try(copies_read(python, &tables, false, &own, &ret[DOMAIN_OBJ]));
	ret[DOMAIN_MEM] = ret[DOMAIN_OBJ];
	return NULL;
}

struct error *domains_read(const struct python *python, struct domain_allocator ret[DOMAINS])
{
	struct plan_input input = plan_input(python);

	if (input.live[TABLES_OBJ])
		return live_read(python, input.live, ret);
	return file_read(python, ret);
}
