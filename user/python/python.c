// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "python/python.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/find.h"
#include "python/python_internal.h"

/* A hot target is read torn now and then; over a tenth of a second of failures are no accident. */
#define TRIES_MAX       25
#define TRY_NANOSECONDS 5000000

bool python_worth_trying(const struct error *error)
{
	return error_kind(error) != ERROR_NOTHING && error_number(error) != EAGAIN;
}

bool python_try_again(unsigned *tries)
{
	struct timespec pause = {.tv_nsec = TRY_NANOSECONDS};

	if (++*tries >= TRIES_MAX)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

uint64_t python_symbol(const struct python *python, const char *name)
{
	const struct image_symbol *symbol = image_symbol(python->image, name);

	return symbol ? symbol->address + python->bias : 0;
}

static struct error *python_examine(struct python *python)
{
	try(python_identify(python));
	try(python_layout_find(python));
	try(python_check(python));
	try(python_thread_find(python));
	try(python_heap_find(python));
	try(python_malloc_find(python));
	if (python->layout.runtime.allocators_raw != PYTHON_NO_OFFSET)
		python->allocators = python->runtime + python->layout.runtime.allocators_raw;
	return NULL;
}

static struct error *not_python(const struct process *process, const char *near)
{
	struct error *error;

	if (near)
		return error_create(ERROR_FAILED, "process %d (%s): %s", (int)process->pid,
				    process->command_line, near);
	error = error_create(ERROR_FAILED, "process %d (%s) is not a CPython", (int)process->pid,
			     process->command_line);
	return error_advise(error, "Neither %s nor a libpython in it defines _PyRuntime.",
			    process->executable);
}

/*
 * The one candidate that is a living interpreter: a second libpython may be mapped that was never
 * initialised.
 */
static struct error *candidates_examine(struct process *process,
					struct python_candidates *candidates, struct python **ret)
{
	struct error *first = NULL;
	struct python *good = NULL;
	size_t i;

	for (i = 0; i < candidates->count; i++) {
		struct error *error = python_examine(candidates->list[i]);

		if (error && !first)
			first = error;
		else
			error_destroy(error);
		if (error)
			continue;
		if (good) {
			error_destroy(first);
			error = error_create(ERROR_FAILED,
					     "process %d has two CPythons at work: %s and %s",
					     (int)process->pid, good->image->path,
					     candidates->list[i]->image->path);
			python_destroy(good);
			return error;
		}
		good = take(candidates->list[i]);
	}
	if (!good)
		return first;
	error_destroy(first);
	*ret = good;
	return NULL;
}

struct error *python_create(struct process *process, struct python **ret)
{
	cleanup(python_candidates_deinit) struct python_candidates candidates = {0};
	cleanup_free char *near = NULL;
	struct error *error;

	error = python_find(process, &candidates, &near);
	if (!error && !candidates.count)
		error = not_python(process, near);
	if (!error)
		error = candidates_examine(process, &candidates, ret);
	if (error) {
		/* Whatever went wrong, that the process has gone says more. */
		struct error *gone = process_check(process);

		if (gone) {
			error_destroy(error);
			return gone;
		}
	}
	return error;
}

void python_destroy(struct python *python)
{
	if (!python)
		return;
	image_destroy(python->image);
	free(python->map.path);
	free(python->layout_source);
	free(python->heaps_word);
	free(python);
}

static struct error *allocator_read(const struct python *python, uint64_t address, uint32_t offset,
				    struct python_allocator *ret)
{
	if (!address && offset == PYTHON_NO_OFFSET)
		return error_create(ERROR_FAILED,
				    "%s: the address of an allocator table is not known",
				    python->image->path);
	if (!address)
		address = python->runtime + offset;
	return memory_read(&python->process->memory, address, ret, sizeof(*ret));
}

struct error *python_allocators(const struct python *python, uint64_t raw, uint64_t mem,
				uint64_t obj, struct python_allocator ret[3])
{
	struct python_allocator tables[3];

	_Static_assert(sizeof(tables[0]) == 5 * sizeof(uint64_t), "PyMemAllocatorEx: 5 words");
	try(allocator_read(python, raw, python->layout.runtime.allocators_raw, &tables[0]));
	try(allocator_read(python, mem, python->layout.runtime.allocators_mem, &tables[1]));
	try(allocator_read(python, obj, python->layout.runtime.allocators_obj, &tables[2]));
	memcpy(ret, tables, sizeof(tables));
	return NULL;
}
