// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Code objects: what is announced of them, and the lines of their instructions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/string_pool.h"
#include "python/code.h"
#include "trace/symbols/symbols_internal.h"

static bool code_equal(const void *context, uint32_t position, const void *key)
{
	const struct entries *codes = context;

	return ((const struct code *)codes->list[position])->id == *(const uint32_t *)key;
}

struct code *symbols_code_find(const struct symbols *symbols, uint32_t id)
{
	const struct entries *codes = &symbols->codes;
	uint32_t hash = entries_hash(lookup_hash_number(0, id));
	uint32_t found = lookup_find(&codes->lookup, hash, code_equal, codes, &id);

	return found == LOOKUP_NONE ? NULL : (struct code *)codes->list[found];
}

/* Frees CODE, which is in no table. */
static void code_free(struct symbols *symbols, struct code *code)
{
	string_pool_release(symbols->strings, code->filename);
	string_pool_release(symbols->strings, code->name);
	free(code->table);
	free(code->stacks);
	free(code);
}

void symbols_code_destroy(struct symbols *symbols, struct code *code)
{
	entries_remove(&symbols->codes, &code->entry);
	symbols->sampled_codes -= !!(code->id & TMBPF_CODE_SAMPLED);
	code_free(symbols, code);
}

void symbols_codes_destroy(struct symbols *symbols, bool sampled, bool others)
{
	/* From the end, as the last one takes the place of one that goes. */
	for (size_t i = symbols->codes.count; i-- > 0;) {
		struct code *code = (struct code *)symbols->codes.list[i];

		if (code->id & TMBPF_CODE_SAMPLED ? sampled : others)
			symbols_code_destroy(symbols, code);
	}
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

/* Adds CODE, in the place of one with its id. Without memory its frames will be unresolved. */
static void code_keep(struct symbols *symbols, struct code *code)
{
	struct code *known = symbols_code_find(symbols, code->id);
	struct error *error;

	if (known)
		symbols_code_destroy(symbols, known);
	error = entries_add(&symbols->codes, &code->entry, lookup_hash_number(0, code->id));
	if (error) {
		error_destroy(error);
		code_free(symbols, code);
		return;
	}
	symbols->sampled_codes += !!(code->id & TMBPF_CODE_SAMPLED);
}

void symbols_code_record(struct symbols *symbols, const struct tmbpf_record_code *record,
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
	code_keep(symbols, code);
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

void symbols_frame_resolve(struct symbols *symbols, const struct tmbpf_frame *frame,
			   struct symbol_frame *ret)
{
	const struct python *python = tracer_python(symbols->tracer);
	uint32_t id = frame->code;
	struct code *code;
	int line = -1;

	code = symbols_code_find(symbols, id);
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
