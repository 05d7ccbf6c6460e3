// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Tells what each stack means and holds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "trace/symbols/symbols_internal.h"
#include "base/string_pool.h"

/* A traceback of one made-up frame, which is tracemalloc's way to say that there is none. */
static struct error *special_visit(const char *filename, const struct symbols_row *totals,
				   symbols_visitor visit, void *context)
{
	const struct symbols_frame frame = {
		.filename = filename,
		.filename_length = strlen(filename),
		.name = "",
	};
	struct symbols_row row = *totals;

	row.frames = &frame;
	row.nframe = row.total_nframe = 1;
	return visit(context, &row);
}

static struct error *row_visit(const struct row *row, const struct symbols_row *totals,
			       symbols_visitor visit, void *context)
{
	struct symbols_frame frames[TMBPF_WALK_MAX];
	struct symbols_row visited = *totals;

	for (uint32_t i = 0; i < row->nframe; i++) {
		const struct symbol_frame *frame = &row->frames[i];

		frames[i] = (struct symbols_frame){
			.filename = pooled_string_data(frame->filename),
			.name = pooled_string_data(frame->name),
			.filename_length = pooled_string_length(frame->filename),
			.name_length = pooled_string_length(frame->name),
			.lineno = frame->lineno,
			.firstlineno = frame->firstlineno,
		};
	}
	visited.domain = row->domain;
	if (!row->nframe)
		return special_visit("<unknown>", &visited, visit, context);
	visited.frames = frames;
	visited.nframe = row->nframe;
	visited.total_nframe = row->total_nframe;
	return visit(context, &visited);
}

static struct error *stack_visit(struct symbols *symbols, uint32_t id,
				 const struct symbols_row *visited, symbols_visitor visit,
				 void *context)
{
	if (id == TMBPF_STACK_UNKNOWN)
		return special_visit("<unknown>", visited, visit, context);
	if (id < TMBPF_STACK_FIRST || id >= tracer_stack_limit(symbols->tracer) ||
	    !symbols->stacks[id].row)
		return special_visit("<lost>", visited, visit, context);
	return row_visit(symbols->stacks[id].row, visited, visit, context);
}

struct symbols_line symbols_traceback_line(const struct symbols_traceback *traceback)
{
	const struct row *row = (const struct row *)traceback;
	struct symbols_line line = {0};

	if (row && row->nframe) {
		line.filename = row->frames[0].filename;
		line.lineno = row->frames[0].lineno;
	}
	return line;
}

struct error *symbols_traceback_visit(struct symbols *symbols,
				      const struct symbols_traceback *traceback,
				      const struct symbols_row *row, symbols_visitor visit,
				      void *context)
{
	if (!traceback)
		return stack_visit(symbols, TMBPF_STACK_UNKNOWN, row, visit, context);
	return row_visit((const struct row *)traceback, row, visit, context);
}

/* What stack ID has allocated, and what it holds: now or, with KEPT, when that was noted. */
static bool stack_totals(const struct symbols *symbols, uint32_t id, bool kept,
			 struct symbols_row *ret)
{
	struct tmbpf_stack_stats stats;

	tracer_stack_stats(symbols->tracer, id, &stats);
	if (!stats.allocated_count)
		return false;
	*ret = (struct symbols_row){
		.count = stack_live_count(&stats),
		.size = stack_live_size(&stats),
		.total_count = stats.allocated_count,
		.total_size = stats.allocated_size,
	};
	if (kept) {
		const struct kept *noted = symbols->kept ? &symbols->kept[id] : NULL;
		bool same = noted && noted->serial == symbols->stacks[id].serial;

		/* An id that was given back since has held nothing for a while. */
		ret->count = same ? noted->count : 0;
		ret->size = same ? noted->size : 0;
	}
	return true;
}

static struct error *rows_each(struct symbols *symbols, bool kept, symbols_visitor visit,
			       void *context)
{
	uint32_t count = tracer_stack_count(symbols->tracer);

	for (uint32_t id = TMBPF_STACK_UNKNOWN; id < count; id++) {
		struct symbols_row visited;

		if (stack_totals(symbols, id, kept, &visited))
			try(stack_visit(symbols, id, &visited, visit, context));
	}
	for (size_t i = 0; i < symbols->rows.count; i++) {
		const struct row *row = (const struct row *)symbols->rows.list[i];
		struct symbols_row visited = {.total_count = row->past_count,
					      .total_size = row->past_size};

		if (row->past_count)
			try(row_visit(row, &visited, visit, context));
	}
	if (symbols->dropped_count) {
		struct symbols_row visited = {
			.total_count = symbols->dropped_count,
			.total_size = symbols->dropped_size,
		};

		try(special_visit("<dropped>", &visited, visit, context));
	}
	return NULL;
}

struct error *symbols_each(struct symbols *symbols, symbols_visitor visit, void *context)
{
	return rows_each(symbols, false, visit, context);
}

struct error *symbols_each_kept(struct symbols *symbols, symbols_visitor visit, void *context)
{
	return rows_each(symbols, true, visit, context);
}

struct error *symbols_keep(struct symbols *symbols)
{
	uint32_t limit = tracer_stack_limit(symbols->tracer),
		 count = tracer_stack_count(symbols->tracer);

	if (!symbols->kept)
		symbols->kept = calloc(limit, sizeof(*symbols->kept));
	if (!symbols->kept)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot keep the totals");
	for (uint32_t id = TMBPF_STACK_UNKNOWN; id < count; id++) {
		struct symbols_row now;

		symbols->kept[id] = (struct kept){.serial = symbols->stacks[id].serial};
		if (stack_totals(symbols, id, false, &now)) {
			symbols->kept[id].count = now.count;
			symbols->kept[id].size = now.size;
		}
	}
	return NULL;
}

struct error *symbols_stack(struct symbols *symbols, uint32_t stack, uint64_t size,
			    symbols_visitor visit, void *context)
{
	struct symbols_row visited = {
		.count = 1, .size = size, .total_count = 1, .total_size = size};

	return stack_visit(symbols, stack, &visited, visit, context);
}
