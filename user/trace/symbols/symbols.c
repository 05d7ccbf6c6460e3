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
#include "python/code.h"
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

static void code_destroy(struct symbols *symbols, struct code *code)
{
	HASH_DEL(symbols->codes, code);
	symbols->sampled_codes -= !!(code->id & TMBPF_CODE_SAMPLED);
	string_pool_release(symbols->strings, code->filename);
	string_pool_release(symbols->strings, code->name);
	free(code->table);
	free(code->stacks);
	free(code);
}

static void row_destroy(struct symbols *symbols, struct row *row)
{
	HASH_DEL(symbols->rows, row);
	for (uint32_t i = 0; i < row->nframe; i++) {
		string_pool_release(symbols->strings, row->frames[i].filename);
		string_pool_release(symbols->strings, row->frames[i].name);
	}
	free(row);
}

/*
 * Forgets all stacks and code objects, and the tracebacks that nobody holds. ALL: also those that
 * somebody holds, and what samples refer to.
 */
static void symbols_forget(struct symbols *symbols, bool all)
{
	struct code *code, *next_code;
	struct row *row, *next_row;

	HASH_ITER (hh, symbols->codes, code, next_code)
		if (all || !(code->id & TMBPF_CODE_SAMPLED))
			code_destroy(symbols, code);
	HASH_ITER (hh, symbols->rows, row, next_row) {
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
	symbols->past_rows = HASH_COUNT(symbols->rows);
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
	string_pool_destroy(symbols->strings);
	free(symbols->stacks);
	free(symbols->kept);
	free(symbols->placed);
	free(symbols->retired);
	free(symbols);
}

/* Reads the captured string at *CURSOR, which moves behind it; NULL if it was not captured. */
static char *string_read(struct symbols *symbols, const struct tmbpf_string *string,
			 const uint8_t **cursor, const uint8_t *end)
{
	const uint8_t *characters = *cursor;

	if (!string->kind || string->captured > (size_t)(end - *cursor) ||
	    (uint64_t)string->length * string->kind < string->captured)
		return NULL;
	*cursor += (string->captured + 7) & ~7u;
	if (*cursor > end)
		*cursor = end;
	if ((uint64_t)string->length * string->kind > string->captured)
		symbols->counters.shortened_strings++;
	return python_string_decode(string->kind, characters, string->captured / string->kind);
}

/*
 * Reads from the target what BPF could not copy: a page was not there, or a table was too large.
 * The code object is the same one if what is found agrees with what was captured.
 */
static void code_complete(struct symbols *symbols, struct code *code, char **filename, char **name,
			  const uint8_t *captured, size_t captured_size)
{
	const struct python_layout *layout = &tracer_python(symbols->tracer)->layout;
	struct python_code live = {0};
	struct error *error =
		python_code_read(&symbols->process->memory, layout, code->address, &live);

	if (error) {
		error_destroy(error);
		return;
	}
	if (live.firstlineno == code->firstlineno && live.table_size >= captured_size &&
	    !memcmp(live.table, captured, captured_size) &&
	    (!*filename || !strcmp(*filename, live.filename))) {
		if (!*filename)
			*filename = take(live.filename);
		if (!*name)
			*name = live.qualname ? take(live.qualname) : take(live.name);
		free(code->table);
		code->table = take(live.table);
		code->table_size = live.table_size;
		code->table_whole = true;
	}
	python_code_deinit(&live);
}

static void code_record(struct symbols *symbols, const struct tmbpf_record_code *record,
			size_t size)
{
	const uint8_t *cursor = (const uint8_t *)(record + 1),
		      *end = (const uint8_t *)record + size;
	cleanup_free char *filename = NULL, *name = NULL, *qualname = NULL;
	struct code *code;

	if (size < sizeof(*record))
		return;
	code = calloc(1, sizeof(*code));
	if (!code)
		return; /* its frames will be unresolved, which is counted */
	code->id = record->id;
	code->address = record->address;
	code->firstlineno = record->firstlineno;
	code->stack_compact = 16;
	filename = string_read(symbols, &record->filename, &cursor, end);
	name = string_read(symbols, &record->name, &cursor, end);
	qualname = string_read(symbols, &record->qualname, &cursor, end);
	if (qualname) {
		free(name);
		name = take(qualname);
	}
	if (record->table_captured <= (size_t)(end - cursor)) {
		code->table = malloc(record->table_captured + 1);
		code->table_size = code->table ? record->table_captured : 0;
		if (code->table)
			memcpy(code->table, cursor, code->table_size);
		code->table_whole = code->table && record->table_captured == record->table_size;
	}
	if (!filename || !name || !code->table_whole)
		code_complete(symbols, code, &filename, &name, cursor, code->table_size);
	code->filename = string_pool_intern(symbols->strings, filename ? filename : "<unreadable>");
	code->name = string_pool_intern(symbols->strings, name ? name : "<unreadable>");
	HASH_ADD_INT(symbols->codes, id, code);
	symbols->sampled_codes += !!(code->id & TMBPF_CODE_SAMPLED);
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
	HASH_FIND_INT(symbols->codes, &record->id, code);
	if (!code)
		return;
	for (size_t i = 0; i < code->stack_count; i++)
		if (reference_stack(symbols, &code->stacks[i]))
			stack_retire(symbols, code->stacks[i].stack);
	code_destroy(symbols, code);
}

static int64_t instruction_index(const struct python_layout *layout, const struct code *code,
				 uint64_t instruction)
{
	if (layout->frames == PYTHON_FRAMES_OBJECT)
		return (int32_t)instruction;
	return instruction - code->address - layout->code.adaptive;
}

/* For a code object whose table is whole. */
static int code_line(const struct python *python, struct code *code, int64_t index)
{
	if (!code->line_known || code->line_index != index) {
		code->line = python_line(python->layout.lines, python->version, code->table,
					 code->table_size, code->firstlineno, index);
		code->line_index = index;
		code->line_known = true;
	}
	return code->line;
}

static void frame_resolve(struct symbols *symbols, const struct tmbpf_frame *frame,
			  struct symbol_frame *ret)
{
	const struct python *python = tracer_python(symbols->tracer);
	uint32_t id = frame->code;
	struct code *code;
	int line = -1;

	HASH_FIND_INT(symbols->codes, &id, code);
	if (!code) {
		symbols->counters.unresolved_frames++;
		*ret = (struct symbol_frame){string_pool_intern(symbols->strings, "<unknown>"),
					     string_pool_intern(symbols->strings, ""), 0, 0};
		return;
	}
	if (code->table_whole)
		line = code_line(python, code,
				 instruction_index(&python->layout, code, frame->instruction));
	else
		symbols->counters.unresolved_frames++;
	string_pool_hold(code->filename);
	string_pool_hold(code->name);
	*ret = (struct symbol_frame){
		.filename = code->filename,
		.name = code->name,
		/*
		 * tracemalloc has 0 where Python has no line (Modules/_tracemalloc.c,
		 * tracemalloc_get_frame).
		 */
		.lineno = line < 0 ? 0 : line,
		.firstlineno = code->firstlineno < 0 ? 0 : code->firstlineno,
	};
}

static size_t row_key_size(uint32_t nframe)
{
	return nframe * sizeof(struct symbol_frame);
}

/* Returns the row that equals ROW, and destroys ROW; if there is none ROW becomes it. */
static struct row *row_intern(struct symbols *symbols, struct row *row)
{
	struct row *known;
	unsigned int hash;

	HASH_VALUE(row->frames, row_key_size(row->nframe), hash);
	hash ^= row->total_nframe * 0x9e3779b1u ^ row->domain * 0x85ebca6bu;
	HASH_FIND_BYHASHVALUE(hh, symbols->rows, row->frames, row_key_size(row->nframe), hash,
			      known);
	/*
	 * Rows of equal frames and hash have equal numbers but for a collision, which only shares
	 * no row.
	 */
	if (known && known->total_nframe == row->total_nframe && known->domain == row->domain) {
		for (uint32_t i = 0; i < row->nframe; i++) {
			string_pool_release(symbols->strings, row->frames[i].filename);
			string_pool_release(symbols->strings, row->frames[i].name);
		}
		free(row);
		return known;
	}
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, symbols->rows, row->frames, row_key_size(row->nframe), hash,
				    row);
	symbols->past_rows++; /* until a stack is added */
	return row;
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
		frame_resolve(symbols, &record->frames[i], &row->frames[i]);
	row = row_intern(symbols, row);
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

		HASH_FIND_INT(symbols->codes, &id, code);
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
		frame_resolve(symbols, &sample->frames[i], &row->frames[i]);
	row = row_intern(symbols, row);
	row->held++;
	return (struct symbols_traceback *)row;
}

void symbols_samples_forget(struct symbols *symbols)
{
	struct code *code, *next;

	HASH_ITER (hh, symbols->codes, code, next)
		if (code->id & TMBPF_CODE_SAMPLED)
			code_destroy(symbols, code);
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
		code_record(symbols, (const struct tmbpf_record_code *)record, size);
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
	ret->tracebacks = HASH_COUNT(symbols->rows);
	ret->codes = HASH_COUNT(symbols->codes);
}
