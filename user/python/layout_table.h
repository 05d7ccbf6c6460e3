/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table that scripts/layouts writes: one entry for each CPython 3.x, with the layout of the
 * release that the entry names. Patch releases that differ are told by what is verified live.
 */
#ifndef TMBPF_PYTHON_LAYOUT_TABLE_H
#define TMBPF_PYTHON_LAYOUT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "python/python.h"

/* Where _Py_DebugOffsets (3.13 on, at the start of _PyRuntime) keeps each offset, bytes. */
struct layout_debug {
	uint32_t size; /* of the structure in the release named; 0 up to 3.12 */
	uint32_t version, free_threaded;
	uint32_t interpreters_head;
	uint32_t interp_next, interp_threads_head;
	uint32_t tstate_next, tstate_interp, tstate_current_frame;
	uint32_t tstate_thread_id, tstate_native_thread_id;
	uint32_t frame_previous, frame_executable, frame_instr_ptr, frame_owner;
	uint32_t code_filename, code_name, code_qualname, code_linetable, code_firstlineno;
	uint32_t code_adaptive;
	uint32_t object_type;
	uint32_t bytes_size, bytes_data;
	uint32_t unicode_state, unicode_length, unicode_ascii_size;
};

struct layout_entry {
	unsigned minor;     /* of 3.minor */
	const char *source; /* the release and what its DWARF was read from */
	struct python_layout layout;
	/* From 3.12; the offset in the interpreter varies, so it is where the search begins. */
	uint32_t interp_obmalloc;
	bool obmalloc_is_pointer;
	uint32_t obmalloc_usedpools, obmalloc_usable_arenas;
	struct layout_debug debug;
};

extern const struct layout_entry layout_table[];
extern const size_t layout_count;

#endif
