// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Writes a pickle that tracemalloc.Snapshot.load() reads. */
#include "format/tracemalloc.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "base/text.h"
#include "format/pickle.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Python's own pickler appends this many elements of a list at a time. */
#define APPENDS_BATCH 1000

#define NOT_MEMOIZED UINT32_MAX

struct pickle {
	const struct snapshot *snapshot;
	const struct tables *tables;
	struct output *output;
	bool total_nframe;   /* tuples have it: 3.9 on */
	uint32_t memo_count; /* what Python's memo holds so far */
	uint32_t *string_memos, *frame_memos, *traceback_memos;

	size_t batch; /* tuples since the last MARK */
};

static void pickle_deinit(struct pickle *pickle)
{
	free(pickle->string_memos);
	free(pickle->frame_memos);
	free(pickle->traceback_memos);
}

static struct error *emit(struct pickle *pickle, enum opcode opcode)
{
	uint8_t byte = (uint8_t)opcode;

	return output_write(pickle->output, &byte, 1);
}

/* OPCODE and the SIZE low bytes of NUMBER, the least first. */
static struct error *emit_number(struct pickle *pickle, enum opcode opcode, uint64_t number,
				 size_t size)
{
	uint8_t bytes[9] = {(uint8_t)opcode};

	for (size_t i = 0; i < size; i++)
		bytes[i + 1] = (uint8_t)(number >> (8 * i));
	return output_write(pickle->output, bytes, size + 1);
}

static struct error *emit_integer(struct pickle *pickle, uint64_t number)
{
	uint8_t bytes[11] = {OP_LONG1, 9};

	if (number <= UINT8_MAX)
		return emit_number(pickle, OP_BININT1, number, 1);
	if (number <= UINT16_MAX)
		return emit_number(pickle, OP_BININT2, number, 2);
	if (number <= INT32_MAX)
		return emit_number(pickle, OP_BININT, number, 4);
	/* Nine bytes, as the number is signed. */
	for (size_t i = 0; i < 8; i++)
		bytes[i + 2] = (uint8_t)(number >> (8 * i));
	return output_write(pickle->output, bytes, sizeof(bytes));
}

static struct error *emit_memoize(struct pickle *pickle, uint32_t *ret)
{
	if (pickle->memo_count == NOT_MEMOIZED)
		return error_create(ERROR_FAILED, "a pickle of more than 32 bits of objects");
	try(emit(pickle, OP_MEMOIZE));
	*ret = pickle->memo_count++;
	return NULL;
}

static struct error *emit_get(struct pickle *pickle, uint32_t memo)
{
	if (memo <= UINT8_MAX)
		return emit_number(pickle, OP_BINGET, memo, 1);
	return emit_number(pickle, OP_LONG_BINGET, memo, 4);
}

static struct error *emit_bytes_as_text(struct pickle *pickle, const char *text, size_t size)
{
	if (size <= UINT8_MAX)
		try(emit_number(pickle, OP_SHORT_BINUNICODE, size, 1));
	else
		try(emit_number(pickle, OP_BINUNICODE, size, 4));
	return output_write(pickle->output, text, size);
}

/*
 * TEXT as Python is to have it. Python decodes with "surrogatepass", so that lone surrogates pass;
 * a byte that is no text at all goes as the surrogate that os.fsdecode() makes of it.
 */
static struct error *emit_text(struct pickle *pickle, const char *text)
{
	/* At most three bytes stand for one. */
	cleanup_free char *encoded = reallocarray(NULL, strlen(text) + 1, 3);
	size_t size = 0;

	if (!encoded)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a file name");
	while (*text) {
		uint32_t code;

		text += text_decode(text, &code);
		if (code & TEXT_INVALID)
			code = 0xdc00 + (code & 0xff);
		size += text_encode(code, encoded + size);
	}
	if (size > UINT32_MAX)
		return error_create(ERROR_FAILED, "a file name of %zu bytes", size);
	return emit_bytes_as_text(pickle, encoded, size);
}

