/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the stack ids mean. Fed with the ring buffer's records in their order, it knows each stack's traceback from the
 * moment the stack was new, when its code objects were alive; nothing is looked up in the target later.
 *
 * Stacks that can not come back (their code is gone) give their ids and memory back once they hold no block; what they
 * allocated in all stays with their traceback, which other stacks may share. So a program that makes and drops code
 * for ever needs no more memory than what it holds needs.
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
	uint64_t codes;              /* code objects alive that stacks refer to */
	uint64_t recycled;           /* stack ids given back so far */
	uint64_t dropped_tracebacks; /* whose totals of the past were added up into one sum */
	uint64_t unresolved_frames;  /* frames whose name or line could not be told */
	uint64_t shortened_strings;  /* names longer than what is captured */
};

/* PROCESS is read only for line tables that are too large to be captured. */
struct error *symbols_create(struct tracer *tracer, struct process *process, struct symbols **ret);
void symbols_destroy(struct symbols *symbols);

/* A tracer_handler: takes one record. */
void symbols_record(void *symbols, const struct tmbpf_record *record, size_t size);

/* Gives back what can be given back. NOW in monotonic nanoseconds; to be called about once a second. */
void symbols_sweep(struct symbols *symbols, uint64_t now);

/*
 * For sampling windows: forgets stacks and code objects, whose ids start anew, and all tracebacks that nobody holds; before
 * tracer_window_open(), once the ring is empty.
 */
void symbols_restart(struct symbols *symbols);

/* A traceback, known beyond the stack that it was learned from. */
struct symbols_traceback;

/* What STACK means, held once more; NULL if that is not known. */
struct symbols_traceback *symbols_hold(struct symbols *symbols, uint32_t stack);
/*
 * The line of TRACEBACK's most recent frame: equal for equal file names and line numbers, for as long as one traceback of
 * that line is held. NULL is a traceback too: of no line.
 */
struct symbols_line {
	const void *filename;
	uint64_t lineno;
};

struct symbols_line symbols_traceback_line(const struct symbols_traceback *traceback);
void symbols_release(struct symbols *symbols, struct symbols_traceback *traceback);

/* The traceback of a SAMPLE record, held once more; NULL: there was none, or no memory. */
struct symbols_traceback *symbols_sample(struct symbols *symbols, const struct tmbpf_record *record,
					 size_t size);
/* Forgets the code objects that samples refer to; after tracer_samples_forget(). */
void symbols_samples_forget(struct symbols *symbols);
/* How many there are. */
uint32_t symbols_samples_codes(const struct symbols *symbols);

/* Forgets all; after tracer_clear(). */
void symbols_clear(struct symbols *symbols);

struct symbols_frame {
	const char *filename, *name; /* UTF-8, lone surrogates in their three-byte form */
	size_t filename_length, name_length;
	uint32_t lineno, firstlineno; /* 0: none */
};

/*
 * STACK, an id from tracer_stacks_take(), means these frames. No record may ever name it; it is given back once it holds
 * nothing.
 */
struct error *symbols_adopt(struct symbols *symbols, uint32_t stack,
			    const struct symbols_frame *frames, uint32_t nframe,
			    uint32_t total_nframe);

struct symbols_row { /* what one stack allocated; several may mean the same traceback */
	const struct symbols_frame *frames; /* most recent first */
	uint32_t nframe, total_nframe;
	uint32_t domain;                  /* tracemalloc's */
	uint64_t count, size;             /* held now */
	uint64_t total_count, total_size; /* allocated since the window opened */
	uint64_t size_error;              /* of an estimate: size's standard error */
};

typedef struct error *(*symbols_visitor)(void *context, const struct symbols_row *row);

/* Hands every row to VISIT, until it fails. */
struct error *symbols_each(struct symbols *symbols, symbols_visitor visit, void *context);

/* Notes what each row holds now; symbols_each_kept() hands that out, whatever was counted since. */
struct error *symbols_keep(struct symbols *symbols);
struct error *symbols_each_kept(struct symbols *symbols, symbols_visitor visit, void *context);

/* Whether the stack table is filling up: stacks that hold nothing should be found soon. */
bool symbols_tight(const struct symbols *symbols);
/* Hands TRACEBACK (NULL: one that was lost) to VISIT, with the numbers of ROW. */
struct error *symbols_traceback_visit(struct symbols *symbols,
				      const struct symbols_traceback *traceback,
				      const struct symbols_row *row, symbols_visitor visit,
				      void *context);

/* Hands one row to VISIT: a block of SIZE bytes that STACK allocated. */
struct error *symbols_stack(struct symbols *symbols, uint32_t stack, uint64_t size,
			    symbols_visitor visit, void *context);

void symbols_counters(const struct symbols *symbols, struct symbols_counters *ret);

#endif
