// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Takes in the records of the ring: code objects, stacks, and what they mean. */
#include "trace/symbols/symbols.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "trace/symbols/symbols_internal.h"
#include "base/string_pool.h"

/* How long a retired stack's id is kept: a program may just be about to count a block for it. */
#define GRACE_NANOSECONDS NSEC_PER_SEC
/* Tracebacks without a stack that are kept for their totals; of more, only the sum is kept. */
#define PAST_TRACEBACKS_MAX 65536

struct error *symbols_create(struct tracer *tracer, struct process *process, struct symbols **ret)
{
	struct symbols *symbols = calloc(1, sizeof(*symbols));

	if (symbols) {
		symbols->tracer = tracer;
		symbols->process = process;
		symbols->stacks = calloc(tracer_stack_limit(tracer), sizeof(*symbols->stacks));
		symbols->strings = string_pool_create();
	}
	if (symbols)
		symbols->placed = calloc(tracer_place_count(tracer), sizeof(*symbols->placed));
	if (!symbols || !symbols->stacks || !symbols->placed || !symbols->strings) {
		symbols_destroy(symbols);
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot keep the stacks");
	}
	*ret = symbols;
	return NULL;
}

/* Frees ROW, which is in no table. */
static void row_free(struct symbols *symbols, struct row *row)
{
	for (uint32_t i = 0; i < row->nframe; i++) {
		string_pool_release(symbols->strings, row->frames[i].filename);
		string_pool_release(symbols->strings, row->frames[i].name);
	}
	free(row);
}

static void row_destroy(struct symbols *symbols, struct row *row)
{
	entries_remove(&symbols->rows, &row->entry);
	row_free(symbols, row);
}

/*
 * Forgets all stacks and code objects, and the tracebacks that nobody holds. ALL: also those that
 * somebody holds, and what samples refer to.
 */
static void symbols_forget(struct symbols *symbols, bool all)
{
	symbols_codes_destroy(symbols, all, true);
	for (size_t i = symbols->rows.count; i-- > 0;) {
		struct row *row = (struct row *)symbols->rows.list[i];

		row->stacks = 0;
		if (all || !row->held)
			row_destroy(symbols, row);
	}
	for (uint32_t i = 0; i < tracer_stack_limit(symbols->tracer); i++)
		symbols->stacks[i] = (struct stack){.serial = symbols->stacks[i].serial};
	memset(symbols->placed, 0, tracer_place_count(symbols->tracer) * sizeof(*symbols->placed));
	free(symbols->kept);
	symbols->kept = NULL;
	symbols->retired_count = 0;
	symbols->past_rows = (uint32_t)symbols->rows.count;
	symbols->dropped_count = symbols->dropped_size = 0;
	symbols->counters.stacks = 0;
	if (all)
		memset(&symbols->counters, 0, sizeof(symbols->counters));
}

void symbols_clear(struct symbols *symbols)
{
	symbols_forget(symbols, true);
}

void symbols_restart(struct symbols *symbols)
{
	symbols_forget(symbols, false);
}

void symbols_destroy(struct symbols *symbols)
{
	if (!symbols)
		return;
	if (symbols->stacks && symbols->placed)
		symbols_clear(symbols);
	entries_deinit(&symbols->codes);
	entries_deinit(&symbols->rows);
	string_pool_destroy(symbols->strings);
	free(symbols->stacks);
	free(symbols->kept);
	free(symbols->placed);
	free(symbols->retired);
	free(symbols);
}

static struct stack *reference_stack(struct symbols *symbols, const struct reference *reference)
{
	struct stack *stack = &symbols->stacks[reference->stack];

	return stack->row && stack->serial == reference->serial ? stack : NULL;
}

