// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Finds the file that a process really maps, on overlays. */
#include "trace/attach/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/container/overlay.h"
#include "trace/attach/kernel.h"

#define COMPARED_AT_ONCE (1 << 20)

static struct error *descriptor_copy(int fd, int *ret)
{
	*ret = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (*ret < 0)
		return error_create_errno(ERROR_FAILED, errno,
					  "cannot keep the interpreter's file open");
	return NULL;
}

static bool files_are_alike(int left, int right)
{
	cleanup_free char *one = malloc(COMPARED_AT_ONCE), *other = malloc(COMPARED_AT_ONCE);
	struct stat found[2];
	off_t at = 0;

	if (!one || !other || fstat(left, &found[0]) || fstat(right, &found[1]) ||
	    found[0].st_size != found[1].st_size)
		return false;
	while (at < found[0].st_size) {
		ssize_t got = pread(left, one, COMPARED_AT_ONCE, at);

		if (got <= 0 || pread(right, other, got, at) != got || memcmp(one, other, got) != 0)
			return false;
		at += got;
	}
	return true;
}

/* Whether a probe at OFFSET of the file FD reaches the place where PROCESS maps that offset. */
static struct error *probe_reaches(const struct process *process, const struct process_map *map,
				   int fd, uint64_t offset, bool *ret)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return probe_try(path, offset, process->pid, (struct memory *)&process->memory,
			 map->start + (offset - map->offset), ret);
}

static struct error *refuse(const struct process *process, const struct process_map *map)
{
	return error_advise(
		error_create(
			ERROR_FAILED,
			"process %d maps another file than %s is now: probes would reach nobody",
			(int)process->pid, map->path),
		"The file was changed after it began (an overlay's copy-up). Restart the process; "
		"if only the file's attributes changed, it is enough to run tmbpf where the "
		"overlay's lower folders can be seen.");
}

struct error *mapped_file(const struct process *process, const struct process_map *map, int fd,
			  uint64_t offset, int *ret)
{
	cleanup_fd int lower = -1;
	bool copied, reaches = true;

	try(overlay_lower(process, map, fd, &copied, &lower));
	if (copied && offset >= map->offset && offset - map->offset < map->end - map->start)
		try(probe_reaches(process, map, fd, offset, &reaches));
	if (reaches)
		return descriptor_copy(fd, ret);
	if (lower >= 0)
		try(probe_reaches(process, map, lower, offset, &reaches));
	if (!reaches || !files_are_alike(fd, lower))
		return refuse(process, map);
	return descriptor_copy(lower, ret);
}
