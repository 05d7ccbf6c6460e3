// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Gzip, by zlib. */
#include "format/gzip.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

/* windowBits of deflateInit2() and inflateInit2(): the most, with gzip's header and check sum. */
#define GZIP_WINDOW (15 + 16)
#define PIECE       65536

/* Level 1 costs a snapshot a few percent of its size and saves most of the time. */
#define GZIP_LEVEL 1

struct gzip_writer {
	struct output *output;
	z_stream stream;
	size_t used;
	uint8_t in[PIECE], out[PIECE];
};

struct error *gzip_writer_create(struct output *output, struct gzip_writer **ret)
{
	struct gzip_writer *writer = malloc(sizeof(*writer));

	if (!writer)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a compressor");
	writer->output = output;
	writer->used = 0;
	writer->stream = (z_stream){0};
	if (deflateInit2(&writer->stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(writer);
		return error_create_errno(ERROR_FAILED, ENOMEM, "a compressor");
	}
	*ret = writer;
	return NULL;
}

void gzip_writer_destroy(struct gzip_writer *writer)
{
	if (!writer)
		return;
	deflateEnd(&writer->stream);
	free(writer);
}

/* Compresses what is buffered, with FLUSH Z_FINISH also what the compressor kept back. */
static struct error *writer_deflate(struct gzip_writer *writer, int flush)
{
	int result;

	writer->stream.next_in = writer->in;
	writer->stream.avail_in = (uInt)writer->used;
	writer->used = 0;
	do {
		writer->stream.next_out = writer->out;
		writer->stream.avail_out = sizeof(writer->out);
		result = deflate(&writer->stream, flush);
		if (result == Z_STREAM_ERROR)
			return error_create(ERROR_FAILED, "zlib's compressor is in a wrong state");
		try(output_write(writer->output, writer->out,
				 sizeof(writer->out) - writer->stream.avail_out));
	} while (flush == Z_FINISH ? result != Z_STREAM_END : writer->stream.avail_out == 0);
	return NULL;
}

struct error *gzip_writer_write(struct gzip_writer *writer, const void *data, size_t size)
{
	const uint8_t *bytes = data;

	while (size > 0) {
		size_t room = sizeof(writer->in) - writer->used;
		size_t piece = size < room ? size : room;

		memcpy(writer->in + writer->used, bytes, piece);
		writer->used += piece;
		bytes += piece;
		size -= piece;
		if (writer->used == sizeof(writer->in))
			try(writer_deflate(writer, Z_NO_FLUSH));
	}
	return NULL;
}

struct error *gzip_writer_finish(struct gzip_writer *writer)
{
	return writer_deflate(writer, Z_FINISH);
}

struct gzip_reader {
	const char *path;
	int fd;
	z_stream stream;
	bool started; /* the stream is initialized */
	bool ended;   /* the file is */
	uint8_t in[PIECE];
	uint8_t *data;
	size_t size, capacity, limit;
};

static void gzip_reader_cleanup(struct gzip_reader **reader)
{
	if (!*reader)
		return;
	if ((*reader)->started)
		inflateEnd(&(*reader)->stream);
	if ((*reader)->fd >= 0)
		close((*reader)->fd);
	free((*reader)->data);
	free(*reader);
}

static struct error *reader_fill(struct gzip_reader *reader)
{
	ssize_t got;

	do
		got = read(reader->fd, reader->in, sizeof(reader->in));
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return error_create_errno(ERROR_FAILED, errno, "cannot read %s", reader->path);
	reader->stream.next_in = reader->in;
	reader->stream.avail_in = (uInt)got;
	reader->ended = got == 0;
	return NULL;
}

/* Room behind the data, at most up to one byte more than the limit, so that it shows. */
static struct error *reader_reserve(struct gzip_reader *reader)
{
	size_t most = reader->limit + 1;
	size_t capacity = reader->capacity ? reader->capacity * 2 : PIECE;
	uint8_t *data;

	if (reader->size < reader->capacity)
		return NULL;
	if (reader->size > reader->limit)
		return error_create(ERROR_FAILED, "%s unpacks to more than %zu MiB: refused",
				    reader->path, reader->limit >> 20);
	if (capacity > most)
		capacity = most;
	data = realloc(reader->data, capacity);
	if (!data)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot unpack %s", reader->path);
	reader->data = data;
	reader->capacity = capacity;
	return NULL;
}

static struct error *reader_refuse(struct gzip_reader *reader, int result)
{
	bool any = reader->stream.total_in > 2;
	struct error *error;

	if (result == Z_BUF_ERROR && reader->ended)
		error = error_create(ERROR_FAILED, "%s ends too early: it is truncated",
				     reader->path);
	else if (result == Z_MEM_ERROR)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot unpack %s", reader->path);
	else if (any)
		error = error_create(ERROR_FAILED, "%s is damaged: %s", reader->path,
				     reader->stream.msg ? reader->stream.msg
							: "it needs a dictionary");
	else
		error = error_create(ERROR_FAILED, "%s is not a snapshot: it is not gzipped",
				     reader->path);
	return error_advise(error, "a snapshot is a file that `tmbpf snapshot` or tracemalloc's "
				   "Snapshot.dump() wrote, or another gzipped pprof heap profile");
}

static struct error *reader_inflate(struct gzip_reader *reader)
{
	int result = Z_OK;

	while (result != Z_STREAM_END) {
		uInt room;

		if (reader->stream.avail_in == 0 && !reader->ended)
			try(reader_fill(reader));
		try(reader_reserve(reader));
		room = reader->capacity - reader->size > PIECE
			       ? PIECE
			       : (uInt)(reader->capacity - reader->size);
		reader->stream.next_out = reader->data + reader->size;
		reader->stream.avail_out = room;
		result = inflate(&reader->stream, Z_NO_FLUSH);
		reader->size += room - reader->stream.avail_out;
		if (result != Z_OK && result != Z_STREAM_END)
			return reader_refuse(reader, result);
	}
	if (reader->size > reader->limit)
		return error_create(ERROR_FAILED, "%s unpacks to more than %zu MiB: refused",
				    reader->path, reader->limit >> 20);
	if (reader->stream.avail_in == 0)
		try(reader_fill(reader));
	if (reader->stream.avail_in > 0)
		return error_create(ERROR_FAILED, "%s is damaged: something follows its end",
				    reader->path);
	return NULL;
}

static struct error *reader_open(struct gzip_reader *reader)
{
	struct stat status;

	reader->fd = open(reader->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (reader->fd < 0 || fstat(reader->fd, &status) < 0)
		return error_create_errno(ERROR_FAILED, errno, "cannot read %s", reader->path);
	if (S_ISDIR(status.st_mode))
		return error_create_errno(ERROR_FAILED, EISDIR, "cannot read %s", reader->path);
	if (S_ISREG(status.st_mode) && status.st_size == 0)
		return error_create(ERROR_FAILED, "%s is empty", reader->path);
	if (inflateInit2(&reader->stream, GZIP_WINDOW) != Z_OK)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot unpack %s", reader->path);
	reader->started = true;
	return NULL;
}

struct error *gzip_read(const char *path, size_t limit, uint8_t **ret_data, size_t *ret_size)
{
	cleanup(gzip_reader_cleanup) struct gzip_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot read %s", path);
	reader->path = path;
	reader->fd = -1;
	reader->limit = limit;
	try(reader_open(reader));
	try(reader_inflate(reader));
	*ret_size = reader->size;
	*ret_data = take(reader->data);
	return NULL;
}
