// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads a snapshot file, a gzipped pprof profile. */
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/lookup.h"
#include "format/gzip.h"
#include "format/pickle.h"
#include "format/pprof.h"
#include "format/pprof_info.h"
#include "format/wire.h"
#include "profile.pb-c.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <errno.h>
#include <string.h>

/* Fields of Profile; the numbers are those of profile.proto. */
enum profile_field {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING_TABLE = 6,
	PROFILE_TIME_NANOS = 9,
	PROFILE_DURATION_NANOS = 10,
	PROFILE_COMMENT = 13,
};

/* Fields of Sample. */
enum sample_field {
	SAMPLE_LOCATION_ID = 1,
	SAMPLE_VALUE = 2,
	SAMPLE_LABEL = 3,
};

/* An element longer than this is no sample, location or function; unpacked it stays small. */
#define MESSAGE_MAX ((size_t)1 << 20)

#define SAMPLE_TYPE_MAX 16
#define COMMENT_MAX     ((size_t)1024)

struct text {
	const char *data; /* within the unpacked file */
	uint32_t size;
};

struct function {
	uint64_t id;
	struct frame frame; /* without the line */
};

/*
 * Location I's frames end where those of I + 1 begin; an inlined function comes before its caller.
 */
struct location {
	uint64_t id;
	uint32_t first;
};

struct reader {
	uint8_t *data;
	size_t size;
	struct snapshot_builder *builder;

	struct text *strings;
	size_t string_count, string_capacity;
	struct function *functions;
	size_t function_count, function_capacity;
	struct location *locations; /* one more than there are */
	size_t location_count, location_capacity;
	uint32_t *frames; /* of the locations: indexes of the tables' */
	size_t frame_count, frame_capacity;
	struct lookup function_lookup, location_lookup;

	struct {
		int64_t type, unit;
	} sample_types[SAMPLE_TYPE_MAX];
	size_t sample_type_count, sample_count, comment_count;
	/* Which of the values these are, -1 for none. */
	int alloc_objects, alloc_space, inuse_objects, inuse_space, inuse_space_error;

	/* Of the sample at hand. */
	uint32_t *traceback;
	uint32_t nframe, total_nframe;
	size_t traceback_capacity;
	int64_t values[SAMPLE_TYPE_MAX];
	size_t value_count;
	struct trace trace;
	size_t traceback_frames; /* of all samples */
};

static void reader_deinit(struct reader *reader)
{
	free(reader->data);
	snapshot_builder_destroy(reader->builder);
	free(reader->strings);
	free(reader->functions);
	free(reader->locations);
	free(reader->frames);
	free(reader->traceback);
	lookup_deinit(&reader->function_lookup);
	lookup_deinit(&reader->location_lookup);
}

static struct error *refuse_many(const char *what, size_t limit)
{
	return error_create(ERROR_FAILED, "more than %zu %s", limit, what);
}

static struct error *string_get(const struct reader *reader, int64_t index, struct text *ret)
{
	if (index < 0 || (uint64_t)index >= reader->string_count)
		return error_create(ERROR_FAILED, "string %lld of %zu is referred to",
				    (long long)index, reader->string_count);
	*ret = reader->strings[index];
	return NULL;
}

static bool text_is(const struct text *text, const char *wanted)
{
	return text->size == strlen(wanted) && memcmp(text->data, wanted, text->size) == 0;
}

struct visitor {
	enum profile_field number;
	enum wire_type type;
	struct error *(*visit)(struct reader *reader, const struct wire_field *field);
};

/* One walk over the file: calls the visitor, if there is one, of each top-level field. */
static struct error *reader_walk(struct reader *reader, const struct visitor *visitors,
				 size_t count)
{
	struct wire wire = {reader->data, reader->size, 0};
	struct wire_field field;
	bool more = true;

	for (;;) {
		try(wire_next(&wire, &field, &more));
		if (!more)
			return NULL;
		for (size_t i = 0; i < count; i++) {
			if (field.number == visitors[i].number && field.type == visitors[i].type)
				try(visitors[i].visit(reader, &field));
		}
	}
}

static struct error *visit_string(struct reader *reader, const struct wire_field *field)
{
	if (reader->string_count >= PPROF_ELEMENT_MAX)
		return refuse_many("strings", PPROF_ELEMENT_MAX);
	try(array_reserve(&reader->strings, &reader->string_capacity, reader->string_count, 1,
			  sizeof(*reader->strings)));
	reader->strings[reader->string_count++] =
		(struct text){(const char *)field->data, (uint32_t)field->size};
	return NULL;
}

