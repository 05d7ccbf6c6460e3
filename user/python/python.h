/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A CPython from outside: which one it is, where its parts lie in the process, how its
 * structures are laid out. Everything that follows is read, checked and refused when it
 * does not check out; nothing is assumed.
 */
#ifndef TMBPF_PYTHON_PYTHON_H
#define TMBPF_PYTHON_PYTHON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/python_kinds.h"
#include "target/elf/image.h"
#include "target/process/process.h"

struct error;

/* Where the line numbers are (Objects/lnotab_notes.txt, InternalDocs/code_objects.md). */
enum python_lines {
	PYTHON_LINES_LNOTAB,    /* 3.6 to 3.9 */
	PYTHON_LINES_LINETABLE, /* 3.10, PEP 626 */
	PYTHON_LINES_LOCATIONS, /* 3.11 on, PEP 657 */
};

/* Offsets in bytes; PYTHON_NO_OFFSET where this version has no such field. */
struct python_layout {
	enum python_frames frames;
	enum python_lines lines;

	struct {
		uint32_t frame; /* frame, cframe or current_frame */
		uint32_t interp, next, thread_id, native_thread_id;
		uint32_t cframe_current; /* in the cframe */
	} tstate;

	struct {
		/* previous; f_code, f_executable; f_lasti (int), prev_instr, instr_ptr */
		uint32_t back, code, lasti;
		uint32_t owner; /* char */
		uint32_t size;  /* bytes from the frame's start that hold all of these */
		/* Owners greater than this are no Python frames (C stack, interpreter). */
		uint8_t owner_max;
		bool code_tagged; /* the low bit of the code word is a tag (3.14 on) */
	} frame;

	struct {
		uint32_t type; /* ob_type */
		uint32_t filename, name, qualname, firstlineno;
		uint32_t linetable; /* co_lnotab, co_linetable: a bytes object */
		/* co_code_adaptive, 3.11 on: the code units follow; else PYTHON_NO_OFFSET */
		uint32_t adaptive;
		/* _co_firsttraceable, 3.11 on: index of a complete frame's first code unit */
		uint32_t firsttraceable;
		/* bytes from the start that hold all fields above (not the code units) */
		uint32_t size;
	} code;

	struct {
		uint32_t length, state; /* PyASCIIObject.length, .state (a word of bit-fields) */
		/* sizeof PyASCIIObject, PyCompactUnicodeObject */
		uint32_t ascii_data, compact_data;
		/* Positions in the state word: kind (3 bits), compact, ascii, ready. */
		uint32_t kind_shift, compact_shift, ascii_shift, ready_shift;
	} unicode;

	struct {
		uint32_t size, data; /* ob_size, ob_sval */
	} bytes;

	struct {
		/* PyTypeObject: its size, tp_name, ... */
		uint32_t object_size, name, basicsize, itemsize, flags, base, dict;
		uint32_t qualname, cached_keys; /* PyHeapTypeObject: ht_qualname, ht_cached_keys */
	} type;

	struct {
		uint32_t keys, values; /* ma_keys, ma_values */
		/* struct _dictkeysobject: dk_size up to 3.10, the next three from 3.11 on */
		uint32_t keys_size, keys_log2_size, keys_log2_index_bytes, keys_kind;
		uint32_t keys_nentries, keys_indices;
	} dict;

	struct {
		uint32_t list_items, set_table, bytearray_bytes; /* ob_item, table, ob_bytes */
	} containers;

	struct {
		/* In _PyRuntime; tstate_current 3.7 to 3.11, auto_tss_key 3.7 to 3.14. */
		uint32_t interpreters_head, tstate_current, auto_tss_key;
		/* 3.12 on: 5 words each */
		uint32_t allocators_raw, allocators_mem, allocators_obj;
	} runtime;

	struct {
		uint32_t next, tstate_head;
	} interp;
};

/* pymalloc's geometry and roots (Objects/obmalloc.c). */
struct python_heap {
	uint32_t alignment;  /* bytes: 16; 8 on old 3.6 and 3.7 releases */
	uint32_t pool_size;  /* bytes */
	uint32_t arena_bits; /* 18 or 20; 21 with huge pages */
	/*
	 * Up to 3.11 pymalloc's state is static: the address of usedpools and of usable_arenas.
	 * From 3.12 it hangs off the interpreter: these are the main interpreter's, and the
	 * offsets below lead to them from any other.
	 */
	/* Addresses in the process; 0: not found (prediction of refills is off). */
	uint64_t usedpools, usable_arenas;
	uint32_t interp_obmalloc; /* offset of interp->obmalloc, PYTHON_NO_OFFSET up to 3.11 */
	bool obmalloc_is_pointer; /* 3.13 on */
	uint32_t obmalloc_usedpools, obmalloc_usable_arenas; /* offsets within _obmalloc_state */
};

