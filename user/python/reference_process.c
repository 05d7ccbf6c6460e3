// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The interpreter of a process that is only about to start, by what is known of another process
 * that runs the same file.
 */
#include "python/reference_process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/find.h"
#include "python/python_internal.h"

struct error *python_present(struct process *process, bool *ret)
{
	cleanup(python_candidates_deinit) struct python_candidates candidates = {0};
	cleanup_free char *near = NULL;

	try(python_find(process, &candidates, &near));
	for (size_t i = 0; i < candidates.count; i++)
		try(python_refuse_2(candidates.list[i]->image));
	*ret = candidates.count > 0;
	return NULL;
}

static bool image_same(const struct image *one, const struct image *other)
{
	if (one->size != other->size || one->build_id_size != other->build_id_size)
		return false;
	if (one->build_id_size)
		return !memcmp(one->build_id, other->build_id, one->build_id_size);
	return !memcmp(one->data, other->data, one->size);
}

/* What REFERENCE knows goes over to PYTHON; addresses move by the distance of their files. */
static struct error *knowledge_move(const struct python *reference, struct python *python)
{
	uint64_t distance = python->bias - reference->bias;

	python->version = reference->version;
	python->layout = reference->layout;
	python->layout_source = strdup(reference->layout_source ? reference->layout_source : "");
	if (!python->layout_source)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot follow the interpreter");
	python->runtime = reference->runtime ? reference->runtime + distance : 0;
	python->heap = reference->heap;
	python->thread = reference->thread;
	python->malloc = reference->malloc;
	if (python->thread.address)
		python->thread.address += distance;
	if (python->allocators)
		python->allocators = reference->allocators + distance;
	/*
	 * From 3.12 on the heap hangs off the interpreter, which is not there yet. Up to 3.11 it is
	 * in the file.
	 */
	if (python->heap.interp_obmalloc != PYTHON_NO_OFFSET) {
		python->heap.usedpools = python->heap.usable_arenas = 0;
	} else {
		if (python->heap.usedpools)
			python->heap.usedpools += distance;
		if (python->heap.usable_arenas)
			python->heap.usable_arenas += distance;
	}
	return NULL;
}

struct error *python_create_by_reference(struct process *process, const struct python *reference,
					 struct python **ret)
{
	cleanup(python_candidates_deinit) struct python_candidates candidates = {0};
	cleanup_free char *near = NULL;

	try(python_find(process, &candidates, &near));
	for (size_t i = 0; i < candidates.count; i++) {
		if (!image_same(candidates.list[i]->image, reference->image))
			continue;
		try(knowledge_move(reference, candidates.list[i]));
		*ret = take(candidates.list[i]);
		return NULL;
	}
	return error_create(ERROR_FAILED, "process %d does not run %s", (int)process->pid,
			    reference->image->path);
}

/*
 * Layouts are filled member by member into zeroed memory, so their bytes can be compared. A byte
 * between members that differed would only refuse.
 */
static bool layout_same(const struct python_layout *one, const struct python_layout *other)
{
	/* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
	return !memcmp(one, other, sizeof(*one));
}

bool python_agrees(const struct python *one, const struct python *other)
{
	const struct python_heap *heap = &one->heap, *found = &other->heap;

	return one->version == other->version && one->runtime == other->runtime &&
	       one->bias == other->bias && layout_same(&one->layout, &other->layout) &&
	       heap->alignment == found->alignment && heap->pool_size == found->pool_size &&
	       heap->interp_obmalloc == found->interp_obmalloc &&
	       (heap->interp_obmalloc != PYTHON_NO_OFFSET || heap->usedpools == found->usedpools) &&
	       heap->obmalloc_is_pointer == found->obmalloc_is_pointer &&
	       one->thread.source == other->thread.source &&
	       one->thread.address == other->thread.address &&
	       one->thread.tls_offset == other->thread.tls_offset &&
	       one->thread.tls_module == other->thread.tls_module &&
	       one->thread.dtv_entry == other->thread.dtv_entry &&
	       one->thread.own_block == other->thread.own_block &&
	       one->thread.own_offset == other->thread.own_offset;
}
