/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* In which of several ways an interpreter keeps what is read of it. */
#ifndef TMBPF_SHARED_PYTHON_KINDS_H
#define TMBPF_SHARED_PYTHON_KINDS_H

/* How frames are linked and what tells the line (Include/internal/pycore_frame.h and older). */
enum python_frames {
	PYTHON_FRAMES_OBJECT,   /* 3.6 to 3.10: PyFrameObject, f_back, f_lasti */
	PYTHON_FRAMES_CFRAME,   /* 3.11, 3.12: tstate->cframe->current_frame, prev_instr */
	PYTHON_FRAMES_INTERNAL, /* 3.13 on: tstate->current_frame, instr_ptr */
};

/* How to find the current thread's PyThreadState. */
enum python_thread_source {
	PYTHON_THREAD_GLOBAL, /* up to 3.11: a word in memory that names the holder of the GIL */
	/*
	 * 3.12 on: at a fixed offset from the thread pointer. Also for a shared libpython that was
	 * loaded with the program: its thread-locals lie in each thread's static block then.
	 */
	PYTHON_THREAD_STATIC_TLS,
	PYTHON_THREAD_DTV, /* 3.12 on, libpython loaded later: through the DTV */
};

/* An offset that this version of the interpreter has not. */
#define PYTHON_NO_OFFSET 0xffffffffu

#endif
