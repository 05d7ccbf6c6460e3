// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "format/format.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/output.h"
#include "format/pprof.h"
#include "format/tracemalloc.h"
#include <string.h>

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
		.write = write_tracemalloc,
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

struct error *snapshot_file_read(const char *path, struct snapshot **ret)
{
	return pprof_read(path, ret);
}

struct error *snapshot_file_write(const struct snapshot *snapshot, const char *path)
{
	cleanup(output_cleanup) struct output *output = NULL;

	try(output_create(path, &output));
	try(pprof_write(snapshot, output));
	return output_commit(output);
}