static struct error *check_length(const struct wire_field *field, const char *what)
{
	if (field->size <= MESSAGE_MAX)
		return NULL;
	return error_create(ERROR_FAILED, "a %s of %zu bytes", what, field->size);
}

static struct error *refuse_message(const char *what)
{
	return error_create(ERROR_FAILED, "a %s that cannot be unpacked", what);
}

static struct error *visit_sample_type(struct reader *reader, const struct wire_field *field)
{
	Tmbpf__ValueType *type;

	if (reader->sample_type_count >= SAMPLE_TYPE_MAX)
		return refuse_many("types of samples", SAMPLE_TYPE_MAX);
	try(check_length(field, "type of samples"));
	type = tmbpf__value_type__unpack(NULL, field->size, field->data);
	if (!type)
		return refuse_message("type of samples");
	reader->sample_types[reader->sample_type_count].type = type->type;
	reader->sample_types[reader->sample_type_count++].unit = type->unit;
	tmbpf__value_type__free_unpacked(type, NULL);
	return NULL;
}

static struct error *find_sample_type(const struct reader *reader, const char *name,
				      const char *unit, int *ret)
{
	*ret = -1;
	for (size_t i = 0; i < reader->sample_type_count; i++) {
		struct text type, its_unit;

		try(string_get(reader, reader->sample_types[i].type, &type));
		try(string_get(reader, reader->sample_types[i].unit, &its_unit));
		if (text_is(&type, name) && text_is(&its_unit, unit))
			*ret = (int)i;
	}
	return NULL;
}

static struct error *find_sample_types(struct reader *reader)
{
	try(find_sample_type(reader, "alloc_objects", "count", &reader->alloc_objects));
	try(find_sample_type(reader, "alloc_space", "bytes", &reader->alloc_space));
	try(find_sample_type(reader, "inuse_objects", "count", &reader->inuse_objects));
	try(find_sample_type(reader, "inuse_space", "bytes", &reader->inuse_space));
	try(find_sample_type(reader, "inuse_space_error", "bytes", &reader->inuse_space_error));
	if (reader->inuse_objects < 0 || reader->inuse_space < 0)
		return error_create(ERROR_FAILED, "it is no heap profile: it has no "
						  "inuse_objects/count and inuse_space/bytes");
	return NULL;
}

static struct error *read_nanos(const struct wire_field *field, int64_t *ret)
{
	if (field->value > INT64_MAX)
		return error_create(ERROR_FAILED, "a time of %lld ns", (long long)field->value);
	*ret = (int64_t)field->value;
	return NULL;
}

static struct error *visit_time(struct reader *reader, const struct wire_field *field)
{
	return read_nanos(field, &snapshot_builder_info(reader->builder)->time_nanos);
}

static struct error *visit_duration(struct reader *reader, const struct wire_field *field)
{
	return read_nanos(field, &snapshot_builder_info(reader->builder)->duration_nanos);
}

static struct error *read_comment(struct reader *reader, uint64_t index)
{
	struct text comment;

	if (reader->comment_count++ >= COMMENT_MAX)
		return refuse_many("comments", COMMENT_MAX);
	try(string_get(reader, (int64_t)index, &comment));
	return pprof_info_read(snapshot_builder_info(reader->builder), comment.data, comment.size);
}

static struct error *visit_comment(struct reader *reader, const struct wire_field *field)
{
	return read_comment(reader, field->value);
}

static struct error *visit_comments(struct reader *reader, const struct wire_field *field)
{
	struct wire packed = {field->data, field->size, 0};
	uint64_t index;
	bool more = true;

	for (;;) {
		try(wire_next_varint(&packed, &index, &more));
		if (!more)
			return NULL;
		try(read_comment(reader, index));
	}
}

static bool function_equal(const void *context, uint32_t position, const void *key)
{
	return ((const struct reader *)context)->functions[position].id == *(const uint64_t *)key;
}

static bool location_equal(const void *context, uint32_t position, const void *key)
{
	return ((const struct reader *)context)->locations[position].id == *(const uint64_t *)key;
}

