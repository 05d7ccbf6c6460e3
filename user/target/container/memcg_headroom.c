// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How much the memory limits of control groups leave. */
#include "target/container/memcg_headroom.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "target/container/cgroup.h"

#define STATISTICS_MAX 16384 /* memory.stat has about 60 lines */

/* What a version calls them; those of memory.stat with all that is below, too. */
struct names {
	const char *limit, *usage;
	const char *available[2]; /* pages of files */
	const char *held[3];      /* those of them that are mapped, or not written yet */
};

static const struct names version_1 = {
	.limit = "memory.limit_in_bytes",
	.usage = "memory.usage_in_bytes",
	.available = {"total_inactive_file", "total_active_file"},
	.held = {"total_mapped_file", "total_dirty", "total_writeback"},
};

static const struct names version_2 = {
	.limit = "memory.max",
	.usage = "memory.current",
	.available = {"inactive_file", "active_file"},
	.held = {"file_mapped", "file_dirty", "file_writeback"},
};

/* The start of the file NAME in FOLDER; false: it cannot be read. */
static bool text_read(const char *folder, const char *name, char *text, size_t size)
{
	cleanup_free char *path = NULL;
	cleanup_fd int fd = -1;
	ssize_t got;

	if (asprintf(&path, "%s/%s", folder, name) < 0) {
		path = NULL;
		return false;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, size - 1);
	if (got <= 0)
		return false;
	text[got] = 0;
	return true;
}

/* False where there is no number: "max", or no such file. */
static bool number_read(const char *folder, const char *name, uint64_t *ret)
{
	char text[32], *end;
	uint64_t number;

	if (!text_read(folder, name, text, sizeof(text)))
		return false;
	number = strtoull(text, &end, 10);
	if (end == text)
		return false;
	*ret = number;
	return true;
}

/* The line NAME of memory.stat, 0 if there is none. */
static uint64_t statistic(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, length) && line[length] == ' ')
			return strtoull(line + length, NULL, 10);
	}
	return 0;
}

static uint64_t reclaimable(const char *folder, const struct names *names)
{
	cleanup_free char *text = malloc(STATISTICS_MAX);
	uint64_t available = 0, held = 0;

	if (!text || !text_read(folder, "memory.stat", text, STATISTICS_MAX))
		return 0;
	for (size_t i = 0; i < array_size(names->available); i++)
		available += statistic(text, names->available[i]);
	for (size_t i = 0; i < array_size(names->held); i++)
		held += statistic(text, names->held[i]);
	return held < available ? available - held : 0;
}

static uint64_t folder_room(const char *folder, const struct names *names, uint64_t enough)
{
	uint64_t limit, usage, room;

	if (!number_read(folder, names->limit, &limit) ||
	    !number_read(folder, names->usage, &usage))
		return MEMCG_HEADROOM_UNLIMITED;
	room = limit > usage ? limit - usage : 0;
	return room < enough ? room + reclaimable(folder, names) : room;
}

/* GROUP's room, and that of those above it. */
static struct error *group_room(const char *root, const struct cgroup *group,
				const struct names *names, uint64_t enough, uint64_t *room)
{
	cleanup_free char *folder = NULL;
	size_t levels = 1;

	try(cgroup_folder(root, group, &folder));
	for (const char *at = group->path; *at; at++)
		levels += *at == '/';
	/* Where not all of the hierarchy is mounted, above what is there are no such files. */
	for (; *folder && levels; levels--) {
		uint64_t found = folder_room(folder, names, enough);
		char *slash = strrchr(folder, '/');

		if (found < *room)
			*room = found;
		if (slash)
			*slash = 0;
	}
	return NULL;
}

/* Whether the comma-separated NAMES have the memory controller. */
static bool has_memory(const char *names)
{
	const char *found = strstr(names, "memory");

	return found && (found == names || found[-1] == ',') &&
	       (!found[strlen("memory")] || found[strlen("memory")] == ',');
}

struct error *memcg_headroom_read(const char *root, pid_t pid, uint64_t enough, uint64_t *ret)
{
	cleanup(cgroups_deinit) struct cgroups groups = {0};
	uint64_t room = MEMCG_HEADROOM_UNLIMITED;

	try(cgroups_read(root, pid, &groups));
	for (size_t i = 0; i < groups.count; i++) {
		const struct cgroup *group = &groups.list[i];

		if (!*group->hierarchy)
			try(group_room(root, group, &version_2, enough, &room));
		else if (has_memory(group->hierarchy))
			try(group_room(root, group, &version_1, enough, &room));
	}
	*ret = room;
	return NULL;
}