struct python_thread {
	enum python_thread_source source;
	uint64_t address; /* GLOBAL: of the word */
	/* STATIC_TLS: from fs base (negative); DTV: offset within the module's block */
	int64_t tls_offset;
	uint64_t tls_module; /* DTV: module id; the dtv pointer is at fs:8 */
	uint32_t dtv_entry;  /* DTV: bytes from one entry to the next; 16 with glibc, 8 with musl */
	/*
	 * A thread's own state whether or not it holds the GIL (PyGILState_GetThisThreadState):
	 * the pthread-specific slot of _PyRuntime's autoTSSkey, at fs base + this; 0 if it could
	 * not be established on this libc (checked against the interpreter's own thread states,
	 * tstate->thread_id == fs base).
	 */
	uint32_t specific_offset;
	/*
	 * The same, and where 3.15 keeps it: at fs base + this, which is negative there (a
	 * thread-local, _Py_tss_gilstate, in place of the key). 0 if it could not be established.
	 */
	int64_t own_offset;
	/*
	 * With musl, keys' values lie in a block of their own, whose address is at fs base + this;
	 * own_offset counts from there. Else 0.
	 */
	uint32_t own_block;
	/* For messages: what it was established from. Static storage. */
	const char *evidence;
};

struct python_allocator { /* PyMemAllocatorEx as it stands in the process */
	uint64_t context, malloc, calloc, realloc, free;
};

#define PYTHON_MALLOC_NAME 96

/*
 * Whose malloc the interpreter's calls reach: glibc's, whose heaps can be walked, or another's. The
 * other one may be put before glibc's (LD_PRELOAD), linked into the program, or another C
 * library's. What the dynamic linker stored for the name tells, not what is mapped: a library may
 * be mapped and not called.
 */

struct python_malloc {
	bool other;                    /* it is not glibc's */
	char name[PYTHON_MALLOC_NAME]; /* of the file that it is in; "" where that is not known */
};

struct python {
	struct process *process; /* not owned */
	uint32_t version;        /* hexversion: 0x030b02f0 */
	bool free_threaded, debug_build;
	/* The executable mapping of the interpreter's code (path owned here). */
	struct process_map map;
	struct image *image; /* owned: the executable or libpython */
	bool is_shared;      /* libpython, not the executable */
	uint64_t bias;       /* process address = image address + bias */
	uint64_t runtime;    /* address of _PyRuntime in the process; 0 on 3.6 */
	struct python_layout layout;
	char *layout_source;     /* for messages: release and DWARF, or _Py_DebugOffsets; owned */
	uint64_t interpreter;    /* the main PyInterpreterState in the process */
	unsigned thread_states;  /* that were found and checked, of all interpreters */
	unsigned frames_checked; /* of them, whose frames led to code objects with sane names */
	struct python_heap heap;
	struct python_thread thread;
	/* The raw allocator's table in the process, 0 unknown; see python_allocators(). */
	uint64_t allocators;
	struct python_malloc malloc;
	/* Where python_heaps_read() found pymalloc's heaps last, 0: nowhere yet. Owned, or NULL. */
	uint64_t *heaps_word;
};

/*
 * Finds the interpreter in PROCESS and checks all of it. Refuses, with what was found: no Python
 * there; a version out of 3.6 to 3.15; a free-threaded build; a layout that does not hold for the
 * living thread states and frames; an interpreter that is not initialised yet (error_number() is
 * EAGAIN: one may try again).
 */
struct error *python_create(struct process *process, struct python **ret);
void python_destroy(struct python *python);

/* "3.11.2"; RET holds at least 24 bytes. */
void python_version_text(uint32_t version, char *ret);

/*
 * The three allocator tables (raw, mem, obj) as they are in the process now. RAW, MEM and OBJ are
 * the tables' addresses in the process, as the caller found them in the image (plus the bias); 0:
 * where the layout says (3.12 on), else it fails.
 */
struct error *python_allocators(const struct python *python, uint64_t raw, uint64_t mem,
				uint64_t obj, struct python_allocator ret[3]);

#endif
