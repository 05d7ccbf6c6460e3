// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Reads what tracemalloc.Snapshot.dump() writes. A pickle is a program for a stack machine. The
 * operations here are the few that a Snapshot needs, on the few kinds of values that it has, and
 * they make nothing but these: what any other pickle would do is refused before it is done. Values
 * are a number or an index; there is no tree of objects.
 */
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "format/frame_cache.h"
#include "format/pickle.h"
#include "format/pickle_machine.h"
#include "format/tracemalloc.h"
#include "format/tracemalloc_internal.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <inttypes.h>
#include <string.h>

static const char *const words[] = {
	[WORD_TRACEMALLOC] = "tracemalloc", [WORD_SNAPSHOT] = "Snapshot",
	[WORD_TRACES_CLASS] = "_Traces",    [WORD_TRACES] = "traces",
	[WORD_TRACES_LIST] = "_traces",     [WORD_TRACEBACK_LIMIT] = "traceback_limit",
};

/* With fewer memos a table of frames is not worth its memory. */
#define FRAME_CACHE_MEMOS ((size_t)4096)

static void reader_deinit(struct reader *reader)
{
	machine_deinit(&reader->machine);
	snapshot_builder_destroy(reader->builder);
	frame_cache_deinit(&reader->cache);
	free(reader->frames);
	free(reader->tracebacks);
	free(reader->blocks);
}

/* ERROR of the model, with where it came up. */
static struct error *locate(const struct reader *reader, struct error *error)
{
	if (!error || error_number(error) != 0)
		return error;
	return error_prefix(error, "at byte %" PRIu64, reader->machine.offset);
}

static struct error *op_get(struct reader *reader, size_t size)
{
	uint64_t index;
	struct memo memo;

	try(machine_read_number(&reader->machine, size, &index));
	try(machine_recall(&reader->machine, index, &memo));
	switch (memo.kind) {
	case VALUE_TEXT:
	case VALUE_WORD:
	case VALUE_FRAME:
	case VALUE_TRACEBACK:
	case VALUE_TRACE:
		return push(reader, memo.kind, memo.index);
	default:
		return machine_refuse(&reader->machine,
				      "memo %" PRIu64 " is nothing that a Snapshot has twice",
				      index);
	}
}

static struct error *push_number(struct reader *reader, uint64_t number)
{
	return machine_push(&reader->machine,
			    (struct value){.kind = VALUE_NUMBER, .number = number});
}

static struct error *op_number(struct reader *reader, size_t size)
{
	uint64_t number;

	try(machine_read_number(&reader->machine, size, &number));
	/* Four bytes are signed. */
	if (size == 4 && number > INT32_MAX)
		return machine_refuse(&reader->machine, "a negative number");
	return push_number(reader, number);
}

static struct error *op_long(struct reader *reader)
{
	uint64_t number;

	try(machine_read_long(&reader->machine, &number));
	return push_number(reader, number);
}

static struct error *enter_string(struct reader *reader, const char *text, size_t size,
				  uint32_t *ret)
{
	try(locate(reader, tables_string(reader->tables, text, size, ret)));
	if (reader->tables->string_count > reader->string_most)
		return machine_refuse_many(&reader->machine, "file names", TRACEMALLOC_PLACE_MAX);
	return NULL;
}

static struct error *enter_frame(struct reader *reader, const struct frame *frame, uint32_t *ret)
{
	try(locate(reader, tables_frame(reader->tables, frame, ret)));
	if (reader->tables->frame_count > reader->frame_most)
		return machine_refuse_many(&reader->machine, "places in code",
					   TRACEMALLOC_PLACE_MAX);
	return NULL;
}

static struct error *op_text(struct reader *reader, size_t length_size)
{
	const char *text;
	size_t size;
	uint32_t index;

	try(machine_read_text(&reader->machine, length_size, &text, &size));
	for (size_t i = 0; i < array_size(words); i++) {
		if (size == strlen(words[i]) && memcmp(text, words[i], size) == 0)
			return push(reader, VALUE_WORD, i);
	}
	try(enter_string(reader, text, size, &index));
	return push(reader, VALUE_TEXT, index);
}

/* Tuples: a frame, a traceback, a trace. */

