/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the stack ids mean. It takes in the ring buffer's records in their order, so it learns each
 * stack's traceback when the stack is new and its code objects are alive. Nothing is looked up in
 * the target later.
 *
 * A stack whose code is gone cannot come back. Once it holds no block its id and memory are given
 * back; what it allocated in all stays with its traceback, which other stacks may share. So a
 * program that makes and drops code for ever needs no more memory than the blocks that it holds
 * need.
 */
#ifndef TMBPF_TRACE_SYMBOLS_SYMBOLS_H
#define TMBPF_TRACE_SYMBOLS_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "trace/tracer/tracer.h"

struct error;
struct symbols;

struct symbols_counters {
	uint64_t stacks;             /* known now */
	uint64_t tracebacks;         /* distinct, known now */
	uint64_t codes;              /* live code objects that stacks refer to */
	uint64_t recycled;           /* stack ids given back so far */
	uint64_t dropped_tracebacks; /* those whose totals were added to one sum */
	uint64_t unresolved_frames;  /* frames whose name or line could not be told */
	uint64_t shortened_strings;  /* names longer than what is captured */
};

/* PROCESS is read only for line tables that are too large to be captured. */
struct error *symbols_create(struct tracer *tracer, struct process *process, struct symbols **ret);
void symbols_destroy(struct symbols *symbols);

/* A tracer_handler: takes in one record. */
void symbols_record(void *symbols, const struct tmbpf_record *record, size_t size);

/*
 * Gives back the ids of stacks that hold nothing. NOW is in monotonic nanoseconds. To be called
 * about once a second.
 */
void symbols_sweep(struct symbols *symbols, uint64_t now);

/*
 * For the sampling mode: forgets stacks and code objects, whose ids start anew, and all tracebacks
 * that nobody holds. To be called before tracer_window_open(), once the ring is empty.
 */
void symbols_restart(struct symbols *symbols);

/* A traceback that outlives the stack it was learned from. */
struct symbols_traceback;

/* Holds STACK's traceback once more and returns it; NULL if it is not known. */
struct symbols_traceback *symbols_hold(struct symbols *symbols, uint32_t stack);
/*
 * The line of TRACEBACK's most recent frame. Two are equal if file names and line numbers are, as
 * long as one traceback of that line is held. NULL has no line, and is a traceback too.
 */
struct symbols_line {
	const void *filename;
	uint64_t lineno;
};

struct symbols_line symbols_traceback_line(const struct symbols_traceback *traceback);
void symbols_release(struct symbols *symbols, struct symbols_traceback *traceback);

/* Holds the traceback of a SAMPLE record once more; NULL: there was none, or no memory. */
struct symbols_traceback *symbols_sample(struct symbols *symbols, const struct tmbpf_record *record,
					 size_t size);
/* Forgets the code objects that samples refer to. After tracer_samples_forget(). */
void symbols_samples_forget(struct symbols *symbols);
/* How many code objects samples refer to. */
uint32_t symbols_samples_codes(const struct symbols *symbols);

/* Forgets everything. After tracer_clear(). */
void symbols_clear(struct symbols *symbols);

struct symbols_frame {
	const char *filename, *name; /* UTF-8, lone surrogates in their three-byte form */
	size_t filename_length, name_length;
	uint32_t lineno, firstlineno; /* 0: none */
};

/*
 * STACK, an id from tracer_stacks_reserve(), means these frames. No record may ever name it. It is
 * given back once it holds nothing.
 */
struct error *symbols_adopt(struct symbols *symbols, uint32_t stack,
			    const struct symbols_frame *frames, uint32_t nframe,
			    uint32_t total_nframe);

struct symbols_row { /* what one stack allocated; several stacks may have one traceback */
	const struct symbols_frame *frames; /* most recent first */
	uint32_t nframe, total_nframe;
	uint32_t domain;                  /* tracemalloc's */
	uint64_t count, size;             /* held now */
	uint64_t total_count, total_size; /* allocated since tracing began */
	uint64_t size_error;              /* standard error of an estimated size */
};

typedef struct error *(*symbols_visitor)(void *context, const struct symbols_row *row);

/* Hands every row to VISIT, until it fails. */
struct error *symbols_each(struct symbols *symbols, symbols_visitor visit, void *context);

/* Notes what each row holds now. symbols_each_kept() hands that out, whatever was counted since. */
struct error *symbols_keep(struct symbols *symbols);
struct error *symbols_each_kept(struct symbols *symbols, symbols_visitor visit, void *context);

/* Whether the stack table is filling up, so that stacks that hold nothing should be found soon. */
bool symbols_tight(const struct symbols *symbols);
/* Hands TRACEBACK to VISIT, with the numbers of ROW. NULL: one that was lost. */
struct error *symbols_traceback_visit(struct symbols *symbols,
				      const struct symbols_traceback *traceback,
				      const struct symbols_row *row, symbols_visitor visit,
				      void *context);

/* Hands one row to VISIT: for a block of SIZE bytes that STACK allocated. */
struct error *symbols_stack(struct symbols *symbols, uint32_t stack, uint64_t size,
			    symbols_visitor visit, void *context);

void symbols_counters(const struct symbols *symbols, struct symbols_counters *ret);

#endif
