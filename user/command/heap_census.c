// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "command/heap_census.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "python/heap/census.h"
#include "python/python.h"
#include "snapshot/census.h"
#include "target/process/namespace.h"
#include "target/process/process.h"

/* What is looked at, one after another. */
struct taking {
	struct process *process;
	struct python *python;
	struct python_census *found;
	struct census *census;
};

static void taking_deinit(struct taking *taking)
{
	census_destroy(taking->census);
	python_census_destroy(taking->found);
	python_destroy(taking->python);
	process_destroy(taking->process);
}

static struct error *info_fill(const struct taking *taking)
{
	struct census_info *info = &taking->census->info;
	char host[HOST_NAME_SIZE];

	host_name_read(host);
	info->time_nanos = (int64_t)clock_now(CLOCK_REALTIME);
	info->pid = taking->process->pid;
	info->command_line = strdup(taking->process->command_line);
	info->host = strdup(host);
	info->container = strdup(taking->process->container);
	info->malloc_absent =
		strdup(taking->found->malloc_absent ? taking->found->malloc_absent : "");
	if (!info->malloc_absent || !info->command_line || !info->host || !info->container)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
	info->python_version = taking->python->version;
	info->heaps = taking->found->heaps;
	info->arenas = taking->found->arenas;
	info->allocated_blocks = taking->found->allocated_blocks;
	info->unstable_pools = taking->found->unread.unstable;
	info->reread_pools = taking->found->unread.reread;
	info->lost_arenas = taking->found->unread.arenas;
	info->malloc_unknown = taking->found->malloc.unknown + taking->found->malloc.mapped_unknown;
	return process_resident(taking->process, &info->rss, &info->rss_anonymous);
}

static const char *part_name(const struct taking *taking, const struct python_census_row *row,
			     char buffer[32])
{
	const struct python_type *type;
	const char *name;

	if ((row->kind != PYTHON_CENSUS_OWNED && row->kind != PYTHON_CENSUS_INDIRECT) ||
	    row->type == PYTHON_NO_TYPE)
		return "";
	type = python_types_get(taking->found->types, row->type);
	name = python_census_field(taking->python, type, row->field);
	if (name)
		return name;
	snprintf(buffer, 32, "+%" PRId32, row->field);
	return buffer;
}

static struct error *items_add(const struct taking *taking)
{
	static const enum census_kind kinds[] = {
		[PYTHON_CENSUS_OBJECT] = CENSUS_OBJECT,
		[PYTHON_CENSUS_UNREFERENCED] = CENSUS_UNREFERENCED,
		[PYTHON_CENSUS_OWNED] = CENSUS_OWNED,
		[PYTHON_CENSUS_INDIRECT] = CENSUS_INDIRECT,
		[PYTHON_CENSUS_UNOWNED] = CENSUS_UNOWNED,
		[PYTHON_CENSUS_NATIVE] = CENSUS_NATIVE,
	};
	const struct python_census *found = taking->found;

	for (size_t i = 0; i < found->row_count; i++) {
		const struct python_census_row *row = &found->rows[i];
		char buffer[32];
		struct census_item item = {
			.kind = kinds[row->kind],
			.type = row->type == PYTHON_NO_TYPE
					? (char *)""
					: python_types_get(found->types, row->type)->name,
			.part = (char *)part_name(taking, row, buffer),
			.count = row->count,
			.size = row->size,
		};

		try(census_add_item(taking->census, &item));
	}
	return NULL;
}

static struct error *sizes_add(const struct taking *taking)
{
	for (size_t i = 0; i < taking->found->size_count; i++) {
		const struct python_census_size *found = &taking->found->sizes[i];
		const struct census_size size = {found->size, 0, false, found->count,
						 found->count * found->size};

		try(census_add_size(taking->census, &size));
	}
	for (unsigned int i = 0; i < PYTHON_CENSUS_NATIVE_CLASSES; i++) {
		const struct glibc_sum *found = &taking->found->native[i];
		const struct census_size size = {1ull << i, i ? 1ull << (i - 1) : 0, true,
						 found->count, found->bytes};

		if (found->count)
			try(census_add_size(taking->census, &size));
	}
	return NULL;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What the process has in memory, as far as it can be told what it is for. */
static struct error *parts_add(const struct taking *taking)
{
	const struct python_census_memory *memory = &taking->found->memory;
	const struct glibc_totals *malloc = &taking->found->malloc;
	const uint64_t all = taking->census->info.rss_anonymous;
	uint64_t used = least(taking->found->size, memory->arenas);
	uint64_t given = least(malloc->states[GLIBC_IN_USE].bytes, memory->malloc_heaps);
	const char *other = taking->found->malloc_other;
	char other_name[128];
	const struct {
		const char *name;
		uint64_t size;
		bool glibc; /* only where malloc is */
	} parts[] = {
		{"pymalloc: blocks", used, false},
		{"pymalloc: free", memory->arenas - used, false},
		{"malloc: blocks", given + memory->malloc_mapped, true},
		{"malloc: free", memory->malloc_heaps - given, true},
		{"variables of programs and libraries", memory->data, false},
		{"the first thread's stack", memory->stack, false},
	};
	uint64_t sum = 0, rest = memory->anonymous;

	if (!memory->known)
		return NULL;
	for (size_t i = 0; i < array_size(parts); i++) {
		if (other && parts[i].glibc)
			continue;
		try(census_add_part(taking->census, parts[i].name, parts[i].size));
		sum += parts[i].size;
	}
	if (other) {
		/* Whose mapping is whose cannot be told: threads' stacks are among them. */
		rest = rest > memory->arenas ? rest - memory->arenas : 0;
		rest = least(rest, all > sum ? all - sum : 0);
		snprintf(other_name, sizeof(other_name),
			 "malloc: %s, not walked, and other mappings", other);
		try(census_add_part(taking->census, other_name, rest));
		sum += rest;
	}
	/* The process goes on while it is looked at. */
	return census_add_part(taking->census, "everything else", all > sum ? all - sum : 0);
}

struct error *heap_take(pid_t pid, enum heap_depth depth, struct census **ret)
{
	static const enum python_census_depth depths[] = {
		[HEAP_SIZES] = PYTHON_CENSUS_SIZES,
		[HEAP_TYPES] = PYTHON_CENSUS_TYPES,
		[HEAP_OWNERS] = PYTHON_CENSUS_OWNERS,
	};
	cleanup(taking_deinit) struct taking taking = {0};

	try(process_create(pid, &taking.process));
	try(python_create(taking.process, &taking.python));
	try(python_census_create(taking.python, depths[depth], &taking.found));
	/* What was read may have been of a process that took over its pid, or became another program. */
	try(process_check(taking.process));
	try(census_create(&taking.census));
	try(info_fill(&taking));
	try(items_add(&taking));
	try(sizes_add(&taking));
	try(parts_add(&taking));
	try(census_finish(taking.census));
	*ret = take(taking.census);
	return NULL;
}
