// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Writes a snapshot file, a gzipped pprof profile. */
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/lookup.h"
#include "base/output.h"
#include "format/gzip.h"
#include "format/pprof.h"
#include "format/pprof_info.h"
#include "profile.pb-c.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <errno.h>
#include <string.h>

/* The first strings of each profile. */
enum fixed_string {
	STRING_EMPTY,
	STRING_ALLOC_OBJECTS,
	STRING_COUNT,
	STRING_ALLOC_SPACE,
	STRING_BYTES,
	STRING_INUSE_OBJECTS,
	STRING_INUSE_SPACE,
	STRING_SPACE,
	STRING_DOMAIN,
	STRING_TOTAL_NFRAME,
	STRING_INUSE_SPACE_ERROR,
	STRING_EXECUTABLE,
	STRING_COMMENT, /* the first one's */
};

static const char *const fixed_strings[] = {
	[STRING_EMPTY] = "",
	[STRING_ALLOC_OBJECTS] = "alloc_objects",
	[STRING_COUNT] = "count",
	[STRING_ALLOC_SPACE] = "alloc_space",
	[STRING_BYTES] = "bytes",
	[STRING_INUSE_OBJECTS] = "inuse_objects",
	[STRING_INUSE_SPACE] = "inuse_space",
	[STRING_SPACE] = "space",
	[STRING_DOMAIN] = "domain",
	[STRING_TOTAL_NFRAME] = "total_nframe",
	[STRING_INUSE_SPACE_ERROR] = "inuse_space_error",
};

/* Identifiers in the profile are one more than positions in locations[] and functions[]. */
struct writer {
	const struct snapshot *snapshot;

	struct gzip_writer *gzip;
	ProtobufCBuffer buffer; /* hands what is packed to gzip */
	struct error *error;    /* what went wrong there */
	size_t size;            /* unpacked, so far */

	const char **strings; /* of the profile, borrowed but for the comments */
	size_t string_count, string_capacity;
	size_t comment_count;
	uint32_t *string_ids; /* of the snapshot's strings, 0 not used yet */

	uint32_t *locations; /* frames, in the order of their use */
	size_t location_count, location_capacity;
	uint32_t *frame_ids; /* of the snapshot's frames, 0 not used yet */
	uint32_t *functions; /* a frame of each distinct function */
	size_t function_count, function_capacity;
	struct lookup function_lookup;
	uint32_t *frame_functions; /* of frames that are used: position in functions[] */

	bool *traceback_done;
	uint64_t *location_ids; /* of the sample at hand */
	size_t location_ids_capacity;
};

#define writer_of(buffer_) ((struct writer *)((char *)(buffer_)-offsetof(struct writer, buffer)))

static void writer_append(ProtobufCBuffer *buffer, size_t size, const uint8_t *data)
{
	struct writer *writer = writer_of(buffer);

	writer->size += size;
	if (!writer->error)
		writer->error = gzip_writer_write(writer->gzip, data, size);
}

static void writer_deinit(struct writer *writer)
{
	gzip_writer_destroy(writer->gzip);
	error_destroy(writer->error);
	for (size_t i = 0; i < writer->comment_count; i++)
		free((char *)writer->strings[STRING_COMMENT + i]);
	free(writer->strings);
	free(writer->string_ids);
	free(writer->locations);
	free(writer->frame_ids);
	free(writer->functions);
	free(writer->frame_functions);
	free(writer->traceback_done);
	free(writer->location_ids);
	lookup_deinit(&writer->function_lookup);
}

static struct error *writer_too_large(const char *what, size_t limit)
{
	return error_create(ERROR_FAILED, "a snapshot file holds at most %zu %s", limit, what);
}

static struct error *writer_string(struct writer *writer, const char *string)
{
	if (writer->string_count >= PPROF_ELEMENT_MAX)
		return writer_too_large("strings", PPROF_ELEMENT_MAX);
	try(array_reserve(&writer->strings, &writer->string_capacity, writer->string_count, 1,
			  sizeof(*writer->strings)));
	writer->strings[writer->string_count++] = string;
	return NULL;
}

static struct error *writer_comment(void *context, const char *comment)
{
	struct writer *writer = context;
	cleanup_free char *copy = strdup(comment);