/* Notes that STACK refers to CODE. Now and then drops references to stacks that are gone. */
static void code_refer(struct symbols *symbols, struct code *code, uint32_t stack)
{
	struct error *error;

	if (code->stack_count && code->stacks[code->stack_count - 1].stack == stack &&
	    code->stacks[code->stack_count - 1].serial == symbols->stacks[stack].serial)
		return;
	if (code->stack_count >= code->stack_compact) {
		size_t kept = 0;

		for (size_t i = 0; i < code->stack_count; i++)
			if (reference_stack(symbols, &code->stacks[i]))
				code->stacks[kept++] = code->stacks[i];
		code->stack_count = kept;
		code->stack_compact = 2 * kept + 16;
	}
	error = array_reserve(&code->stacks, &code->stack_capacity, code->stack_count, 1,
			      sizeof(*code->stacks));
	if (error) {
		/*
		 * The stack stays until the table is under pressure. It can match no more, so
		 * nothing goes wrong.
		 */
		error_destroy(error);
		return;
	}
	code->stacks[code->stack_count++] =
		(struct reference){stack, symbols->stacks[stack].serial};
}

static void stack_retire(struct symbols *symbols, uint32_t id)
{
	struct stack *stack = &symbols->stacks[id];
	struct error *error;

	if (stack->retired)
		return;
	error = array_reserve(&symbols->retired, &symbols->retired_capacity, symbols->retired_count,
			      1, sizeof(*symbols->retired));
	if (error) {
		error_destroy(error);
		return;
	}
	tracer_stack_retire(symbols->tracer, id, stack->place);
	stack->retired = true;
	stack->retired_at = symbols->now;
	symbols->retired[symbols->retired_count++] = id;
}

static void code_end_record(struct symbols *symbols, const struct tmbpf_record_code_end *record,
			    size_t size)
{
	struct code *code;

	if (size < sizeof(*record))
		return;
	code = symbols_code_find(symbols, record->id);
	if (!code)
		return;
	for (size_t i = 0; i < code->stack_count; i++)
		if (reference_stack(symbols, &code->stacks[i]))
			stack_retire(symbols, code->stacks[i].stack);
	symbols_code_destroy(symbols, code);
}

static size_t row_key_size(uint32_t nframe)
{
	return nframe * sizeof(struct symbol_frame);
}

static uint64_t row_hash(const struct row *row)
{
	uint64_t numbers = (uint64_t)row->total_nframe << 32 | row->domain;

	return lookup_hash(numbers, row->frames, row->nframe * sizeof(row->frames[0]));
}

static bool row_equal(const void *context, uint32_t position, const void *key)
{
	const struct entries *rows = context;
	const struct row *row = (const struct row *)rows->list[position], *other = key;

	return row->nframe == other->nframe && row->total_nframe == other->total_nframe &&
	       row->domain == other->domain &&
	       !memcmp(row->frames, other->frames, row->nframe * sizeof(row->frames[0]));
}

static struct error *row_find_or_add(struct symbols *symbols, struct row *row, struct row **ret)
{
	struct entries *rows = &symbols->rows;
	uint64_t hash = row_hash(row);
	uint32_t found = lookup_find(&rows->lookup, entries_hash(hash), row_equal, rows, row);

	if (found == LOOKUP_NONE)
		try(entries_add(rows, &row->entry, hash));
	*ret = found == LOOKUP_NONE ? row : (struct row *)rows->list[found];
	return NULL;
}

/*
 * Returns the row that equals ROW, and destroys ROW; if there is none ROW becomes it. NULL without
 * memory.
 */
static struct row *row_intern(struct symbols *symbols, struct row *row)
{
	struct row *known = NULL;
	struct error *error = row_find_or_add(symbols, row, &known);

	error_destroy(error);
	if (known == row)
		symbols->past_rows++; /* until a stack is added */
	else
		row_free(symbols, row);
	return known;
}

/* PLACE is stack ID's now: the stack that was there before can match no more. */
static void place_assign(struct symbols *symbols, uint32_t place, uint32_t id)
{
	uint32_t before = symbols->placed[place];

	if (before && before != id && symbols->stacks[before].row &&
	    symbols->stacks[before].place == place)
		stack_retire(symbols, before);
	symbols->placed[place] = id;
}