static struct error *check_32_bits(const struct reader *reader, const struct value *value,
				   const char *what, uint32_t *ret)
{
	if (value->kind != VALUE_NUMBER)
		return machine_refuse(&reader->machine, "a tuple whose %s is no number", what);
	if (value->number > UINT32_MAX)
		return machine_refuse(&reader->machine, "the %s %" PRIu64, what, value->number);
	*ret = (uint32_t)value->number;
	return NULL;
}

static struct error *find_frame(struct reader *reader, const struct frame *frame, uint32_t *ret)
{
	/* A small file does without. */
	if (reader->machine.memo_count < FRAME_CACHE_MEMOS)
		return enter_frame(reader, frame, ret);
	if (frame_cache_find(&reader->cache, frame, ret))
		return NULL;
	try(enter_frame(reader, frame, ret));
	return frame_cache_add(&reader->cache, frame, *ret);
}

static struct error *make_frame(struct reader *reader, const struct value *values, size_t count)
{
	struct frame frame = {.filename = values[0].index};
	uint32_t index;

	if (count != 2)
		return machine_refuse(&reader->machine, "a frame of %zu elements", count);
	try(check_32_bits(reader, &values[1], "line number", &frame.lineno));
	/* A file may have such a name too. */
	if (values[0].kind == VALUE_WORD)
		try(enter_string(reader, words[values[0].index], strlen(words[values[0].index]),
				 &frame.filename));
	try(find_frame(reader, &frame, &index));
	return push(reader, VALUE_FRAME, index);
}

static struct error *make_traceback(struct reader *reader, const struct value *values, size_t count)
{
	struct frames *traceback;

	if (count > TRACEMALLOC_DEPTH_MAX)
		return machine_refuse_many(&reader->machine, "frames in a traceback",
					   TRACEMALLOC_DEPTH_MAX);
	if (reader->frame_count + count > TRACEMALLOC_FRAME_MAX)
		return machine_refuse_many(&reader->machine, "frames", TRACEMALLOC_FRAME_MAX);
	if (reader->traceback_count >= TRACEMALLOC_TRACE_MAX)
		return machine_refuse_many(&reader->machine, "tracebacks", TRACEMALLOC_TRACE_MAX);
	try(array_reserve(&reader->frames, &reader->frame_capacity, reader->frame_count, count,
			  sizeof(*reader->frames)));
	try(array_reserve(&reader->tracebacks, &reader->traceback_capacity, reader->traceback_count,
			  1, sizeof(*reader->tracebacks)));
	for (size_t i = 0; i < count; i++) {
		if (values[i].kind != VALUE_FRAME)
			return machine_refuse(&reader->machine,
					      "a traceback with something else than frames");
		reader->frames[reader->frame_count + i] = values[i].index;
	}
	traceback = &reader->tracebacks[reader->traceback_count];
	*traceback = (struct frames){.first = (uint32_t)reader->frame_count,
				     .nframe = (uint32_t)count,
				     .traceback = UINT32_MAX};
	reader->frame_count += count;
	return push(reader, VALUE_TRACEBACK, reader->traceback_count++);
}

/* The tables' traceback of FRAMES, of which there were TOTAL_NFRAME. */
static struct error *resolve_traceback(struct reader *reader, struct frames *frames,
				       uint32_t total_nframe, uint32_t *ret)
{
	if (frames->traceback == UINT32_MAX || frames->total_nframe != total_nframe) {
		try(locate(reader,
			   tables_traceback(reader->tables, &reader->frames[frames->first],
					    frames->nframe, total_nframe, &frames->traceback)));
		frames->total_nframe = total_nframe;
	}
	*ret = frames->traceback;
	return NULL;
}

static struct error *make_trace(struct reader *reader, const struct value *values, size_t count)
{
	struct block block = {0};
	struct frames *frames;
	uint32_t total_nframe;