static struct error *emit_filename(struct pickle *pickle, uint32_t string)
{
	uint32_t *memo = &pickle->string_memos[string];

	if (*memo != NOT_MEMOIZED)
		return emit_get(pickle, *memo);
	try(emit_text(pickle, pickle->tables->strings[string]));
	return emit_memoize(pickle, memo);
}

/* The tuple (filename, lineno) of the frame INDEX. */
static struct error *emit_frame(struct pickle *pickle, uint32_t index)
{
	const struct frame *frame = &pickle->tables->frames[index];
	uint32_t *memo = &pickle->frame_memos[index];

	if (*memo != NOT_MEMOIZED)
		return emit_get(pickle, *memo);
	try(emit_filename(pickle, frame->filename));
	try(emit_integer(pickle, frame->lineno));
	try(emit(pickle, OP_TUPLE2));
	return emit_memoize(pickle, memo);
}

static struct error *emit_traceback(struct pickle *pickle, uint32_t index)
{
	const struct traceback *traceback = &pickle->tables->tracebacks[index];
	static const enum opcode tuple_of[] = {OP_EMPTY_TUPLE, OP_TUPLE1, OP_TUPLE2, OP_TUPLE3};
	uint32_t *memo = &pickle->traceback_memos[index];

	if (*memo != NOT_MEMOIZED)
		return emit_get(pickle, *memo);
	if (traceback->nframe >= array_size(tuple_of))
		try(emit(pickle, OP_MARK));
	for (uint32_t i = 0; i < traceback->nframe; i++)
		try(emit_frame(pickle, pickle->tables->traceback_frames[traceback->first + i]));
	try(emit(pickle, traceback->nframe < array_size(tuple_of) ? tuple_of[traceback->nframe]
								  : OP_TUPLE));
	return emit_memoize(pickle, memo);
}

/* Begins and ends batches of elements of the list of traces. */
static struct error *batch_next(struct pickle *pickle)
{
	if (pickle->batch == APPENDS_BATCH) {
		try(emit(pickle, OP_APPENDS));
		pickle->batch = 0;
	}
	if (pickle->batch++ == 0)
		try(emit(pickle, OP_MARK));
	return NULL;
}

static struct error *batch_end(struct pickle *pickle)
{
	return pickle->batch > 0 ? emit(pickle, OP_APPENDS) : NULL;
}

static struct error *emit_block(struct pickle *pickle, const struct trace *trace, uint64_t size)
{
	uint32_t total_nframe = pickle->tables->tracebacks[trace->traceback].total_nframe;

	if (pickle->total_nframe)
		try(emit(pickle, OP_MARK));
	try(emit_integer(pickle, trace->domain));
	try(emit_integer(pickle, size));
	try(emit_traceback(pickle, trace->traceback));
	if (!pickle->total_nframe)
		return emit(pickle, OP_TUPLE3);
	try(emit_integer(pickle, total_nframe));
	return emit(pickle, OP_TUPLE);
}

/* COUNT blocks of SIZE bytes each: one tuple, and it again. */
static struct error *emit_blocks(struct pickle *pickle, const struct trace *trace, uint64_t size,
				 uint64_t count)
{
	uint32_t memo = NOT_MEMOIZED;

	if (count == 0)
		return NULL;
	try(batch_next(pickle));
	try(emit_block(pickle, trace, size));
	if (count > 1)
		try(emit_memoize(pickle, &memo));
	for (uint64_t i = 1; i < count; i++) {
		try(batch_next(pickle));
		try(emit_get(pickle, memo));
	}
	return NULL;
}

static struct error *emit_trace(struct pickle *pickle, const struct trace *trace)
{
	uint64_t each, larger;

	if (trace->count == 0)
		return NULL;
	each = trace->size / trace->count;
	larger = trace->size % trace->count;
	try(emit_blocks(pickle, trace, each + 1, larger));
	return emit_blocks(pickle, trace, each, trace->count - larger);
}

