// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The steps from a process to a CPython that is understood: each fills its part of struct python
 * from what the steps before it found.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "python/find.h"
#include "python/python_internal.h"

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
