// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The offsets of a CPython: from the table, from 3.13 on from what _Py_DebugOffsets says. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/layout_table.h"
#include "python/python_internal.h"

/* No release's is larger; what lies behind the part that is known is not looked at. */
#define DEBUG_SIZE_MAX 4096

const struct layout_entry *python_layout_entry(uint32_t version)
{
	size_t i;

	for (i = 0; i < layout_count; i++)
		if (layout_table[i].minor == (version >> 16 & 0xff))
			return &layout_table[i];
	return NULL;
}

/* One offset of _Py_DebugOffsets: where it stands, where it goes, what it must be below. */
struct debug_field {
	const char *name;
	uint32_t at;
	uint32_t *to;
	uint32_t limit, align;
};

static struct error *debug_fields_read(const struct python *python, const uint8_t *data,
				       const struct debug_field *fields, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		const struct debug_field *field = &fields[i];
		uint64_t value;

		memcpy(&value, data + field->at, sizeof(value));
		if (value >= field->limit || value % field->align)
			return error_create(ERROR_FAILED,
					    "%s: _Py_DebugOffsets says %" PRIu64
					    " for %s, which cannot be",
					    python->image->path, value, field->name);
		*field->to = value;
	}
	return NULL;
}

/* Structures as large as these have never been; a field beyond is a sign of damage. */
enum { RUNTIME_MAX = 1 << 22, INTERP_MAX = 1 << 22, TSTATE_MAX = 1 << 14, SMALL_MAX = 1 << 9 };

static struct error *debug_layout_read(const struct python *python, const uint8_t *data,
				       const struct layout_debug *at, struct python_layout *layout)
{
	const struct debug_field fields[] = {
		{"interpreters_head", at->interpreters_head, &layout->runtime.interpreters_head,
		 RUNTIME_MAX, 8},
		{"interpreter.next", at->interp_next, &layout->interp.next, INTERP_MAX, 8},
		{"interpreter.threads_head", at->interp_threads_head, &layout->interp.tstate_head,
		 INTERP_MAX, 8},
		{"thread.next", at->tstate_next, &layout->tstate.next, TSTATE_MAX, 8},
		{"thread.interp", at->tstate_interp, &layout->tstate.interp, TSTATE_MAX, 8},
		{"thread.current_frame", at->tstate_current_frame, &layout->tstate.frame,
		 TSTATE_MAX, 8},
		{"thread.thread_id", at->tstate_thread_id, &layout->tstate.thread_id, TSTATE_MAX,
		 8},
		{"thread.native_thread_id", at->tstate_native_thread_id,
		 &layout->tstate.native_thread_id, TSTATE_MAX, 8},
		{"frame.previous", at->frame_previous, &layout->frame.back, SMALL_MAX, 8},
		{"frame.executable", at->frame_executable, &layout->frame.code, SMALL_MAX, 8},
		{"frame.instr_ptr", at->frame_instr_ptr, &layout->frame.lasti, SMALL_MAX, 8},
		{"frame.owner", at->frame_owner, &layout->frame.owner, SMALL_MAX, 1},
		{"code.filename", at->code_filename, &layout->code.filename, SMALL_MAX, 8},
		{"code.name", at->code_name, &layout->code.name, SMALL_MAX, 8},
		{"code.qualname", at->code_qualname, &layout->code.qualname, SMALL_MAX, 8},
		{"code.linetable", at->code_linetable, &layout->code.linetable, SMALL_MAX, 8},
		{"code.firstlineno", at->code_firstlineno, &layout->code.firstlineno, SMALL_MAX, 4},
		{"code.adaptive", at->code_adaptive, &layout->code.adaptive, SMALL_MAX, 8},
		{"object.type", at->object_type, &layout->code.type, SMALL_MAX, 8},
		{"bytes.size", at->bytes_size, &layout->bytes.size, SMALL_MAX, 8},
		{"bytes.data", at->bytes_data, &layout->bytes.data, SMALL_MAX, 1},
		{"unicode.state", at->unicode_state, &layout->unicode.state, SMALL_MAX, 4},
		{"unicode.length", at->unicode_length, &layout->unicode.length, SMALL_MAX, 8},
		{"unicode.asciiobject_size", at->unicode_ascii_size, &layout->unicode.ascii_data,
		 SMALL_MAX, 8},
	};

	return debug_fields_read(python, data, fields, array_size(fields));
}

static uint32_t max(uint32_t left, uint32_t right)
{
	return left > right ? left : right;
}