static void stack_record(struct symbols *symbols, const struct tmbpf_record_stack *record,
			 size_t size)
{
	struct stack *stack;
	struct row *row;

	if (size < sizeof(*record) || record->nframe > TMBPF_WALK_MAX ||
	    size < sizeof(*record) + record->nframe * sizeof(record->frames[0]) ||
	    record->id >= tracer_stack_limit(symbols->tracer) ||
	    record->bucket_slot >= tracer_place_count(symbols->tracer))
		return;
	place_assign(symbols, record->bucket_slot, record->id);
	row = calloc(1, sizeof(*row) + row_key_size(record->nframe));
	if (!row)
		return;
	row->nframe = record->nframe;
	row->total_nframe = record->total_nframe;
	row->domain = record->domain;
	for (uint32_t i = 0; i < record->nframe; i++)
		symbols_frame_resolve(symbols, &record->frames[i], &row->frames[i]);
	row = row_intern(symbols, row);
	if (!row)
		return;
	stack = &symbols->stacks[record->id];
	stack->row = row;
	stack->serial++;
	stack->place = record->bucket_slot;
	stack->retired = false;
	if (!row->stacks++)
		symbols->past_rows--;
	symbols->counters.stacks++;
	for (uint32_t i = 0; i < record->nframe; i++) {
		uint32_t id = record->frames[i].code;
		struct code *code;

		code = symbols_code_find(symbols, id);
		if (code)
			code_refer(symbols, code, record->id);
	}
}

struct error *symbols_adopt(struct symbols *symbols, uint32_t id,
			    const struct symbols_frame *frames, uint32_t nframe,
			    uint32_t total_nframe)
{
	struct stack *stack = &symbols->stacks[id];
	struct row *row = calloc(1, sizeof(*row) + row_key_size(nframe));

	if (!row)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot keep the stacks");
	row->nframe = nframe;
	row->total_nframe = total_nframe;
	for (uint32_t i = 0; i < nframe; i++)
		row->frames[i] = (struct symbol_frame){
			.filename = string_pool_intern(symbols->strings, frames[i].filename),
			.name = string_pool_intern(symbols->strings, frames[i].name),
			.lineno = frames[i].lineno,
			.firstlineno = frames[i].firstlineno,
		};
	row = row_intern(symbols, row);
	if (!row)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot keep the stacks");
	stack->row = row;
	stack->serial++;
	stack->place = 0; /* it has none: the stack table does not know it */
	if (!row->stacks++)
		symbols->past_rows--;
	symbols->counters.stacks++;
	stack_retire(symbols, id);
	return NULL;
}

struct symbols_traceback *symbols_sample(struct symbols *symbols, const struct tmbpf_record *record,
					 size_t size)
{
	const struct tmbpf_record_sample *sample = (const struct tmbpf_record_sample *)record;
	struct row *row;

	if (size < sizeof(*sample) || !sample->nframe || sample->nframe > TMBPF_WALK_MAX ||
	    size < sizeof(*sample) + sample->nframe * sizeof(sample->frames[0]))
		return NULL;
	row = calloc(1, sizeof(*row) + row_key_size(sample->nframe));
	if (!row)
		return NULL;
	row->nframe = sample->nframe;
	row->total_nframe = sample->total_nframe;
	row->domain = sample->domain;
	for (uint32_t i = 0; i < sample->nframe; i++)
		symbols_frame_resolve(symbols, &sample->frames[i], &row->frames[i]);
	row = row_intern(symbols, row);
	if (!row)
		return NULL;
	row->held++;
	return (struct symbols_traceback *)row;
}

void symbols_samples_forget(struct symbols *symbols)
{
	symbols_codes_destroy(symbols, true, false);
}

uint32_t symbols_samples_codes(const struct symbols *symbols)
{
	return symbols->sampled_codes;
}

