// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The source lines of snapshots, for the views. */
#include "command/sources.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "format/format.h"
#include "snapshot/snapshot.h"
#include "target/source/source.h"
#include <errno.h>
#include <sys/stat.h>

struct sources {
	struct source **sources; /* one for each snapshot */
	size_t count;
};

/*
 * When a snapshot was taken, at the latest: a file that does not tell (a pickle, say) was written
 * afterwards.
 */
static int64_t taken_nanos(const char *file, const struct snapshot_info *info)
{
	struct stat status;

	if (info->time_nanos > 0)
		return info->time_nanos;
	if (stat(snapshot_file_path(file), &status) < 0)
		return 0;
	return clock_nanos(&status.st_mtim);
}

static char *line_read(void *context, size_t snapshot, const char *filename, uint32_t lineno)
{
	struct sources *sources = context;

	return source_line(sources->sources[snapshot], filename, lineno);
}

struct error *sources_create(const char *const *files, const struct snapshot *const *snapshots,
			     size_t count, struct sources **ret)
{
	cleanup(sources_cleanup) struct sources *sources = calloc(1, sizeof(*sources));

	if (sources)
		sources->sources = calloc(count, sizeof(struct source *));
	if (!sources || !sources->sources)
		return error_create_errno(ERROR_FAILED, ENOMEM, "source files");
	for (size_t i = 0; i < count; i++) {
		const struct snapshot_info *info = &snapshots[i]->info;
		const struct source_origin origin = {
			.pid = info->pid,
			.start_time = info->start_time,
			.boot_id = info->boot_id,
			.mount_namespace = info->mount_namespace,
			.time_nanos = taken_nanos(files[i], info),
		};

		try(source_create(&origin, &sources->sources[i]));
		sources->count++;
	}
	*ret = take(sources);
	return NULL;
}

void sources_destroy(struct sources *sources)
{
	if (!sources)
		return;
	for (size_t i = 0; i < sources->count; i++)
		source_destroy(sources->sources[i]);
	free(sources->sources);
	free(sources);
}

struct source_lines sources_lines(struct sources *sources)
{
	return (struct source_lines){line_read, sources};
}

void sources_warn(const struct sources *sources)
{
	for (size_t i = 0; i < sources->count; i++) {
		if (source_stuck(sources->sources[i])) {
			fputs("tmbpf: source lines are missing: reading one took too long\n",
			      stderr);
			return;
		}
	}
}
