// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The formats there are, and which one a file is of. */
#include "format/format.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "format/folded.h"
#include "format/html.h"
#include "format/json_traces.h"
#include "format/pickle.h"
#include "format/pprof.h"
#include "format/speedscope.h"
#include "format/tracemalloc.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static struct error *write_pprof(const struct snapshot *snapshot,
				 const struct format_options *options, struct output *output)
{
	(void)options;
	return pprof_write(snapshot, output);
}

static struct error *write_tracemalloc(const struct snapshot *snapshot,
				       const struct format_options *options, struct output *output)
{
	return tracemalloc_write(snapshot, options->python_version, output);
}

static struct error *write_folded(const struct snapshot *snapshot,
				  const struct format_options *options, struct output *output)
{
	return folded_write(snapshot, options->base, output);
}

static struct error *write_speedscope(const struct snapshot *snapshot,
				      const struct format_options *options, struct output *output)
{
	(void)options;
	return speedscope_write(snapshot, output);
}

static struct error *write_json(const struct snapshot *snapshot,
				const struct format_options *options, struct output *output)
{
	(void)options;
	return json_traces_write(snapshot, output);
}

static struct error *write_html(const struct snapshot *snapshot,
				const struct format_options *options, struct output *output)
{
	return html_write(snapshot, options->base, output);
}

const struct format formats[] = {
	{
		.name = "pprof",
		.summary = "the snapshot file itself: a gzipped profile for `go tool pprof`",
		.read = pprof_read,
		.write = write_pprof,
	},
	{
		.name = "tracemalloc",
		.summary = "for tracemalloc.Snapshot.load() of the same Python",
		.read = tracemalloc_read,
		.write = write_tracemalloc,
	},
	{
		.name = "folded",
		.summary = "a line for each stack, \"root;caller;leaf BYTES\": flamegraph.pl's",
		.write = write_folded,
		.differences = true,
	},
	{
		.name = "speedscope",
		.summary = "for speedscope.app",
		.write = write_speedscope,
	},
	{
		.name = "json",
		.summary = "every trace, for programs",
		.write = write_json,
	},
	{
		.name = "html",
		.summary = "a page with a flame graph and a table, complete in itself",
		.write = write_html,
		.differences = true,
	},
};

const size_t format_count = array_size(formats);

const struct format *format_find(const char *name)
{
	for (size_t i = 0; i < format_count; i++) {
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
	}
	return NULL;
}

const char *snapshot_file_path(const char *path)
{
	return strcmp(path, "-") == 0 ? "/dev/stdin" : path;
}

/* The first byte of a pipe, left in it; 0 if it has none. */
static uint8_t pipe_peek(int fd)
{
	uint8_t first = 0;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return 0;
	if (tee(fd, ends[1], 1, 0) == 1 && read(ends[0], &first, 1) != 1)
		first = 0;
	close(ends[0]);
	close(ends[1]);
	return first;
}

/* Of a file or a pipe without a name, the first byte: others lose by being opened. 0: not known. */
static uint8_t file_peek(const char *path)
{
	cleanup_fd int fd = -1;
	struct statfs system;
	struct stat status;
	uint8_t first = 0;

	if (stat(path, &status) < 0 || statfs(path, &system) < 0)
		return 0;
	if (!S_ISREG(status.st_mode) && system.f_type != PIPEFS_MAGIC)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	if (S_ISREG(status.st_mode))
		return pread(fd, &first, 1, 0) == 1 ? first : 0;
	/* It waits for the writer. */
	if (fcntl(fd, F_SETFL, 0) < 0)
		return 0;
	return pipe_peek(fd);
}

/*
 * A pickle begins with the opcode PROTO, a profile as gzip does. What is neither, or cannot be
 * read, is left to the reader of profiles, which tells why.
 */
struct error *snapshot_file_read(const char *path, struct tables *tables, struct snapshot **ret)
{
	path = snapshot_file_path(path);
	return file_peek(path) == OP_PROTO ? tracemalloc_read(path, tables, ret)
					   : pprof_read(path, tables, ret);
}

struct error *snapshot_file_write(const struct snapshot *snapshot, const char *path)
{
	cleanup(output_cleanup) struct output *output = NULL;

	try(output_create(path, &output));
	try(pprof_write(snapshot, output));
	return output_commit(output);
}