	if (count != 3 && count != 4)
		return machine_refuse(&reader->machine, "a trace of %zu elements", count);
	if (reader->width != 0 && reader->width != count)
		return machine_refuse(&reader->machine,
				      "a trace of %zu elements among those of %zu", count,
				      reader->width);
	if (values[1].kind != VALUE_NUMBER || values[2].kind != VALUE_TRACEBACK)
		return machine_refuse(&reader->machine, "a trace without a size and a traceback");
	if (values[1].number > INT64_MAX)
		return machine_refuse(&reader->machine, "a block of %" PRIu64 " bytes",
				      values[1].number);
	if (reader->block_count >= TRACEMALLOC_TRACE_MAX)
		return machine_refuse_many(&reader->machine, "traces", TRACEMALLOC_TRACE_MAX);
	reader->width = count;
	block.size = values[1].number;
	frames = &reader->tracebacks[values[2].index];
	total_nframe = frames->nframe;
	try(check_32_bits(reader, &values[0], "domain", &block.domain));
	if (count == 4)
		try(check_32_bits(reader, &values[3], "total_nframe", &total_nframe));
	if (total_nframe < frames->nframe)
		return machine_refuse(&reader->machine,
				      "a traceback of %" PRIu32 " frames with %" PRIu32 " in all",
				      frames->nframe, total_nframe);
	try(resolve_traceback(reader, frames, total_nframe, &block.traceback));
	try(array_reserve(&reader->blocks, &reader->block_capacity, reader->block_count, 1,
			  sizeof(*reader->blocks)));
	reader->blocks[reader->block_count] = block;
	return push(reader, VALUE_TRACE, reader->block_count++);
}

static struct error *make_tuple(struct reader *reader, const struct value *values, size_t count)
{
	switch (count > 0 ? values[0].kind : VALUE_NOTHING) {
	case VALUE_TEXT:
	case VALUE_WORD:
		return make_frame(reader, values, count);
	case VALUE_FRAME:
		return make_traceback(reader, values, count);
	case VALUE_NUMBER:
		return make_trace(reader, values, count);
	default:
		return machine_refuse(&reader->machine,
				      "a tuple that is no frame, traceback or trace");
	}
}

static struct error *op_tuple_of(struct reader *reader, size_t count)
{
	const struct value *values;

	try(machine_pop(&reader->machine, count, &values));
	return make_tuple(reader, values, count);
}

static struct error *op_tuple(struct reader *reader)
{
	const struct value *values;
	size_t count;

	try(machine_pop_mark(&reader->machine, &values, &count));
	return make_tuple(reader, values, count);
}

/* The list. */

static struct error *run_end(struct reader *reader)
{
	struct trace trace = {
		.domain = reader->run.domain,
		.traceback = reader->run.traceback,
		.count = reader->run_count,
		.size = reader->run_count * reader->run.size,
		.total_count = reader->run_count,
		.total_size = reader->run_count * reader->run.size,
	};

	if (reader->run_count == 0)
		return NULL;
	if (reader->trace_count >= TRACEMALLOC_TRACE_MAX)
		return machine_refuse_many(&reader->machine,
					   "traces that differ from the one before",
					   TRACEMALLOC_TRACE_MAX);
	reader->trace_count++;
	reader->run_count = 0;
	return locate(reader, snapshot_builder_trace(reader->builder, &trace));
}

static struct error *append(struct reader *reader, const struct value *value)
{
	const struct block *block;
	uint64_t size;

	if (value->kind != VALUE_TRACE)
		return machine_refuse(&reader->machine, "a list with something else than traces");
	block = &reader->blocks[value->index];
	if (reader->run_count > 0 && block->size == reader->run.size &&
	    block->domain == reader->run.domain && block->traceback == reader->run.traceback) {
		if (__builtin_mul_overflow(reader->run_count + 1, block->size, &size) ||
		    size > INT64_MAX)
			return machine_refuse(&reader->machine,
					      "the sizes add up to more than 63 bits");
		reader->run_count++;
		return NULL;
	}
	try(run_end(reader));
	reader->run = *block;
	reader->run_count = 1;
	return NULL;
}

static struct error *op_append(struct reader *reader)
{
	const struct value *value, *list;

	try(machine_pop(&reader->machine, 1, &value));
	try(machine_top(&reader->machine, VALUE_LIST, "a list", &list));
	return append(reader, value);
}

static struct error *op_appends(struct reader *reader)
{
	const struct value *values, *list;
	size_t count;

	try(machine_pop_mark(&reader->machine, &values, &count));
	try(machine_top(&reader->machine, VALUE_LIST, "a list", &list));
	for (size_t i = 0; i < count; i++)
		try(append(reader, &values[i]));
	return NULL;
}

static struct error *op_list(struct reader *reader)
{
	if (reader->has_list)
		return machine_refuse(&reader->machine, "a second list");
	reader->has_list = true;
	return push(reader, VALUE_LIST, 0);
}

/* The pickle. */

