/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A snapshot as Python's own: what `tracemalloc.Snapshot.load()` reads, a pickle of protocol 4.
 *
 * Made as Snapshot.dump() of CPython's Lib/tracemalloc.py makes it: an instance of Snapshot with
 * the attributes `traces`, a _Traces instance that has a list of tuples as `_traces`, and
 * `traceback_limit`. A tuple is (domain, size, frames) up to 3.8 and (domain, size, frames,
 * total_nframe) from 3.9 on; frames are ((filename, lineno), ...), most recent first in each
 * version (Modules/_tracemalloc.c). So a file is for one of the two.
 *
 * Python has a tuple for each block; here a trace stands for many, so that their sizes are made as
 * equal as can be and add up exactly.
 */
#ifndef TMBPF_FORMAT_TRACEMALLOC_H
#define TMBPF_FORMAT_TRACEMALLOC_H

#include <stdint.h>

struct error;
struct output;
struct snapshot;

/* Blocks in one file; each takes up to five bytes of it, and some eight of Python's memory. */
#define TRACEMALLOC_BLOCK_MAX ((uint64_t)1 << 28)

/*
 * For the Python of VERSION, a hexversion; 0 means the one that the snapshot is of, which has to
 * be known. OUTPUT is not committed.
 */
struct error *tracemalloc_write(const struct snapshot *snapshot, uint32_t version,
				struct output *output);

#endif
