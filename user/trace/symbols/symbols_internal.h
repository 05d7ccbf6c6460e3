/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the stack ids mean: symbols.c learns it, symbols_rows.c tells it. */
#ifndef TMBPF_TRACE_SYMBOLS_SYMBOLS_INTERNAL_H
#define TMBPF_TRACE_SYMBOLS_SYMBOLS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Without memory uthash would end the process; what is added then is left out instead. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "trace/symbols/symbols.h"

struct process;
struct pooled_string;
struct string_pool;
struct tracer;

struct symbol_frame {
	struct pooled_string *filename, *name;
	uint32_t lineno, firstlineno;
};

struct row { /* a traceback, which one or more stacks have */
	UT_hash_handle hh;
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
	UT_hash_handle hh;
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
	struct code *codes;
	struct row *rows;
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