static struct error *execute_more(struct reader *reader, uint8_t opcode)
{
	switch (opcode) {
	case OP_FRAME:
		return machine_frame(&reader->machine);
	case OP_LONG_BINGET:
		return op_get(reader, 4);
	case OP_LONG1:
		return op_long(reader);
	case OP_BINUNICODE:
		return op_text(reader, 4);
	case OP_BINUNICODE8:
		return op_text(reader, 8);
	case OP_STACK_GLOBAL:
		return op_class(reader);
	case OP_EMPTY_TUPLE:
		return push(reader, VALUE_NOTHING, 0);
	case OP_NEWOBJ:
		return op_object(reader);
	case OP_EMPTY_LIST:
		return op_list(reader);
	case OP_EMPTY_DICT:
		return op_dict(reader);
	case OP_SETITEM:
		return op_item(reader);
	case OP_SETITEMS:
		return op_items(reader);
	case OP_BUILD:
		return op_build(reader);
	case OP_STOP:
		return op_stop(reader);
	default:
		return machine_refuse_opcode(&reader->machine, opcode);
	}
}

/* Those that there are many of, first. */
static struct error *execute(struct reader *reader, uint8_t opcode)
{
	switch (opcode) {
	case OP_BINGET:
		return op_get(reader, 1);
	case OP_BININT1:
		return op_number(reader, 1);
	case OP_BININT2:
		return op_number(reader, 2);
	case OP_BININT:
		return op_number(reader, 4);
	case OP_SHORT_BINUNICODE:
		return op_text(reader, 1);
	case OP_MARK:
		return machine_mark(&reader->machine);
	case OP_TUPLE:
		return op_tuple(reader);
	case OP_TUPLE1:
		return op_tuple_of(reader, 1);
	case OP_TUPLE2:
		return op_tuple_of(reader, 2);
	case OP_TUPLE3:
		return op_tuple_of(reader, 3);
	case OP_MEMOIZE:
		return machine_memoize(&reader->machine);
	case OP_APPEND:
		return op_append(reader);
	case OP_APPENDS:
		return op_appends(reader);
	default:
		return execute_more(reader, opcode);
	}
}

/* A frame, where one comes in the usual way. *RET is false where something else does. */
static struct error *read_frame(struct reader *reader, bool *ret)
{
	struct machine *machine = &reader->machine;
	struct frame frame = {0};
	struct memo filename;
	uint32_t index;
	size_t size = machine_peek_frame(machine, &filename, &frame.lineno);

	*ret = false;
	if (size == 0 || filename.kind != VALUE_TEXT)
		return NULL;
	machine->offset = pickle_input_offset(&machine->input);
	frame.filename = filename.index;
	try(find_frame(reader, &frame, &index));
	if (index > MACHINE_INDEX_MAX)
		return NULL;
	machine_skip_frame(machine, size, (struct value){.kind = VALUE_FRAME, .index = index});
	*ret = true;
	return NULL;
}

static struct error *reader_read(struct reader *reader)
{
	struct machine *machine = &reader->machine;
	bool ended;

	try(machine_read_protocol(machine));
	while (!reader->stopped) {
		uint8_t opcode;
		bool done;

		try(read_frame(reader, &done));
		if (done)
			continue;
		try(machine_next(machine, &opcode));
		try(execute(reader, opcode));
		try(machine_check_frame(machine, reader->stopped));
	}
	try(run_end(reader));
	try(pickle_input_ended(&machine->input, &ended));
	return ended ? NULL : machine_refuse(machine, "something follows its end");
}

struct error *tracemalloc_read(const char *path, struct tables *tables, struct snapshot **ret)
{
	cleanup(reader_deinit) struct reader reader = {0};
	struct error *error;

	try(machine_init(&reader.machine, path));
	try(snapshot_builder_create(tables, &reader.builder));
	reader.tables = snapshot_builder_tables(reader.builder);
	reader.string_most = reader.tables->string_count + TRACEMALLOC_PLACE_MAX;
	reader.frame_most = reader.tables->frame_count + TRACEMALLOC_PLACE_MAX;
	error = reader_read(&reader);
	if (error && error_number(error) != 0)
		return error_prefix(error, "cannot read %s", path);
	if (error)
		return error_prefix(error, "%s is no snapshot of tracemalloc or is damaged", path);
	snapshot_builder_info(reader.builder)->traceback_limit = (uint32_t)reader.traceback_limit;
	return snapshot_builder_finish(take(reader.builder), ret);
}
