/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What traces refer to: strings, frames and tracebacks, each kept once and known by its index.
 *
 * Tables only grow, so that an index stays good, and several snapshots may share them: those that
 * are compared, so that equal places have equal indexes, and those that were filtered from another.
 */
#ifndef TMBPF_SNAPSHOT_TABLES_H
#define TMBPF_SNAPSHOT_TABLES_H

#include "base/lookup.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct frame {
	uint32_t filename; /* string index; "<unknown>", as tracemalloc has it, if there is none */
	uint32_t name;     /* string index: the function (co_qualname, else co_name); 0 unknown */
	uint32_t lineno;
	uint32_t firstlineno; /* of the function, 0 unknown */
};

struct traceback {
	uint32_t first;        /* index into traceback_frames of the most recent frame */
	uint32_t nframe;       /* frames kept, most recent first; at least one */
	uint32_t total_nframe; /* frames there were */
};

struct tables {
	char **strings; /* UTF-8, lone surrogates as three bytes (base/text.h); [0] is "" */
	size_t string_count;
	struct frame *frames;
	size_t frame_count;
	uint32_t *traceback_frames; /* indexes of frames */
	size_t traceback_frame_count;
	struct traceback *tracebacks;
	size_t traceback_count;

	/* Of tables.c alone. */
	size_t references;
	size_t string_capacity, frame_capacity, traceback_frame_capacity, traceback_capacity;
	struct lookup string_lookup, frame_lookup, traceback_lookup;
};

/* Empty tables with one reference, the caller's. */
struct error *tables_create(struct tables **ret);
/* Another reference to TABLES. */
struct tables *tables_reference(struct tables *tables);
/* Gives a reference back; the last one frees. NULL is accepted. */
void tables_release(struct tables *tables);

static inline void tables_cleanup(struct tables **tables)
{
	tables_release(*tables);
}

/*
 * The index of what is given, which is added if it is new. Each function fails without memory, on
 * an index that was not handed out, and when a table is full (32 bits); the tables are then as
 * they were.
 *
 * TEXT need not be NUL-terminated. It is kept as it is, but for a NUL inside it, which becomes
 * the two bytes c0 80 (as in Java's modified UTF-8), so that strings stay C strings.
 */
struct error *tables_string(struct tables *tables, const char *text, size_t size, uint32_t *ret);
struct error *tables_frame(struct tables *tables, const struct frame *frame, uint32_t *ret);
/*
 * FRAMES are NFRAME indexes of frames, the most recent first. A traceback without a frame becomes
 * tracemalloc's: line 0 of "<unknown>".
 */
struct error *tables_traceback(struct tables *tables, const uint32_t *frames, uint32_t nframe,
			       uint32_t total_nframe, uint32_t *ret);

/* Frame I of the traceback of index TRACEBACK, 0 being the most recent. */
static inline const struct frame *tables_traceback_frame(const struct tables *tables,
							 uint32_t traceback, uint32_t i)
{
	return &tables->frames[tables->traceback_frames[tables->tracebacks[traceback].first + i]];
}

static inline const char *tables_filename(const struct tables *tables, const struct frame *frame)
{
	return tables->strings[frame->filename];
}

/* Whether FRAME is the one of a traceback that has none: line 0 of "<unknown>", no function. */
bool tables_frame_unknown(const struct tables *tables, const struct frame *frame);

/*
 * A number for each frame, such that numbers compare as Python compares (filename, lineno): by
 * code points, then by line; equal where both are. The caller's to free.
 */
struct error *tables_rank_frames(const struct tables *tables, uint32_t **ret);

#endif