static uint32_t function_find(const struct reader *reader, uint64_t id)
{
	return lookup_find(&reader->function_lookup, lookup_hash_number(0, id), function_equal,
			   reader, &id);
}

static uint32_t location_find(const struct reader *reader, uint64_t id)
{
	/* Most writers number them from 1 on. */
	if (id - 1 < reader->location_count && reader->locations[id - 1].id == id)
		return (uint32_t)(id - 1);
	return lookup_find(&reader->location_lookup, lookup_hash_number(0, id), location_equal,
			   reader, &id);
}

/* A line number: what Python has fits, and what does not is no line. */
static struct error *read_lineno(int64_t lineno, uint32_t *ret)
{
	if (lineno < 0 || lineno > UINT32_MAX)
		return error_create(ERROR_FAILED, "line number %lld", (long long)lineno);
	*ret = (uint32_t)lineno;
	return NULL;
}

static struct error *read_string(struct reader *reader, int64_t index, uint32_t *ret)
{
	struct text text;

	try(string_get(reader, index, &text));
	return tables_string(snapshot_builder_tables(reader->builder), text.data, text.size, ret);
}

static struct error *add_function(struct reader *reader, const Tmbpf__Function *message)
{
	struct function function = {.id = message->id};
	struct text system_name;

	if (message->id == 0 || function_find(reader, message->id) != LOOKUP_NONE)
		return error_create(ERROR_FAILED, "function %llu is there twice or has no number",
				    (unsigned long long)message->id);
	if (reader->function_count >= PPROF_ELEMENT_MAX)
		return refuse_many("functions", PPROF_ELEMENT_MAX);
	try(read_string(reader, message->filename, &function.frame.filename));
	try(read_string(reader, message->name, &function.frame.name));
	try(string_get(reader, message->system_name, &system_name));
	/* It is there instead of one that is not known. */
	if (system_name.size == 0 && function.frame.name == function.frame.filename)
		function.frame.name = 0;
	try(read_lineno(message->start_line, &function.frame.firstlineno));
	try(array_reserve(&reader->functions, &reader->function_capacity, reader->function_count, 1,
			  sizeof(*reader->functions)));
	reader->functions[reader->function_count] = function;
	return lookup_add(&reader->function_lookup, lookup_hash_number(0, function.id),
			  (uint32_t)reader->function_count++);
}

static struct error *visit_function(struct reader *reader, const struct wire_field *field)
{
	Tmbpf__Function *message;
	struct error *error;

	try(check_length(field, "function"));
	message = tmbpf__function__unpack(NULL, field->size, field->data);
	if (!message)
		return refuse_message("function");
	error = add_function(reader, message);
	tmbpf__function__free_unpacked(message, NULL);
	return error;
}

static struct error *add_frame(struct reader *reader, const Tmbpf__Line *line)
{
	struct frame frame = {0};

	/* A location may be of code that nobody has a name for. */
	if (line->function_id != 0) {
		uint32_t function = function_find(reader, line->function_id);

		if (function == LOOKUP_NONE)
			return error_create(ERROR_FAILED, "function %llu is not there",
					    (unsigned long long)line->function_id);
		frame = reader->functions[function].frame;
	}
	if (reader->frame_count >= PPROF_FRAME_MAX)
		return refuse_many("lines of locations", PPROF_FRAME_MAX);
	try(read_lineno(line->line, &frame.lineno));
	try(array_reserve(&reader->frames, &reader->frame_capacity, reader->frame_count, 1,
			  sizeof(*reader->frames)));
	return tables_frame(snapshot_builder_tables(reader->builder), &frame,
			    &reader->frames[reader->frame_count++]);
}

static struct error *add_location(struct reader *reader, const Tmbpf__Location *message)
{
	static const Tmbpf__Line no_line = TMBPF__LINE__INIT;
	struct location location = {message->id, (uint32_t)reader->frame_count};

	if (message->id == 0 || location_find(reader, message->id) != LOOKUP_NONE)
		return error_create(ERROR_FAILED, "location %llu is there twice or has no number",
				    (unsigned long long)message->id);
	if (reader->location_count >= PPROF_ELEMENT_MAX)
		return refuse_many("locations", PPROF_ELEMENT_MAX);
	for (size_t i = 0; i < message->n_line; i++)
		try(add_frame(reader, message->line[i]));
	if (message->n_line == 0)
		try(add_frame(reader, &no_line));
	try(array_reserve(&reader->locations, &reader->location_capacity, reader->location_count, 2,
			  sizeof(*reader->locations)));
	reader->locations[reader->location_count] = location;
	reader->locations[reader->location_count + 1].first = (uint32_t)reader->frame_count;
	return lookup_add(&reader->location_lookup, lookup_hash_number(0, location.id),
			  (uint32_t)reader->location_count++);
}