void symbols_record(void *context, const struct tmbpf_record *record, size_t size)
{
	struct symbols *symbols = context;

	switch (record->type) {
	case TMBPF_RECORD_CODE:
		symbols_code_record(symbols, (const struct tmbpf_record_code *)record, size);
		break;
	case TMBPF_RECORD_CODE_END:
		code_end_record(symbols, (const struct tmbpf_record_code_end *)record, size);
		break;
	case TMBPF_RECORD_STACK:
		stack_record(symbols, (const struct tmbpf_record_stack *)record, size);
		break;
	}
}

static void row_drop(struct symbols *symbols, struct row *row)
{
	symbols->dropped_count += row->past_count;
	symbols->dropped_size += row->past_size;
	symbols->counters.dropped_tracebacks++;
	symbols->past_rows--;
	row_destroy(symbols, row);
}

/*
 * If the retired stack ID holds nothing its totals go to its row, and its id is given back: true.
 */
static bool stack_recycle(struct symbols *symbols, uint32_t id)
{
	struct stack *stack = &symbols->stacks[id];
	struct tmbpf_stack_stats stats;
	struct row *row = stack->row;

	if (symbols->now - stack->retired_at < GRACE_NANOSECONDS)
		return false;
	tracer_stack_stats(symbols->tracer, id, &stats);
	if (stack_live_count(&stats))
		return false;
	row->past_count += stats.allocated_count;
	row->past_size += stats.allocated_size;
	stack->row = NULL;
	stack->retired = false;
	tracer_stack_recycle(symbols->tracer, id);
	symbols->counters.recycled++;
	symbols->counters.stacks--;
	if (--row->stacks)
		return true;
	symbols->past_rows++;
	if (symbols->past_rows > PAST_TRACEBACKS_MAX && !row->held)
		row_drop(symbols, row);
	return true;
}

void symbols_sweep(struct symbols *symbols, uint64_t now)
{
	uint32_t limit = tracer_stack_limit(symbols->tracer),
		 count = tracer_stack_count(symbols->tracer);
	size_t kept = 0;

	symbols->now = now;
	for (size_t i = 0; i < symbols->retired_count; i++)
		if (!stack_recycle(symbols, symbols->retired[i]))
			symbols->retired[kept++] = symbols->retired[i];
	symbols->retired_count = kept;
	/*
	 * When the table gets full, stacks that hold nothing make room. If they come again they are
	 * new ones.
	 */
	if (symbols->counters.stacks - kept < limit - limit / 4)
		return;
	for (uint32_t id = TMBPF_STACK_FIRST; id < count; id++) {
		struct tmbpf_stack_stats stats;

		if (!symbols->stacks[id].row)
			continue;
		tracer_stack_stats(symbols->tracer, id, &stats);
		if (!stack_live_count(&stats))
			stack_retire(symbols, id);
	}
}

struct symbols_traceback *symbols_hold(struct symbols *symbols, uint32_t stack)
{
	struct row *row;

	if (stack >= tracer_stack_limit(symbols->tracer) || !symbols->stacks[stack].row)
		return NULL;
	row = symbols->stacks[stack].row;
	row->held++;
	return (struct symbols_traceback *)row;
}

void symbols_release(struct symbols *symbols, struct symbols_traceback *traceback)
{
	struct row *row = (struct row *)traceback;

	if (!row || --row->held || row->stacks)
		return;
	symbols->past_rows--;
	row_destroy(symbols, row);
}

bool symbols_tight(const struct symbols *symbols)
{
	uint32_t limit = tracer_stack_limit(symbols->tracer);

	return symbols->counters.stacks >= limit / 2 || symbols->retired_count >= limit / 16;
}

void symbols_counters(const struct symbols *symbols, struct symbols_counters *ret)
{
	*ret = symbols->counters;
	ret->tracebacks = symbols->rows.count;
	ret->codes = symbols->codes.count;
}