/* The sizes that hold all fields, and what _Py_DebugOffsets does not carry. */
static struct error *debug_layout_complete(const struct python *python,
					   const struct layout_entry *entry,
					   struct python_layout *layout)
{
	const struct python_layout *known = &entry->layout;

	layout->frame.size = max(max(layout->frame.back, layout->frame.code) + 8,
				 max(layout->frame.lasti + 8, layout->frame.owner + 1));
	/*
	 * _co_firsttraceable stands a fixed way before the code units; they are where the rest
	 * ends.
	 */
	layout->code.firsttraceable =
		layout->code.adaptive - (known->code.adaptive - known->code.firsttraceable);
	layout->code.size = layout->code.adaptive;
	layout->unicode.compact_data = layout->unicode.ascii_data +
				       (known->unicode.compact_data - known->unicode.ascii_data);
	if (layout->code.firsttraceable > layout->code.size - 4 ||
	    max(max(layout->code.filename, layout->code.name),
		max(layout->code.qualname, layout->code.linetable)) > layout->code.size - 8 ||
	    layout->code.firstlineno > layout->code.size - 4 ||
	    layout->unicode.length > layout->unicode.ascii_data - 8 ||
	    layout->unicode.state > layout->unicode.ascii_data - 4)
		return error_create(ERROR_FAILED, "%s: _Py_DebugOffsets contradicts itself",
				    python->image->path);
	/*
	 * The allocator tables and autoTSSkey lie at fixed ways behind interpreters.head (they are
	 * verified where they are used).
	 */
	if (layout->runtime.interpreters_head != known->runtime.interpreters_head) {
		uint32_t shift =
			layout->runtime.interpreters_head - known->runtime.interpreters_head;

		layout->runtime.allocators_raw += shift;
		layout->runtime.allocators_mem += shift;
		layout->runtime.allocators_obj += shift;
		if (layout->runtime.auto_tss_key != PYTHON_NO_OFFSET)
			layout->runtime.auto_tss_key += shift;
	}
	return NULL;
}

static struct error *debug_offsets_read(struct python *python, const struct layout_entry *entry)
{
	const struct layout_debug *at = &entry->debug;
	struct python_layout layout = entry->layout;
	uint8_t data[DEBUG_SIZE_MAX];
	uint64_t version, free_threaded;
	char text[24];

	if (at->size > sizeof(data))
		return error_create(ERROR_FAILED, "_Py_DebugOffsets of %s is larger than expected",
				    entry->source);
	try(memory_read(&python->process->memory, python->runtime, data, at->size));
	if (memcmp(data, "xdebugpy", 8))
		return error_create(ERROR_FAILED,
				    "%s: _PyRuntime does not begin with _Py_DebugOffsets",
				    python->image->path);
	memcpy(&version, data + at->version, sizeof(version));
	if (version != python->version)
		return error_create(ERROR_FAILED,
				    "%s: _Py_DebugOffsets is of version 0x%" PRIx64
				    ", the file of 0x%" PRIx32,
				    python->image->path, version, python->version);
	memcpy(&free_threaded, data + at->free_threaded, sizeof(free_threaded));
	python->free_threaded = free_threaded;
	python_version_text(python->version, text);
	if (free_threaded)
		return error_create(ERROR_FAILED,
				    "%s is a free-threaded build of CPython %s; tmbpf knows builds "
				    "with the GIL only",
				    python->image->path, text);
	try(debug_layout_read(python, data, at, &layout));
	try(debug_layout_complete(python, entry, &layout));
	python->layout = layout;
	return NULL;
}

struct error *python_layout_find(struct python *python)
{
	const struct layout_entry *entry = python_layout_entry(python->version);
	char text[24];

	python_version_text(python->version, text);
	if (!entry)
		return error_create(ERROR_FAILED, "CPython %s: no layout is known", text);
	if (entry->minor >= 7) {
		python->runtime = python_symbol(python, "_PyRuntime");
		if (!python->runtime)
			return error_create(ERROR_FAILED, "%s: no symbol _PyRuntime",
					    python->image->path);
	}
	if (entry->debug.size)
		try(debug_offsets_read(python, entry));
	else
		python->layout = entry->layout;
	if (asprintf(&python->layout_source, "%s%s",
		     entry->debug.size ? "_Py_DebugOffsets; the rest " : "", entry->source) < 0) {
		python->layout_source = NULL;
		return error_create_errno(ERROR_FAILED, ENOMEM, "%s", python->image->path);
	}
	return NULL;
}