static struct error *emit_instance(struct pickle *pickle, const char *class_name)
{
	try(emit_bytes_as_text(pickle, "tracemalloc", strlen("tracemalloc")));
	try(emit_bytes_as_text(pickle, class_name, strlen(class_name)));
	try(emit(pickle, OP_STACK_GLOBAL));
	try(emit(pickle, OP_EMPTY_TUPLE));
	return emit(pickle, OP_NEWOBJ);
}

/* The name of an attribute, whose value follows, within MARK and SETITEMS. */
static struct error *emit_attribute(struct pickle *pickle, const char *name)
{
	return emit_bytes_as_text(pickle, name, strlen(name));
}

static struct error *emit_snapshot(struct pickle *pickle)
{
	const struct snapshot *snapshot = pickle->snapshot;

	try(emit_number(pickle, OP_PROTO, 4, 1));
	try(emit_instance(pickle, "Snapshot"));
	try(emit(pickle, OP_EMPTY_DICT));
	try(emit(pickle, OP_MARK));
	try(emit_attribute(pickle, "traces"));
	try(emit_instance(pickle, "_Traces"));
	try(emit(pickle, OP_EMPTY_DICT));
	try(emit(pickle, OP_MARK));
	try(emit_attribute(pickle, "_traces"));
	try(emit(pickle, OP_EMPTY_LIST));
	for (size_t i = 0; i < snapshot->trace_count; i++)
		try(emit_trace(pickle, &snapshot->traces[i]));
	try(batch_end(pickle));
	try(emit(pickle, OP_SETITEMS));
	try(emit(pickle, OP_BUILD));
	try(emit_attribute(pickle, "traceback_limit"));
	try(emit_integer(pickle, snapshot->info.traceback_limit));
	try(emit(pickle, OP_SETITEMS));
	try(emit(pickle, OP_BUILD));
	return emit(pickle, OP_STOP);
}

static uint32_t *memos_create(size_t count)
{
	uint32_t *memos = reallocarray(NULL, count + 1, sizeof(*memos));

	if (memos)
		memset(memos, 0xff, (count + 1) * sizeof(*memos));
	return memos;
}

static struct error *pickle_init(struct pickle *pickle)
{
	const struct tables *tables = pickle->snapshot->tables;

	pickle->tables = tables;
	pickle->string_memos = memos_create(tables->string_count);
	pickle->frame_memos = memos_create(tables->frame_count);
	pickle->traceback_memos = memos_create(tables->traceback_count);
	if (!pickle->string_memos || !pickle->traceback_memos || !pickle->frame_memos)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a pickle");
	return NULL;
}

static struct error *check_counts(const struct snapshot *snapshot)
{
	uint64_t count = snapshot_totals(snapshot).count;

	if (count > TRACEMALLOC_BLOCK_MAX)
		return error_create(ERROR_FAILED,
				    "%" PRIu64 " blocks are too many for tracemalloc, which has "
				    "a tuple for each: at most %" PRIu64,
				    count, TRACEMALLOC_BLOCK_MAX);
	for (size_t i = 0; i < snapshot->trace_count; i++) {
		if (snapshot->traces[i].count == 0 && snapshot->traces[i].size != 0)
			return error_create(ERROR_FAILED,
					    "the snapshot has %" PRIu64 " bytes in no block at "
					    "all, which tracemalloc cannot hold",
					    snapshot->traces[i].size);
	}
	return NULL;
}

struct error *tracemalloc_write(const struct snapshot *snapshot, uint32_t version,
				struct output *output)
{
	cleanup(pickle_deinit) struct pickle pickle = {.snapshot = snapshot, .output = output};

	if (version == 0)
		version = snapshot->info.python_version;
	if (version == 0)
		return error_advise(error_create(ERROR_FAILED,
						 "the snapshot does not say which Python it is "
						 "of, and tracemalloc's files differ by version"),
				    "name the Python that is to load it: --python 3.11");
	if (version < 0x03060000)
		return error_create(ERROR_FAILED, "no tracemalloc of before Python 3.6");
	pickle.total_nframe = version >= 0x03090000;
	try(check_counts(snapshot));
	try(pickle_init(&pickle));
	return emit_snapshot(&pickle);
}