static struct error *visit_location(struct reader *reader, const struct wire_field *field)
{
	Tmbpf__Location *message;
	struct error *error;

	try(check_length(field, "location"));
	message = tmbpf__location__unpack(NULL, field->size, field->data);
	if (!message)
		return refuse_message("location");
	error = add_location(reader, message);
	tmbpf__location__free_unpacked(message, NULL);
	return error;
}

/* Adds the frames of location ID to the traceback of the sample at hand. */
static struct error *read_location_id(struct reader *reader, uint64_t id)
{
	uint32_t location = location_find(reader, id);
	uint32_t first, count;

	if (location == LOOKUP_NONE)
		return error_create(ERROR_FAILED, "location %llu is not there",
				    (unsigned long long)id);
	first = reader->locations[location].first;
	count = reader->locations[location + 1].first - first;
	if (reader->nframe + count > PPROF_DEPTH_MAX)
		return refuse_many("frames in a traceback", PPROF_DEPTH_MAX);
	if (reader->nframe + count > reader->traceback_capacity)
		try(array_reserve(&reader->traceback, &reader->traceback_capacity, reader->nframe,
				  count, sizeof(*reader->traceback)));
	for (uint32_t i = 0; i < count; i++)
		reader->traceback[reader->nframe++] = reader->frames[first + i];
	return NULL;
}

static struct error *read_value(struct reader *reader, uint64_t value)
{
	if (reader->value_count >= reader->sample_type_count)
		return error_create(ERROR_FAILED, "a sample of more than %zu values",
				    reader->sample_type_count);
	reader->values[reader->value_count++] = (int64_t)value;
	return NULL;
}

/* FIELD of a sample holds numbers: packed, or one. */
static struct error *read_numbers(struct reader *reader, const struct wire_field *field,
				  struct error *(*read)(struct reader *reader, uint64_t number))
{
	struct wire packed = {field->data, field->size, 0};
	uint64_t number;
	bool more = true;

	if (field->type == WIRE_VARINT)
		return read(reader, field->value);
	if (field->type != WIRE_BYTES)
		return refuse_message("sample");
	for (;;) {
		try(wire_next_varint(&packed, &number, &more));
		if (!more)
			return NULL;
		try(read(reader, number));
	}
}

static struct error *read_label(struct reader *reader, const Tmbpf__Label *label)
{
	uint32_t *number = NULL;
	struct text key;

	try(string_get(reader, label->key, &key));
	if (text_is(&key, "domain"))
		number = &reader->trace.domain;
	else if (text_is(&key, "total_nframe"))
		number = &reader->total_nframe;
	if (!number || label->str != 0)
		return NULL;
	if (label->num < 0 || label->num > UINT32_MAX)
		return error_create(ERROR_FAILED, "a sample with %.*s %lld", (int)key.size,
				    key.data, (long long)label->num);
	*number = (uint32_t)label->num;
	return NULL;
}

static struct error *read_label_field(struct reader *reader, const struct wire_field *field)
{
	Tmbpf__Label *message = NULL;
	struct error *error;

	if (field->type == WIRE_BYTES)
		message = tmbpf__label__unpack(NULL, field->size, field->data);
	if (!message)
		return refuse_message("label");
	error = read_label(reader, message);
	tmbpf__label__free_unpacked(message, NULL);
	return error;
}

static struct error *take_value(const struct reader *reader, int type, uint64_t *ret)
{
	if (type < 0)
		return NULL;
	if (reader->values[type] < 0)
		return error_create(ERROR_FAILED, "a sample of value %lld",
				    (long long)reader->values[type]);
	*ret = (uint64_t)reader->values[type];
	return NULL;
}

static struct error *add_sample(struct reader *reader)
{
	struct trace *trace = &reader->trace;