	if (!copy)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a comment of a snapshot");
	try(writer_string(writer, copy));
	take(copy);
	writer->comment_count++;
	return NULL;
}

/* The profile's number for one of the snapshot's strings, which is entered where it is not yet. */
static struct error *writer_string_id(struct writer *writer, uint32_t string, uint32_t *ret)
{
	const char *text = writer->snapshot->tables->strings[string];

	if (*text != '\0' && writer->string_ids[string] == 0) {
		try(writer_string(writer, text));
		writer->string_ids[string] = (uint32_t)(writer->string_count - 1);
	}
	*ret = writer->string_ids[string];
	return NULL;
}

static const struct frame *writer_frame(const struct writer *writer, uint32_t frame)
{
	return &writer->snapshot->tables->frames[frame];
}

static bool function_equal(const void *context, uint32_t position, const void *key)
{
	const struct writer *writer = context;
	const struct frame *known = writer_frame(writer, writer->functions[position]);
	const struct frame *frame = key;

	return known->name == frame->name && known->filename == frame->filename &&
	       known->firstlineno == frame->firstlineno;
}

static struct error *writer_function(struct writer *writer, uint32_t index)
{
	const struct frame *frame = writer_frame(writer, index);
	uint64_t hash = lookup_hash_number((uint64_t)frame->name << 32 | frame->filename,
					   frame->firstlineno);
	uint32_t found = lookup_find(&writer->function_lookup, hash, function_equal, writer, frame);
	uint32_t id;

	if (found == LOOKUP_NONE) {
		if (writer->function_count >= PPROF_ELEMENT_MAX)
			return writer_too_large("functions", PPROF_ELEMENT_MAX);
		/* In the order in which the reader takes them. */
		try(writer_string_id(writer, frame->filename, &id));
		try(writer_string_id(writer, frame->name, &id));
		try(array_reserve(&writer->functions, &writer->function_capacity,
				  writer->function_count, 1, sizeof(*writer->functions)));
		found = (uint32_t)writer->function_count;
		try(lookup_add(&writer->function_lookup, hash, found));
		writer->functions[writer->function_count++] = index;
	}
	writer->frame_functions[index] = found;
	return NULL;
}

static struct error *writer_location(struct writer *writer, uint32_t frame)
{
	if (writer->frame_ids[frame] != 0)
		return NULL;
	if (writer->location_count >= PPROF_ELEMENT_MAX)
		return writer_too_large("places in code", PPROF_ELEMENT_MAX);
	try(writer_function(writer, frame));
	try(array_reserve(&writer->locations, &writer->location_capacity, writer->location_count, 1,
			  sizeof(*writer->locations)));
	writer->locations[writer->location_count++] = frame;
	writer->frame_ids[frame] = (uint32_t)writer->location_count;
	return NULL;
}

/* How many of TRACEBACK's frames are written: one that is not known is none in a profile. */
static uint32_t frames_written(const struct writer *writer, const struct traceback *traceback)
{
	const struct tables *tables = writer->snapshot->tables;
	const struct frame *frame = &tables->frames[tables->traceback_frames[traceback->first]];

	return traceback->nframe == 1 && tables_frame_unknown(tables, frame) ? 0
									     : traceback->nframe;
}

/* Numbers all that the traces refer to, in the order of the traces. */
static struct error *writer_number(struct writer *writer)
{
	const struct snapshot *snapshot = writer->snapshot;
	const struct tables *tables = snapshot->tables;
	size_t frames = 0;

	for (size_t i = 0; i < snapshot->trace_count; i++) {
		uint32_t index = snapshot->traces[i].traceback;
		const struct traceback *traceback = &tables->tracebacks[index];
		uint32_t nframe = frames_written(writer, traceback);

		frames += nframe;
		if (writer->traceback_done[index])
			continue;
		writer->traceback_done[index] = true;
		if (nframe > PPROF_DEPTH_MAX)
			return writer_too_large("frames of a traceback", PPROF_DEPTH_MAX);
		for (uint32_t j = 0; j < nframe; j++)
			try(writer_location(writer,
					    tables->traceback_frames[traceback->first + j]));
	}
	return frames > PPROF_FRAME_MAX ? writer_too_large("frames", PPROF_FRAME_MAX) : NULL;
}

/*
 * Encoded messages that follow each other are one message that has the fields of all: so each
 * element is written as a profile of its own, and none but the one at hand is in memory.
 */
