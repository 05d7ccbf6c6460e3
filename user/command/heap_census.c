// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The census of a process, for `tmbpf heap`. */
#include "command/heap_census.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "command/heap_unread.h"
#include "python/heap/census.h"
#include "python/python.h"
#include "snapshot/census.h"
#include "target/process/namespace.h"
#include "target/process/process.h"

/* What is looked at, one after another. */
struct reading {
	struct process *process;
	struct python *python;
	struct python_census *found;
	struct heap_unread unread;
	struct census *census;
};

static void reading_deinit(struct reading *reading)
{
	census_destroy(reading->census);
	python_census_destroy(reading->found);
	python_destroy(reading->python);
	process_destroy(reading->process);
}

static struct error *info_fill(const struct reading *reading)
{
	struct census_info *info = &reading->census->info;
	char host[HOST_NAME_SIZE];

	host_name_read(host);
	info->time_nanos = (int64_t)clock_now(CLOCK_REALTIME);
	info->pid = reading->process->pid;
	info->command_line = strdup(reading->process->command_line);
	info->host = strdup(host);
	info->container = strdup(reading->process->container);
	info->malloc_absent =
		strdup(reading->found->malloc_absent ? reading->found->malloc_absent : "");
	info->allocators_unread = strdup(reading->unread.names);
	info->objects_unread = strdup(reading->unread.objects);
	info->allocators_unknown = strdup(reading->unread.unknown);
	info->unaccounted = UINT64_MAX;
	if (!info->malloc_absent || !info->command_line || !info->host || !info->container ||
	    !info->allocators_unread || !info->objects_unread || !info->allocators_unknown)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
	info->python_version = reading->python->version;
	info->heaps = reading->found->heaps;
	info->arenas = reading->found->arenas;
	info->allocated_blocks = reading->found->allocated_blocks;
	info->unstable_pools = reading->found->unread.unstable;
	info->reread_pools = reading->found->unread.reread;
	info->lost_arenas = reading->found->unread.arenas;
	info->malloc_unknown =
		reading->found->malloc.unknown + reading->found->malloc.mapped_unknown;
	info->malloc_vanished = reading->found->malloc.vanished;
	return process_resident(reading->process, &info->rss, &info->rss_anonymous);
}

static const char *part_name(const struct reading *reading, const struct python_census_row *row,
			     char buffer[32])
{
	const struct python_type *type;
	const char *name;

	if ((row->kind != PYTHON_CENSUS_OWNED && row->kind != PYTHON_CENSUS_INDIRECT) ||
	    row->type == PYTHON_NO_TYPE)
		return "";
	type = python_types_get(reading->found->types, row->type);
	name = python_census_field(reading->python, type, row->field);
	if (name)
		return name;
	snprintf(buffer, 32, "+%" PRId32, row->field);
	return buffer;
}

static struct error *items_add(const struct reading *reading)
{
	static const enum census_kind kinds[] = {
		[PYTHON_CENSUS_OBJECT] = CENSUS_OBJECT,
		[PYTHON_CENSUS_UNREFERENCED] = CENSUS_UNREFERENCED,
		[PYTHON_CENSUS_OWNED] = CENSUS_OWNED,
		[PYTHON_CENSUS_INDIRECT] = CENSUS_INDIRECT,
		[PYTHON_CENSUS_UNOWNED] = CENSUS_UNOWNED,
		[PYTHON_CENSUS_NATIVE] = CENSUS_NATIVE,
	};
	const struct python_census *found = reading->found;

	for (size_t i = 0; i < found->row_count; i++) {
		const struct python_census_row *row = &found->rows[i];
		char buffer[32];
		struct census_item item = {
			.kind = kinds[row->kind],
			.type = row->type == PYTHON_NO_TYPE
					? (char *)""
					: python_types_get(found->types, row->type)->name,
			.part = (char *)part_name(reading, row, buffer),
			.count = row->count,
			.size = row->size,
		};

		try(census_add_item(reading->census, &item));
	}
	return NULL;
}

static struct error *sizes_add(const struct reading *reading)
{
	for (size_t i = 0; i < reading->found->size_count; i++) {
		const struct python_census_size *found = &reading->found->sizes[i];
		const struct census_size size = {found->size, 0, false, found->count,
						 found->count * found->size};

		try(census_add_size(reading->census, &size));
	}
	for (unsigned int i = 0; i < PYTHON_CENSUS_NATIVE_CLASSES; i++) {
		const struct glibc_sum *found = &reading->found->native[i];
		const struct census_size size = {1ull << i, i ? 1ull << (i - 1) : 0, true,
						 found->count, found->bytes};

		if (found->count)
			try(census_add_size(reading->census, &size));
	}
	return NULL;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What the process has in memory, as far as it can be told what it is for. */
static struct error *parts_add(const struct reading *reading)
{
	const struct python_census_memory *memory = &reading->found->memory;
	const struct glibc_totals *malloc = &reading->found->malloc;
	const uint64_t all = reading->census->info.rss_anonymous;
	uint64_t used = least(reading->found->size, memory->arenas);
	uint64_t given = least(malloc->states[GLIBC_IN_USE].bytes, memory->malloc_heaps);
	bool other = reading->found->malloc_other;
	char other_name[320];
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
	uint64_t sum = 0, known = memory->arenas, rest;

	if (!memory->known)
		return NULL;
	for (size_t i = 0; i < array_size(parts); i++) {
		if (other && parts[i].glibc)
			continue;
		try(census_add_part(reading->census, parts[i].name, parts[i].size));
		sum += parts[i].size;
		known += parts[i].glibc ? parts[i].size : 0;
	}
	reading->census->info.unaccounted = all > sum ? all - sum : 0;
	if (reading->unread.names[0]) {
		/* Whose mapping is whose cannot be told: threads' stacks are among them. */
		rest = memory->anonymous > known ? memory->anonymous - known : 0;
		rest = least(rest, all > sum ? all - sum : 0);
		snprintf(other_name, sizeof(other_name), "%s%s, not walked, and other mappings",
			 other ? "malloc: " : "", reading->unread.names);
		try(census_add_part(reading->census, other_name, rest));
		sum += rest;
	}
	/* The process goes on while it is looked at. */
	return census_add_part(reading->census, "everything else", all > sum ? all - sum : 0);
}

struct error *heap_census_create(pid_t pid, enum heap_depth depth, struct census **ret)
{
	static const enum python_census_depth depths[] = {
		[HEAP_SIZES] = PYTHON_CENSUS_SIZES,
		[HEAP_TYPES] = PYTHON_CENSUS_TYPES,
		[HEAP_OWNERS] = PYTHON_CENSUS_OWNERS,
	};
	cleanup(reading_deinit) struct reading reading = {0};

	try(process_create(pid, &reading.process));
	try(python_create(reading.process, &reading.python));
	try(python_census_create(reading.python, depths[depth], &reading.found));
	heap_unread_look(reading.python, &reading.unread);
	/* What was read may be of a process that took over its pid, or became another program. */
	try(process_check(reading.process));
	try(census_create(&reading.census));
	try(info_fill(&reading));
	try(items_add(&reading));
	try(sizes_add(&reading));
	try(parts_add(&reading));
	try(census_finish(reading.census));
	*ret = take(reading.census);
	return NULL;
}
