/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The steps of python_create(), from the bottom up: each file uses those above it only. A step
 * fills its part of struct python from what the steps before it found, and refuses what does not
 * check out.
 */
#ifndef TMBPF_PYTHON_PYTHON_INTERNAL_H
#define TMBPF_PYTHON_PYTHON_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#include "python/python.h"

/* python.c: the address in the process of a symbol of the interpreter's file, 0 for none. */
uint64_t python_symbol(const struct python *python, const char *name);

/* python.c: might the next look at the process go without ERROR? Not once it has gone. */
bool python_worth_trying(const struct error *error);
/*
 * python.c: how often and how long to try again what a running target may have changed while it
 * was read. True after a pause if TRIES, which counts up, is not used up.
 */
bool python_try_again(unsigned *tries);

/* A PyThreadState as it was read, at ADDRESS. */
struct python_state {
	uint64_t address, interpreter;
	/* pthread_self(): with glibc and musl the thread pointer; 0: not bound yet */
	uint64_t thread_id;
	uint64_t native_id; /* thread id in the process's own pid namespace; 0 unknown */
	uint64_t frame;     /* the current frame, 0: none */
};

struct python_thread_states {
	struct python_state *list;
	size_t count;
	uint64_t *interpreters;
	size_t interpreter_count;
};

/*
 * thread_states.c: all thread states of all interpreters. Fails where a list does not hold
 * together, which may also be because it changed meanwhile: try again.
 */
struct error *python_thread_states_read(const struct python *python,
					struct python_thread_states *ret);
void python_thread_states_deinit(struct python_thread_states *states);

/* thread_states.c: the error (EAGAIN) for an interpreter that is not initialised yet. */
struct error *python_starting(const struct python *python);

/* version.c: version, debug_build. Refuses versions out of 3.6 to 3.15 and debug builds. */
struct error *python_identify(struct python *python);
/* version.c: fails for the file of a CPython 2. */
struct error *python_refuse_2(const struct image *image);
/* version.c: "3.8.18", "3.9.0rc1+" to a hexversion; false if it is none. */
bool python_version_parse(const char *text, uint32_t *ret);

/* layout.c: runtime, layout, layout_source, free_threaded. Refuses free-threaded builds. */
struct error *python_layout_find(struct python *python);

/* layout.c: the entry of layout_table for VERSION, NULL for none. */
struct layout_entry;
const struct layout_entry *python_layout_entry(uint32_t version);

/*
 * check.c: the layout against the living: threads, frames, code objects. Fills interpreter,
 * thread_states and frames_checked.
 */
struct error *python_check(struct python *python);
/*
 * check.c: the code object that the frame at FRAME runs, 0 for a frame of the interpreter's own (a
 * shim, whose owner or executable says so); and the frame that called it, 0: none.
 */
struct error *python_frame_read(const struct python *python, uint64_t frame, uint64_t *ret_code,
				uint64_t *ret_back);

/* thread.c: thread; and layout.runtime.tstate_current where a patch release differs. */
struct error *python_thread_find(struct python *python);

/* pymalloc_roots.c: heap. Roots that are not found stay 0; no error for that. */
struct error *python_heap_find(struct python *python);
/*
 * pymalloc_roots.c: where the words of SEGMENT lie in the process (RET_SIZE bytes, at least one
 * word), if it is one of variables. False for other segments, and for one that is larger than a
 * CPython's ever was.
 */
bool python_segment_words(const struct python *python, const struct image_segment *segment,
			  uint64_t *ret_start, uint64_t *ret_size);

/* malloc.c: malloc. */
struct error *python_malloc_find(struct python *python);

#endif
