// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "targets.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "format/pprof.h"
#include "format/pprof_info.h"
#include "format/tracemalloc.h"
#include "format/wire.h"
#include "snapshot/snapshot.h"
#include "snapshot/statistics.h"
#include "snapshot/tables.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#define PYTHON_3_9 0x030900f0

/* What a fuzzer found: with a sanitizer, its report says where. */
#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: must hold: %s\n", __FILE__, __LINE__, #condition); \
			__builtin_trap();                                                          \
		}                                                                                  \
	} while (0)

/* A file in memory, which readers open by its path. */
struct memory_file {
	int fd;
	char path[32];
};

static void memory_file_init(struct memory_file *file)
{
	file->fd = memfd_create("fuzz", MFD_CLOEXEC);
	must(file->fd >= 0);
	snprintf(file->path, sizeof(file->path), "/proc/self/fd/%d", file->fd);
}

static void memory_file_deinit(struct memory_file *file)
{
	close(file->fd);
}

static void memory_file_write(struct memory_file *file, const uint8_t *data, size_t size)
{
	must(pwrite(file->fd, data, size, 0) == (ssize_t)size);
}

static bool memory_file_same(const struct memory_file *left, const struct memory_file *right)
{
	char left_data[4096], right_data[4096];
	off_t offset = 0;
	ssize_t size;

	do {
		size = pread(left->fd, left_data, sizeof(left_data), offset);
		if (size != pread(right->fd, right_data, sizeof(right_data), offset) ||
		    memcmp(left_data, right_data, (size_t)size) != 0)
			return false;
		offset += size;
	} while (size > 0);
	return true;
}

/* Readers and writers of one format. */
struct format_pair {
	struct error *(*read)(const char *path, struct tables *tables, struct snapshot **ret);
	struct error *(*write)(const struct snapshot *snapshot, struct output *output);
};

static struct error *write_tracemalloc(const struct snapshot *snapshot, struct output *output)
{
	return tracemalloc_write(snapshot, PYTHON_3_9, output);
}

static const struct format_pair format_pprof = {pprof_read, pprof_write};
static const struct format_pair format_tracemalloc = {tracemalloc_read, write_tracemalloc};

static struct error *write_snapshot(const struct format_pair *format,
				    const struct snapshot *snapshot, struct memory_file *file)
{
	cleanup(output_cleanup) struct output *output = NULL;

	try(output_create_descriptor(file->fd, "memory", &output));
	try(format->write(snapshot, output));
	return output_commit(output);
}

static bool frame_same(const struct tables *left_tables, const struct frame *left,
		       const struct tables *right_tables, const struct frame *right)
{
	return left->lineno == right->lineno && left->firstlineno == right->firstlineno &&
	       strcmp(left_tables->strings[left->filename],
		      right_tables->strings[right->filename]) == 0 &&
	       strcmp(left_tables->strings[left->name], right_tables->strings[right->name]) == 0;
}

static bool trace_same(const struct snapshot *left, const struct snapshot *right, size_t index)
{
	const struct trace *a = &left->traces[index], *b = &right->traces[index];
	const struct traceback *left_traceback = &left->tables->tracebacks[a->traceback];
	const struct traceback *right_traceback = &right->tables->tracebacks[b->traceback];

	if (a->domain != b->domain || a->count != b->count || a->size != b->size ||
	    a->total_count != b->total_count || a->total_size != b->total_size ||
	    left_traceback->nframe != right_traceback->nframe ||
	    left_traceback->total_nframe != right_traceback->total_nframe)
		return false;
	for (uint32_t i = 0; i < left_traceback->nframe; i++) {
		if (!frame_same(left->tables, tables_traceback_frame(left->tables, a->traceback, i),
				right->tables,
				tables_traceback_frame(right->tables, b->traceback, i)))
			return false;
	}
	return true;
}

static bool snapshot_same(const struct snapshot *left, const struct snapshot *right)
{
	if (left->trace_count != right->trace_count ||
	    left->info.traceback_limit != right->info.traceback_limit)
		return false;
	for (size_t i = 0; i < left->trace_count; i++) {
		if (!trace_same(left, right, i))
			return false;
	}
	return true;
}

/* Written and read again it is the same, and written again the same file. */
static void check_round_trip(const struct format_pair *format, const struct snapshot *snapshot)
{
	cleanup(memory_file_deinit) struct memory_file first, second;
	cleanup(snapshot_cleanup) struct snapshot *again = NULL;
	cleanup(error_cleanup) struct error *error = NULL;

	memory_file_init(&first);
	memory_file_init(&second);
	error = write_snapshot(format, snapshot, &first);
	/* A file holds less than memory does. */
	if (error)
		return;
	error = format->read(first.path, NULL, &again);
	if (error)
		error_print(error);
	must(!error);
	must(snapshot_same(snapshot, again));
	error = write_snapshot(format, again, &second);
	must(!error);
	must(memory_file_same(&first, &second));
}

