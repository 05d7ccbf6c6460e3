/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A snapshot as Python's own: what `tracemalloc.Snapshot.dump()` writes and `load()` reads, a
 * pickle; of protocol 5, or of 4 by 3.6 and 3.7, and here.
 *
 * As Snapshot.dump() of CPython's Lib/tracemalloc.py makes it, it is an instance of Snapshot with
 * the attributes `traces`, a _Traces instance that has a list of tuples as `_traces`, and
 * `traceback_limit`. A tuple is (domain, size, frames) up to 3.8 and (domain, size, frames,
 * total_nframe) from 3.9 on; frames are ((filename, lineno), ...), most recent first in each
 * version (Modules/_tracemalloc.c). So a file is for one of the two.
 *
 * Python has a tuple for each block, and here a trace stands for many. What is read has a trace for
 * each run of equal tuples; written again it gives the same list. Where a trace's blocks are not
 * known to be of one size, their sizes are made as equal as can be and add up exactly.
 */
#ifndef TMBPF_FORMAT_TRACEMALLOC_H
#define TMBPF_FORMAT_TRACEMALLOC_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct output;
struct snapshot;
struct tables;

/* Blocks in one file; each takes up to five bytes of it, and some eight of Python's memory. */
#define TRACEMALLOC_BLOCK_MAX ((uint64_t)1 << 28)

/*
 * What a file may hold that is read: what it can make of memory is some 4 GiB, and little if
 * the file is small. Blocks are as many as the file has, since a run of them is one trace.
 */
#define TRACEMALLOC_TRACE_MAX ((size_t)1 << 24) /* traces, and tracebacks */
#define TRACEMALLOC_PLACE_MAX ((size_t)1 << 23) /* file names, and places in these */
#define TRACEMALLOC_FRAME_MAX ((size_t)1 << 26) /* frames of all tracebacks */
#define TRACEMALLOC_DEPTH_MAX ((size_t)65535)   /* frames of one: tracemalloc's own limit */

/*
 * Nothing that a pickle could name is looked up, called or run: it is read with the few operations
 * that a Snapshot takes (pickle.h), and any other is refused, with its offset and the reason. So
 * is one that has other objects, attributes, or numbers than tracemalloc gives.
 *
 * What the file does not say stays unknown; the tuples of 3.8 and older have no total_nframe, which
 * is then the number of frames there are. What was allocated in all, which it does not say either,
 * is at least what is held: that is in total_count and total_size.
 */
struct error *tracemalloc_read(const char *path, struct tables *tables, struct snapshot **ret);

/*
 * For the Python of VERSION, a hexversion; 0 means the one that the snapshot is of, which has to
 * be known. OUTPUT is not committed.
 */
struct error *tracemalloc_write(const struct snapshot *snapshot, uint32_t version,
				struct output *output);

#endif