static struct error *writer_pack(struct writer *writer, const Tmbpf__Profile *part)
{
	struct error *error;

	tmbpf__profile__pack_to_buffer(part, &writer->buffer);
	if (writer->size > PPROF_SIZE_MAX && !writer->error)
		return error_create(ERROR_FAILED, "a snapshot file holds at most %zu MiB unpacked",
				    PPROF_SIZE_MAX >> 20);
	error = writer->error;
	writer->error = NULL;
	return error;
}

static struct error *write_head(struct writer *writer)
{
	const struct snapshot_info *info = &writer->snapshot->info;
	Tmbpf__ValueType types[6], *type_pointers[6];
	cleanup_free int64_t *comments = calloc(writer->comment_count + 1, sizeof(*comments));
	Tmbpf__Profile part = TMBPF__PROFILE__INIT;

	if (!comments)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the comments of a snapshot");
	for (size_t i = 0; i < array_size(types); i++) {
		tmbpf__value_type__init(&types[i]);
		type_pointers[i] = &types[i];
		types[i].unit = i == 0 || i == 2 ? STRING_COUNT : STRING_BYTES;
	}
	types[0].type = STRING_ALLOC_OBJECTS;
	types[1].type = STRING_ALLOC_SPACE;
	types[2].type = STRING_INUSE_OBJECTS;
	types[3].type = STRING_INUSE_SPACE;
	types[4].type = STRING_INUSE_SPACE_ERROR;
	types[5].type = STRING_SPACE;
	if (info->period) { /* blocks, not bytes, are sampled */
		types[5].type = STRING_INUSE_OBJECTS;
		types[5].unit = STRING_COUNT;
	}
	part.n_sample_type = info->period ? 5 : 4; /* only estimates have errors */
	part.sample_type = type_pointers;
	part.period_type = &types[5];
	part.period = info->period ? (int64_t)info->period : 1; /* each byte is seen */
	part.default_sample_type = STRING_INUSE_SPACE;
	part.time_nanos = info->time_nanos;
	part.duration_nanos = info->duration_nanos;
	for (size_t i = 0; i < writer->comment_count; i++)
		comments[i] = (int64_t)(STRING_COMMENT + i);
	part.n_comment = writer->comment_count;
	part.comment = comments;
	return writer_pack(writer, &part);
}

static struct error *write_sample(struct writer *writer, const struct trace *trace)
{
	const struct tables *tables = writer->snapshot->tables;
	const struct traceback *traceback = &tables->tracebacks[trace->traceback];
	const uint32_t *frames = &tables->traceback_frames[traceback->first];
	uint32_t nframe = frames_written(writer, traceback);
	int64_t values[] = {(int64_t)trace->total_count, (int64_t)trace->total_size,
			    (int64_t)trace->count, (int64_t)trace->size,
			    (int64_t)trace->size_error};
	Tmbpf__Label labels[2] = {TMBPF__LABEL__INIT, TMBPF__LABEL__INIT};
	Tmbpf__Label *label_pointers[2];
	Tmbpf__Sample sample = TMBPF__SAMPLE__INIT, *samples[] = {&sample};
	Tmbpf__Profile part = TMBPF__PROFILE__INIT;

	try(array_reserve(&writer->location_ids, &writer->location_ids_capacity, 0, nframe,
			  sizeof(*writer->location_ids)));
	for (uint32_t i = 0; i < nframe; i++)
		writer->location_ids[i] = writer->frame_ids[frames[i]];
	sample.n_location_id = nframe;
	sample.location_id = writer->location_ids;
	sample.n_value = writer->snapshot->info.period ? 5 : 4;
	sample.value = values;
	sample.label = label_pointers;
	if (trace->domain != 0) {
		labels[0].key = STRING_DOMAIN;
		labels[0].num = trace->domain;
		label_pointers[sample.n_label++] = &labels[0];
	}
	if (traceback->total_nframe != traceback->nframe) {
		labels[1].key = STRING_TOTAL_NFRAME;
		labels[1].num = traceback->total_nframe;
		label_pointers[sample.n_label++] = &labels[1];
	}
	part.n_sample = 1;
	part.sample = samples;
	return writer_pack(writer, &part);
}

