/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs are told before they are loaded. */
#ifndef TMBPF_SHARED_CONFIG_H
#define TMBPF_SHARED_CONFIG_H

#include "shared/python_kinds.h"
#include "shared/types.h"

/* How to trace. */
enum tmbpf_mode {
	TMBPF_MODE_EXACT,   /* each allocation and each free is seen: all live blocks are known */
	TMBPF_MODE_LAZY,    /* the same, but frees of the object domain are found by its pools */
	TMBPF_MODE_SAMPLED, /* allocations are listed in short windows; no live blocks are kept */
};

/* How an interpreter has pymalloc's state. */
enum tmbpf_heap {
	TMBPF_HEAP_STATIC,  /* up to 3.11 */
	TMBPF_HEAP_INLINE,  /* 3.12: inside the interpreter */
	TMBPF_HEAP_POINTER, /* 3.13 on */
	TMBPF_HEAP_NONE,    /* no pymalloc (PYTHONMALLOC=malloc) */
};

/* Bytes from a frame's start that the programs can look at: no frame's fields lie further. */
#define TMBPF_FRAME_BYTES 128

/*
 * The interpreter's layout, and how to trace. What each offset means: PYTHON_* and struct
 * python_layout of user/python/python.h.
 */
struct tmbpf_config {
	__u32 frames; /* enum python_frames */
	__u32 nframe; /* frames to keep, without the spare */
	__u32 tstate_frame, tstate_interp, tstate_thread_id, cframe_current;
	__u32 frame_back, frame_code, frame_lasti, frame_owner, frame_size, frame_owner_max;
	__u32 code_tag_mask;
	__u32 code_filename, code_name, code_qualname, code_firstlineno, code_linetable;
	__u32 code_firsttraceable;
	__u32 code_adaptive;
	__u32 unicode_length, unicode_state, unicode_ascii_data, unicode_compact_data;
	__u32 bytes_size, bytes_data;
	__u32 thread_source; /* enum python_thread_source */
	__u32 granule_shift; /* log2 of pymalloc's alignment */
	__u32 pool_size;
	__u32 heap_kind; /* enum tmbpf_heap */
	__u32 interp_obmalloc, obmalloc_usedpools, obmalloc_usable_arenas;
	__u32 hook_extra;         /* bytes that debug hooks add to a request */
	__u32 hook_delta;         /* and where their block starts before the caller's */
	__u32 mode;               /* enum tmbpf_mode */
	__u32 hooked_raw;         /* raw events count only when an outer hook announced them */
	__u32 window_allocations; /* SAMPLED: a sampling window lists so many at most */
	__u32 by_address;         /* sites are known by the probe's address, not by a cookie */
	__u32 return_probes;      /* unknown return addresses are caught by return probes */
	__u32 large_returns;      /* the same for large blocks that are sampled */
	__u32 large_least;        /* bytes from which on a block is sampled as a large one */
	__u32 unicode_kind_shift;
	__u32 stack_limit, bucket_mask, recycled_mask, slab_limit, chunk_mask;
	__u32 ring_bytes;
	__u32 pid; /* thread group, in the first pid namespace */
	/* The raw allocator table's malloc word, and what it holds without hooks. */
	__u64 raw_table, raw_malloc;
	__u64 thread_address, tls_module;
	__s64 tls_offset;
	/* Of the word that names this thread's own state, from the thread pointer; 0 unknown. */
	__s64 own_offset;
	/* Not 0: own_offset is from where the word there, from the thread pointer, leads to. */
	__u32 own_block;
	__u32 dtv_entry;                /* bytes */
	__u64 usedpools, usable_arenas; /* static state, up to 3.11 */
	__u64 seed[2];
};

#endif
