/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the symbols*.c files share. From the bottom: symbols_tables.c has the tables,
 * symbols_codes.c the code objects, symbols.c learns what stack ids mean, symbols_rows.c tells it.
 */
#ifndef TMBPF_TRACE_SYMBOLS_SYMBOLS_INTERNAL_H
#define TMBPF_TRACE_SYMBOLS_SYMBOLS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lookup.h"
#include "trace/symbols/symbols.h"

struct process;
struct pooled_string;
struct string_pool;
struct tracer;

/* What an element of a table begins with. */
struct entry {
	uint32_t hash, position;
};

/* A table: elements without gaps, and how to find one. All zero is an empty one. */
struct entries {
	struct entry **list;
	size_t count, capacity;
	struct lookup lookup;
};

struct symbol_frame {
	struct pooled_string *filename, *name;
	uint32_t lineno, firstlineno;
};

struct row { /* a traceback, which one or more stacks have */
	struct entry entry;
	uint32_t stacks; /* that have it */
	uint32_t held;   /* how often it was given out */
	uint32_t nframe, total_nframe;
	uint32_t domain;
	uint64_t past_count, past_size; /* what stacks allocated that were given back */
	struct symbol_frame frames[];   /* the key, with the three numbers */
};

struct reference { /* to a stack, as long as that has this serial */
	uint32_t stack;
	uint32_t serial;
};

struct code {
	struct entry entry;
	uint32_t id;
	uint64_t address;
	int firstlineno;
	struct pooled_string *filename, *name;
	uint8_t *table;
	size_t table_size;
	bool table_whole;
	bool line_known; /* of the last instruction: callers are asked for again and again */
	int64_t line_index;
	int line;
	struct reference *stacks;                          /* those that refer to it */
	size_t stack_count, stack_capacity, stack_compact; /* compacted at so many */
};

struct stack {
	struct row *row; /* NULL: the id is not in use */
	uint32_t serial;
	uint32_t place; /* in the stack table */
	bool retired;
	uint64_t retired_at;
};

struct kept { /* what a stack held when it was noted */
	uint32_t serial;
	uint64_t count, size;
};

struct symbols {
	struct tracer *tracer;
	struct process *process;
	struct string_pool *strings;
	struct entries codes, rows;
	struct stack *stacks; /* by id */
	struct kept *kept;    /* by id; NULL: nothing was noted */
	uint32_t *placed;     /* by place in the stack table: the last stack there */
	uint32_t *retired;
	size_t retired_count, retired_capacity;
	uint32_t past_rows;     /* rows without a stack */
	uint32_t sampled_codes; /* those of `codes` that samples refer to */
	uint64_t dropped_count, dropped_size;
	uint64_t now;
	struct symbols_counters counters;
};

/* The half of HASH that a table keeps, and takes for the whole. */
static inline uint32_t entries_hash(uint64_t hash)
{
	return (uint32_t)(hash ^ hash >> 32);
}

/* Adds ENTRY, which has HASH. */
struct error *entries_add(struct entries *entries, struct entry *entry, uint64_t hash);
/* Takes ENTRY out. The last element may move to its position. */
void entries_remove(struct entries *entries, struct entry *entry);
/* Frees the table, not its elements. */
void entries_deinit(struct entries *entries);

/* Takes in a record. */
void symbols_code_record(struct symbols *symbols, const struct tmbpf_record_code *record,
			 size_t size);
/* The code object ID; NULL: it is not known. */
struct code *symbols_code_find(const struct symbols *symbols, uint32_t id);
void symbols_code_destroy(struct symbols *symbols, struct code *code);
/* Destroys the code objects that samples refer to, if SAMPLED, and the others, if OTHERS. */
void symbols_codes_destroy(struct symbols *symbols, bool sampled, bool others);

/* Finds file, name and line of FRAME. RET holds its strings. */
void symbols_frame_resolve(struct symbols *symbols, const struct tmbpf_frame *frame,
			   struct symbol_frame *ret);

/* What a stack holds. Its numbers are read one after the other, so frees may be ahead. */
static inline uint64_t stack_live_count(const struct tmbpf_stack_stats *stats)
{
	return stats->allocated_count > stats->freed_count
		       ? stats->allocated_count - stats->freed_count
		       : 0;
}

static inline uint64_t stack_live_size(const struct tmbpf_stack_stats *stats)
{
	return stats->allocated_size > stats->freed_size ? stats->allocated_size - stats->freed_size
							 : 0;
}

#endif
