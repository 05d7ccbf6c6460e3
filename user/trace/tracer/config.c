// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Translates the interpreter's layout for the BPF programs. */
#include "trace/tracer/config.h"

#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/random.h"

static void config_layout(const struct python_layout *layout, struct tmbpf_config *ret)
{
	ret->frames = layout->frames;
	ret->tstate_frame = layout->tstate.frame;
	ret->tstate_interp = layout->tstate.interp;
	ret->tstate_thread_id = layout->tstate.thread_id;
	ret->cframe_current = layout->tstate.cframe_current;
	ret->frame_back = layout->frame.back;
	ret->frame_code = layout->frame.code;
	ret->frame_lasti = layout->frame.lasti;
	ret->frame_owner = layout->frame.owner;
	ret->frame_size = layout->frame.size;
	ret->frame_owner_max = layout->frame.owner_max;
	/* Code objects are aligned to 16 bytes, so all low bits of the word are tags. */
	ret->code_tag_mask = layout->frame.code_tagged ? 7 : 0;
	ret->code_filename = layout->code.filename;
	ret->code_name = layout->code.name;
	ret->code_qualname = layout->code.qualname;
	ret->code_firstlineno = layout->code.firstlineno;
	ret->code_linetable = layout->code.linetable;
	ret->code_firsttraceable = layout->code.firsttraceable;
	ret->code_adaptive = layout->code.adaptive;
	ret->unicode_length = layout->unicode.length;
	ret->unicode_state = layout->unicode.state;
	ret->unicode_kind_shift = layout->unicode.kind_shift;
	ret->unicode_ascii_data = layout->unicode.ascii_data;
	ret->unicode_compact_data = layout->unicode.compact_data;
	ret->bytes_size = layout->bytes.size;
	ret->bytes_data = layout->bytes.data;
}

static struct error *config_heap(const struct python *python, const struct plan *plan,
				 const struct sites *sites, struct tmbpf_config *ret)
{
	const struct python_heap *heap = &python->heap;

	ret->granule_shift = heap->alignment == 8 ? 3 : 4;
	ret->pool_size = heap->pool_size;
	if (!sites_pymalloc(sites)) {
		ret->heap_kind = TMBPF_HEAP_NONE;
		return NULL;
	}
	if (heap->interp_obmalloc != PYTHON_NO_OFFSET) {
		ret->heap_kind = heap->obmalloc_is_pointer ? TMBPF_HEAP_POINTER : TMBPF_HEAP_INLINE;
		ret->interp_obmalloc = heap->interp_obmalloc;
		ret->obmalloc_usedpools = heap->obmalloc_usedpools;
		ret->obmalloc_usable_arenas = heap->obmalloc_usable_arenas;
		return NULL;
	}
	ret->heap_kind = TMBPF_HEAP_STATIC;
	ret->usedpools = plan->usedpools ? plan->usedpools + python->bias : heap->usedpools;
	ret->usable_arenas = plan->usable_arenas ? plan->usable_arenas + python->bias
						 : heap->usable_arenas;
	if (plan->usedpools && heap->usedpools && ret->usedpools != heap->usedpools)
		return error_create(ERROR_FAILED,
				    "process %d: pymalloc's pools are at 0x%llx by the code "
				    "and at 0x%llx by the memory",
				    python->process->pid, (unsigned long long)ret->usedpools,
				    (unsigned long long)heap->usedpools);
	if (!ret->usedpools || !ret->usable_arenas)
		return error_create(ERROR_FAILED, "process %d: pymalloc's state was not found",
				    python->process->pid);
	return NULL;
}

struct error *config_fill(const struct python *python, const struct plan *plan,
			  const struct sites *sites, struct tmbpf_config *ret)
{
	const struct python_layout *layout = &python->layout;

	memset(ret, 0, sizeof(*ret));
	if (layout->frame.size > TMBPF_FRAME_BYTES || layout->frame.lasti + 8 > TMBPF_FRAME_BYTES)
		return error_create(ERROR_FAILED,
				    "frames of this interpreter are too large (%u bytes)",
				    layout->frame.size);
	config_layout(layout, ret);
	try(config_heap(python, plan, sites, ret));
	ret->pid = python->process->pid;
	ret->thread_source = python->thread.source;
	ret->thread_address = python->thread.address;
	ret->tls_offset = python->thread.tls_offset;
	ret->tls_module = python->thread.tls_module;
	ret->own_offset = python->thread.own_offset;
	ret->own_block = python->thread.own_block;
	ret->dtv_entry = python->thread.dtv_entry;
	if (sites_hooks(sites) & SITES_DEBUG) {
		/*
		 * PYMEM_DEBUG_EXTRA_BYTES (Objects/obmalloc.c): three words around a block, two of
		 * them in front. With serial numbers there are four, which only 3.7 and older have
		 * in release builds.
		 */
		ret->hook_extra = python->version < 0x03080000 ? 32 : 24;
		ret->hook_delta = 16;
	}
	ret->mode = sites_lazy_free(sites) ? TMBPF_MODE_LAZY : TMBPF_MODE_EXACT;
	sites_raw_table(sites, &ret->raw_table, &ret->raw_malloc);
	ret->hooked_raw = !!(sites_hooks(sites) & SITES_TRACEMALLOC);
	return random_fill(ret->seed, sizeof(ret->seed));
}