/* One for all: pprof looks for symbols itself where a profile has no mapping. */
static struct error *write_mapping(struct writer *writer)
{
	Tmbpf__Mapping mapping = TMBPF__MAPPING__INIT, *mappings[] = {&mapping};
	Tmbpf__Profile part = TMBPF__PROFILE__INIT;

	mapping.id = 1;
	mapping.filename = STRING_EXECUTABLE;
	mapping.has_functions = true;
	mapping.has_filenames = true;
	mapping.has_line_numbers = true;
	part.n_mapping = 1;
	part.mapping = mappings;
	return writer_pack(writer, &part);
}

static struct error *write_location(struct writer *writer, size_t i)
{
	Tmbpf__Line line = TMBPF__LINE__INIT, *lines[] = {&line};
	Tmbpf__Location location = TMBPF__LOCATION__INIT, *locations[] = {&location};
	Tmbpf__Profile part = TMBPF__PROFILE__INIT;

	line.function_id = (uint64_t)writer->frame_functions[writer->locations[i]] + 1;
	line.line = writer_frame(writer, writer->locations[i])->lineno;
	location.id = i + 1;
	location.mapping_id = 1;
	location.n_line = 1;
	location.line = lines;
	part.n_location = 1;
	part.location = locations;
	return writer_pack(writer, &part);
}

static struct error *write_function(struct writer *writer, size_t i)
{
	const struct frame *frame = writer_frame(writer, writer->functions[i]);
	Tmbpf__Function function = TMBPF__FUNCTION__INIT, *functions[] = {&function};
	Tmbpf__Profile part = TMBPF__PROFILE__INIT;

	function.id = i + 1;
	function.name = writer->string_ids[frame->name ? frame->name : frame->filename];
	function.system_name = frame->name ? function.name : 0;
	function.filename = writer->string_ids[frame->filename];
	function.start_line = frame->firstlineno;
	part.n_function = 1;
	part.function = functions;
	return writer_pack(writer, &part);
}

static struct error *write_string(struct writer *writer, size_t i)
{
	ProtobufCBinaryData string = {
		.len = strlen(writer->strings[i]),
		.data = (uint8_t *)writer->strings[i],
	};
	Tmbpf__Profile part = TMBPF__PROFILE__INIT;

	part.n_string_table = 1;
	part.string_table = &string;
	return writer_pack(writer, &part);
}

static struct error *writer_init(struct writer *writer, const struct snapshot *snapshot,
				 struct output *output)
{
	const struct tables *tables = snapshot->tables;

	writer->snapshot = snapshot;
	writer->string_ids = calloc(tables->string_count + 1, sizeof(*writer->string_ids));
	writer->frame_ids = calloc(tables->frame_count + 1, sizeof(*writer->frame_ids));
	writer->frame_functions = calloc(tables->frame_count + 1, sizeof(*writer->frame_functions));
	writer->traceback_done =
		calloc(tables->traceback_count + 1, sizeof(*writer->traceback_done));
	if (!writer->string_ids || !writer->frame_ids || !writer->frame_functions ||
	    !writer->traceback_done)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a snapshot file");
	for (size_t i = 0; i < array_size(fixed_strings); i++)
		try(writer_string(writer, fixed_strings[i]));
	try(writer_string(writer, snapshot->info.executable));
	try(pprof_info_write(&snapshot->info, writer_comment, writer));
	writer->buffer.append = writer_append;
	return gzip_writer_create(output, &writer->gzip);
}

struct error *pprof_write(const struct snapshot *snapshot, struct output *output)
{
	cleanup(writer_deinit) struct writer writer = {0};

	if (snapshot->trace_count > PPROF_ELEMENT_MAX)
		return writer_too_large("traces", PPROF_ELEMENT_MAX);
	try(writer_init(&writer, snapshot, output));
	try(writer_number(&writer));
	try(write_head(&writer));
	for (size_t i = 0; i < snapshot->trace_count; i++)
		try(write_sample(&writer, &snapshot->traces[i]));
	try(write_mapping(&writer));
	for (size_t i = 0; i < writer.location_count; i++)
		try(write_location(&writer, i));
	for (size_t i = 0; i < writer.function_count; i++)
		try(write_function(&writer, i));
	for (size_t i = 0; i < writer.string_count; i++)
		try(write_string(&writer, i));
	return gzip_writer_finish(writer.gzip);
}
