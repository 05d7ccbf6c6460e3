// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Looks through what a process maps for files that define a CPython. */
#include "python/find.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

/* What an embedding program may map at most of them. */
#define CANDIDATES_MAX 16

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool may_hold_python(const struct process *process, const struct process_map *map)
{
	size_t length = strlen(process->executable);

	if (!map->executable || !map->inode)
		return false;
	if (!strncmp(base_name(map->path), "libpython", strlen("libpython")))
		return true;
	/* /proc/PID/exe's link has " (deleted)" appended as well, once the file is replaced. */
	return !strcmp(map->path, process->executable) ||
	       (map->deleted && length > strlen(map->path) &&
		!strncmp(map->path, process->executable, strlen(map->path)) &&
		!strcmp(process->executable + strlen(map->path), " (deleted)"));
}

/* _PyRuntime from 3.7 on, _PyThreadState_Current before (and in 2.7): exported in every build. */
static bool defines_python(const struct image *image)
{
	return image_symbol(image, "_PyRuntime") || image_symbol(image, "_PyThreadState_Current");
}

/* Why a file of that kind is no candidate, in words; NULL: there is nothing of note. */
static char *near_miss(const struct image *image)
{
	char *text = NULL;

	if (image_section(image, ".PyRuntime")) {
		if (asprintf(&text,
			     "%s has CPython's section .PyRuntime but no symbol _PyRuntime: "
			     "its dynamic symbol table was removed",
			     image->path) < 0)
			return NULL;
	} else if (!image->symbol_count && strstr(base_name(image->path), "python")) {
		if (asprintf(&text, "%s has no symbols at all, not even dynamic ones",
			     image->path) < 0)
			return NULL;
	}
	return text;
}

static struct error *candidate_add(struct process *process, const struct process_map *map,
				   struct image *image, struct python_candidates *candidates)
{
	struct python **list, *python = NULL;

	list = reallocarray(candidates->list, candidates->count + 1, sizeof(struct python *));
	if (list)
		candidates->list = list;
	if (list)
		python = calloc(1, sizeof(*python));
	if (!python) {
		image_destroy(image);
		return error_create_errno(ERROR_FAILED, ENOMEM, "%s", map->path);
	}
	python->process = process;
	python->image = image;
	python->map = *map;
	python->map.path = strdup(map->path);
	python->is_shared = !strncmp(base_name(map->path), "libpython", strlen("libpython"));
	python->bias = image_bias(image, map->start, map->offset);
	python->heaps_word = calloc(1, sizeof(*python->heaps_word));
	candidates->list[candidates->count++] = python;
	return python->map.path && python->heaps_word
		       ? NULL
		       : error_create_errno(ERROR_FAILED, ENOMEM, "%s", map->path);
}

static bool same_file(const struct process_map *left, const struct process_map *right)
{
	return left->inode == right->inode && left->device == right->device;
}

static struct error *map_examine(struct process *process, const struct process_map *map,
				 struct python_candidates *candidates, char **near)
{
	struct image *image;
	size_t i;
	int fd;

	/* A file may have several executable mappings: the first tells where it lies. */
	for (i = 0; i < candidates->count; i++)
		if (same_file(&candidates->list[i]->map, map))
			return NULL;
	if (candidates->count == CANDIDATES_MAX)
		return error_create(ERROR_FAILED, "process %d maps more than %d CPythons",
				    (int)process->pid, CANDIDATES_MAX);
	try(process_open_map(process, map, &fd));
	try(image_create(fd, map->path, &image));
	if (defines_python(image))
		return candidate_add(process, map, image, candidates);
	if (!*near)
		*near = near_miss(image);
	image_destroy(image);
	return NULL;
}

struct maps {
	struct process_map *list;
	size_t count;
};

static void maps_cleanup(struct maps *maps)
{
	process_maps_destroy(maps->list, maps->count);
}

struct error *python_find(struct process *process, struct python_candidates *ret, char **ret_near)
{
	cleanup(python_candidates_deinit) struct python_candidates candidates = {0};
	cleanup(maps_cleanup) struct maps maps = {0};
	cleanup_free char *near = NULL;
	size_t i;

	try(process_maps(process, &maps.list, &maps.count));
	for (i = 0; i < maps.count; i++)
		if (may_hold_python(process, &maps.list[i]))
			try(map_examine(process, &maps.list[i], &candidates, &near));
	*ret = candidates;
	candidates = (struct python_candidates){0};
	*ret_near = take(near);
	return NULL;
}

void python_candidates_deinit(struct python_candidates *candidates)
{
	size_t i;

	for (i = 0; i < candidates->count; i++)
		python_destroy(candidates->list[i]);
	free(candidates->list);
	*candidates = (struct python_candidates){0};
}
