/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The snapshot file: a gzipped pprof profile that `go tool pprof` reads.
 *
 * Sample types are pprof's of a heap, in its order: alloc_objects/count, alloc_space/bytes,
 * inuse_objects/count, inuse_space/bytes; the default is inuse_space. A frame is a location of one
 * line, most recent first. A function whose name is not known has its file's, and no system_name:
 * by their names pprof groups. Labels of a sample: "domain" where it is not 0, "total_nframe" where
 * it is not the number of frames kept. What pprof has no field for stands in the comments,
 * "tmbpf.KEY=VALUE"; see pprof_info.c. Equal snapshots give equal bytes, and a snapshot that is
 * read and written again gives the same file.
 */
#ifndef TMBPF_FORMAT_PPROF_H
#define TMBPF_FORMAT_PPROF_H

#include <stddef.h>

struct error;
struct output;
struct snapshot;
struct tables;

/*
 * What a snapshot file may hold. Larger ones are refused, by the reader and by the writer: all
 * that a small but hostile file can make of memory stays below 3 GiB.
 */
#define PPROF_SIZE_MAX    ((size_t)512 << 20) /* bytes unpacked */
#define PPROF_ELEMENT_MAX ((size_t)1 << 23)   /* samples, locations, functions, strings, each */
#define PPROF_FRAME_MAX   ((size_t)1 << 26)   /* frames of all tracebacks */
#define PPROF_DEPTH_MAX   ((size_t)65535)     /* frames of one: tracemalloc's own limit */

/* OUTPUT is not committed. */
struct error *pprof_write(const struct snapshot *snapshot, struct output *output);

/*
 * A heap profile of another program is read too, as far as it has inuse_objects and inuse_space.
 * Anything damaged or inconsistent is refused with what was found.
 */
struct error *pprof_read(const char *path, struct tables *tables, struct snapshot **ret);

#endif