	if (reader->value_count != reader->sample_type_count)
		return error_create(ERROR_FAILED, "a sample of %zu values where there are %zu",
				    reader->value_count, reader->sample_type_count);
	try(take_value(reader, reader->alloc_objects, &trace->total_count));
	try(take_value(reader, reader->alloc_space, &trace->total_size));
	try(take_value(reader, reader->inuse_objects, &trace->count));
	try(take_value(reader, reader->inuse_space, &trace->size));
	try(take_value(reader, reader->inuse_space_error, &trace->size_error));
	reader->traceback_frames += reader->nframe;
	if (reader->traceback_frames > PPROF_FRAME_MAX)
		return refuse_many("frames", PPROF_FRAME_MAX);
	if (reader->total_nframe == 0)
		reader->total_nframe = reader->nframe;
	try(tables_traceback(snapshot_builder_tables(reader->builder), reader->traceback,
			     reader->nframe, reader->total_nframe, &trace->traceback));
	return snapshot_builder_trace(reader->builder, trace);
}

/* By hand, not by protobuf-c: there may be a million, and these need no memory of their own. */
static struct error *visit_sample(struct reader *reader, const struct wire_field *field)
{
	struct wire wire = {field->data, field->size, 0};
	struct wire_field part;
	bool more = true;

	if (reader->sample_count++ >= PPROF_ELEMENT_MAX)
		return refuse_many("samples", PPROF_ELEMENT_MAX);
	try(check_length(field, "sample"));
	reader->trace = (struct trace){0};
	reader->nframe = reader->total_nframe = 0;
	reader->value_count = 0;
	for (;;) {
		try(wire_next(&wire, &part, &more));
		if (!more)
			return add_sample(reader);
		switch (part.number) {
		case SAMPLE_LOCATION_ID:
			try(read_numbers(reader, &part, read_location_id));
			break;
		case SAMPLE_VALUE:
			try(read_numbers(reader, &part, read_value));
			break;
		case SAMPLE_LABEL:
			try(read_label_field(reader, &part));
			break;
		}
	}
}

/*
 * Elements may stand in any order, and refer to others by number: what is referred to is read
 * first, in walks of their own.
 */
static struct error *reader_read(struct reader *reader)
{
	static const struct visitor first[] = {
		{PROFILE_STRING_TABLE, WIRE_BYTES, visit_string},
		{PROFILE_SAMPLE_TYPE, WIRE_BYTES, visit_sample_type},
		{PROFILE_TIME_NANOS, WIRE_VARINT, visit_time},
		{PROFILE_DURATION_NANOS, WIRE_VARINT, visit_duration},
	};
	static const struct visitor second[] = {
		{PROFILE_COMMENT, WIRE_VARINT, visit_comment},
		{PROFILE_COMMENT, WIRE_BYTES, visit_comments},
		{PROFILE_FUNCTION, WIRE_BYTES, visit_function},
	};
	static const struct visitor third[] = {{PROFILE_LOCATION, WIRE_BYTES, visit_location}};
	static const struct visitor fourth[] = {{PROFILE_SAMPLE, WIRE_BYTES, visit_sample}};

	try(reader_walk(reader, first, array_size(first)));
	if (reader->string_count == 0 || reader->strings[0].size != 0)
		return error_create(ERROR_FAILED, "it is no profile: its first string is not "
						  "empty");
	try(find_sample_types(reader));
	try(reader_walk(reader, second, array_size(second)));
	try(reader_walk(reader, third, array_size(third)));
	return reader_walk(reader, fourth, array_size(fourth));
}

struct error *pprof_read(const char *path, struct tables *tables, struct snapshot **ret)
{
	cleanup(reader_deinit) struct reader reader = {0};
	struct snapshot_builder *builder;
	struct error *error;

	try(gzip_read(path, PPROF_SIZE_MAX, &reader.data, &reader.size));
	try(snapshot_builder_create(tables, &reader.builder));
	error = reader_read(&reader);
	if (error && error_number(error) == ENOMEM)
		return error_prefix(error, "cannot read %s", path);
	if (error) {
		error = error_prefix(error, "%s is not a snapshot or is damaged", path);
		if (reader.size > 0 && reader.data[0] == OP_PROTO)
			error = error_advise(error, "it may be a gzipped pickle: unpack it first, "
						    "`gunzip <FILE | tmbpf stats -`");
		return error;
	}
	builder = reader.builder;
	reader.builder = NULL;
	return snapshot_builder_finish(builder, ret);
}
