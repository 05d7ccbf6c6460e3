// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which malloc the interpreter calls: by the words through which it calls it. */
#include "python/malloc.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/python_internal.h"

/* Any one tells: who brings one of these brings all. */
static const char *const functions[] = {"malloc", "calloc", "realloc", "free"};

static bool is_slot(const struct image_relocation *relocation)
{
	if (relocation->addend ||
	    (relocation->type != R_X86_64_JUMP_SLOT && relocation->type != R_X86_64_GLOB_DAT &&
	     relocation->type != R_X86_64_64))
		return false;
	for (size_t i = 0; i < array_size(functions); i++)
		if (!strcmp(relocation->symbol, functions[i]))
			return true;
	return false;
}

static const struct process_map *map_at(const struct process_map *maps, size_t count,
					uint64_t address)
{
	for (size_t i = 0; i < count; i++)
		if (address >= maps[i].start && address < maps[i].end)
			return &maps[i];
	return NULL;
}

/*
 * The word of RELOCATION leads into the interpreter's own file: is that the function, or only the
 * way to the dynamic linker?
 */
static bool own_function(const struct python *python, const struct image_relocation *relocation,
			 uint64_t word)
{
	const struct image_symbol *symbol = image_symbol(python->image, relocation->symbol);

	return symbol && symbol->address + python->bias == word;
}

static bool is_glibc(const char *name)
{
	return !strncmp(name, "libc.so.6", 9) || !strncmp(name, "libc-2.", 7);
}

/* What the first word tells that leads to a file; false: none does. */
static bool slots_follow(const struct python *python, const struct process_map *maps, size_t count,
			 struct python_malloc *ret)
{
	const struct image *image = python->image;

	for (size_t i = 0; i < image->relocation_count; i++) {
		const struct image_relocation *relocation = &image->relocations[i];
		const struct process_map *map;
		struct error *error;
		const char *name;
		uint64_t word;

		if (!is_slot(relocation))
			continue;
		error = memory_read_u64(&python->process->memory,
					relocation->address + python->bias, &word);
		map = error ? NULL : map_at(maps, count, word);
		error_destroy(error);
		if (!map || map->path[0] != '/' || !map->executable ||
		    (map->inode == python->map.inode && !own_function(python, relocation, word)))
			continue;
		name = strrchr(map->path, '/') + 1;
		snprintf(ret->name, sizeof(ret->name), "%s", name);
		ret->other = !is_glibc(name);
		return true;
	}
	return false;
}

struct error *python_malloc_find(struct python *python)
{
	struct python_malloc found = {0};
	struct process_map *maps;
	size_t count;

	try(process_maps(python->process, &maps, &count));
	slots_follow(python, maps, count, &found);
	process_maps_destroy(maps, count);
	python->malloc = found;
	return NULL;
}

struct error *python_glibc_create(const struct python *python, const struct glibc_range *excluded,
				  size_t count, struct glibc **ret)
{
	const struct python_malloc *found = &python->malloc;

	return glibc_create(python->process, excluded, count, found->other ? found->name : NULL,
			    ret);
}