static void check_statistics(const struct snapshot *snapshot)
{
	static const struct statistics_options options[] = {
		{GROUP_BY_LINENO, false},    {GROUP_BY_FILENAME, false}, {GROUP_BY_FUNCTION, false},
		{GROUP_BY_TRACEBACK, false}, {GROUP_BY_LINENO, true},    {GROUP_BY_FILENAME, true},
		{GROUP_BY_FUNCTION, true},
	};
	struct snapshot_totals totals = snapshot_totals(snapshot);

	for (size_t i = 0; i < array_size(options); i++) {
		cleanup(statistics_cleanup) struct statistics *statistics = NULL;
		cleanup(error_cleanup) struct error *error = NULL;
		uint64_t size = 0, count = 0;

		error = statistics_create(snapshot, &options[i], &statistics);
		/* A cumulative sum may be too large. */
		must(!error || options[i].cumulative);
		if (error || options[i].cumulative)
			continue;
		for (size_t j = 0; j < statistics->count; j++) {
			size += statistics->items[j].size;
			count += statistics->items[j].count;
		}
		must(size == totals.size && count == totals.count);
	}
}

static void read_any(const struct format_pair *format, struct memory_file *file)
{
	cleanup(snapshot_cleanup) struct snapshot *snapshot = NULL;
	cleanup(error_cleanup) struct error *error = format->read(file->path, NULL, &snapshot);

	must(!error == !!snapshot);
	if (error)
		return;
	check_statistics(snapshot);
	check_round_trip(format, snapshot);
}

void fuzz_gzip(const uint8_t *data, size_t size)
{
	cleanup(memory_file_deinit) struct memory_file file;

	memory_file_init(&file);
	memory_file_write(&file, data, size);
	read_any(&format_pprof, &file);
}

void fuzz_tracemalloc(const uint8_t *data, size_t size)
{
	cleanup(memory_file_deinit) struct memory_file file;

	memory_file_init(&file);
	memory_file_write(&file, data, size);
	read_any(&format_tracemalloc, &file);
}

/* A gzip layer that packs nothing, so that the profile is the fuzzer's to change. */
void fuzz_pprof(const uint8_t *data, size_t size)
{
	cleanup(memory_file_deinit) struct memory_file file;
	z_stream stream = {.next_in = (uint8_t *)data, .avail_in = (uInt)size};
	cleanup_free uint8_t *packed = NULL;
	size_t bound;

	must(deflateInit2(&stream, 0, Z_DEFLATED, 16 + MAX_WBITS, 1, Z_DEFAULT_STRATEGY) == Z_OK);
	bound = deflateBound(&stream, size);
	packed = malloc(bound);
	must(packed);
	stream.next_out = packed;
	stream.avail_out = (uInt)bound;
	must(deflate(&stream, Z_FINISH) == Z_STREAM_END);
	deflateEnd(&stream);
	memory_file_init(&file);
	memory_file_write(&file, packed, stream.total_out);
	read_any(&format_pprof, &file);
}

static struct error *drop_comment(void *context, const char *comment)
{
	must(strncmp(comment, "tmbpf.", 6) == 0);
	++*(size_t *)context;
	return NULL;
}

void fuzz_pprof_info(const uint8_t *data, size_t size)
{
	struct snapshot_builder *builder = NULL;
	struct snapshot *snapshot = NULL;
	struct error *error;
	size_t count = 0;

	must(!snapshot_builder_create(NULL, &builder));
	/* Twice: what is there already is replaced or adds up. */
	for (int i = 0; i < 2; i++) {
		error = pprof_info_read(snapshot_builder_info(builder), (const char *)data, size);
		error_destroy(error);
	}
	must(!snapshot_builder_finish(builder, &snapshot));
	error = pprof_info_write(&snapshot->info, drop_comment, &count);
	must(!error);
	snapshot_destroy(snapshot);
}

static void walk_packed(const struct wire_field *field)
{
	struct wire packed = {field->data, field->size, 0};
	struct error *error = NULL;
	uint64_t value;
	bool more = true;

	while (more && !error)
		error = wire_next_varint(&packed, &value, &more);
	must(error || packed.offset == packed.size);
	error_destroy(error);
}

void fuzz_wire(const uint8_t *data, size_t size)
{
	struct wire wire = {data, size, 0};
	struct wire_field field = {0};
	struct error *error = NULL;
	bool more = true;

	for (;;) {
		error = wire_next(&wire, &field, &more);
		if (error || !more)
			break;
		if (field.type != WIRE_BYTES)
			continue;
		must(field.data >= data && field.size <= size &&
		     field.data + field.size <= data + size);
		walk_packed(&field);
	}
	error_destroy(error);
}
