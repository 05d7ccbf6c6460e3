// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a process maps, and the files behind it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/process/proc.h"
#include "target/process/process.h"

#define MAPS_MAX (1u << 20) /* vm.max_map_count is 65530 by default */

/* In place: \012 is how the kernel prints a newline in a path. */
static void path_unescape(char *path)
{
	char *to = path;

	for (; *path; path++) {
		if (!strncmp(path, "\\012", 4)) {
			*to++ = '\n';
			path += 3;
		} else {
			*to++ = *path;
		}
	}
	*to = 0;
}

static bool map_parse(char *line, struct process_map *ret)
{
	static const char deleted[] = " (deleted)";
	char permissions[5] = "";
	unsigned major_number, minor_number;
	size_t length;
	int path = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
		   &ret->start, &ret->end, permissions, &ret->offset, &major_number, &minor_number,
		   (uint64_t *)&ret->inode, &path) < 7)
		return false;
	if (!path || strlen(permissions) != 4 || ret->start >= ret->end)
		return false;
	ret->readable = permissions[0] == 'r';
	ret->writable = permissions[1] == 'w';
	ret->executable = permissions[2] == 'x';
	ret->shared = permissions[3] == 's';
	ret->device = makedev(major_number, minor_number);
	line += path;
	length = strcspn(line, "\n");
	line[length] = 0;
	ret->deleted = ret->inode && length > sizeof(deleted) - 1 &&
		       !strcmp(line + length - (sizeof(deleted) - 1), deleted);
	if (ret->deleted)
		line[length - (sizeof(deleted) - 1)] = 0;
	path_unescape(line);
	ret->path = strdup(line);
	return ret->path != NULL;
}

struct maps {
	struct process_map *list;
	size_t count, capacity;
};

static void maps_cleanup(struct maps *maps)
{
	process_maps_destroy(maps->list, maps->count);
}

static struct error *maps_append(struct maps *maps, pid_t pid, char *line)
{
	if (maps->count == maps->capacity) {
		size_t capacity = maps->capacity ? maps->capacity * 2 : 256;
		struct process_map *list;

		if (capacity > MAPS_MAX)
			return error_create(ERROR_FAILED, "process %d has over %u mappings",
					    (int)pid, MAPS_MAX);
		list = reallocarray(maps->list, capacity, sizeof(*list));
		if (!list)
			return error_create_errno(ERROR_FAILED, ENOMEM, "process %d", (int)pid);
		maps->list = list;
		maps->capacity = capacity;
	}
	memset(&maps->list[maps->count], 0, sizeof(*maps->list));
	if (!map_parse(line, &maps->list[maps->count]))
		return error_create(ERROR_FAILED, "/proc/%d/maps is not understood", (int)pid);
	maps->count++;
	return NULL;
}

struct error *process_maps(const struct process *process, struct process_map **ret,
			   size_t *ret_count)
{
	cleanup(maps_cleanup) struct maps maps = {0};
	cleanup_file FILE *file = NULL;
	cleanup_free char *line = NULL;
	size_t size = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)process->pid);
	file = fopen(path, "re");
	if (!file)
		return proc_failed(process->pid, errno, "read its maps");
	while (errno = 0, getline(&line, &size, file) > 0)
		try(maps_append(&maps, process->pid, line));
	if (ferror(file))
		return proc_failed(process->pid, errno ? errno : EIO, "read its maps");
	/* A zombie's maps are empty. */
	if (!maps.count)
		return error_create(ERROR_NOTHING, "process %d has ended", (int)process->pid);
	*ret_count = maps.count;
	*ret = take(maps.list);
	maps.count = 0;
	return NULL;
}

void process_maps_destroy(struct process_map *maps, size_t count)
{
	size_t i;

	if (!maps)
		return;
	for (i = 0; i < count; i++)
		free(maps[i].path);
	free(maps);
}

/* Opens PATH below DIRECTORY as the root of all links, so that no link of the target leads out. */
static int open_in_root(int directory, const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};

	return syscall(SYS_openat2, directory, path, &how, sizeof(how));
}

static bool file_is_mapped(int fd, const struct process_map *map, bool compare_device)
{
	struct stat stat;

	return !fstat(fd, &stat) && S_ISREG(stat.st_mode) && stat.st_ino == map->inode &&
	       (!compare_device || stat.st_dev == map->device);
}

/* The path as we see it: of a process in our own mount namespace, or below a root of its own. */
static int open_by_path(const struct process_map *map)
{
	cleanup_fd int fd = -1;

	if (map->path[0] != '/')
		return -1;
	fd = open(map->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || !file_is_mapped(fd, map, true))
		return -1;
	return take_fd(fd);
}

static int open_by_root(const struct process *process, const struct process_map *map)
{
	cleanup_fd int root = -1, fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/root", (int)process->pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -1;
	fd = open_in_root(root, map->path);
	if (fd < 0 || !file_is_mapped(fd, map, true))
		return -1;
	return take_fd(fd);
}

/*
 * /proc/PID/exe opens the very file that was executed. It needs less than map_files does, and on
 * an overlay its device may differ from what the maps say: the path and the inode must agree.
 */
static int open_by_exe(const struct process *process, const struct process_map *map)
{
	cleanup_fd int fd = -1;
	char path[64];

	if (strcmp(process->executable, map->path))
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)process->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || !file_is_mapped(fd, map, false))
		return -1;
	return take_fd(fd);
}

struct error *process_open_map(const struct process *process, const struct process_map *map,
			       int *ret_fd)
{
	struct error *error;
	char path[128];
	int fd, number;

	if (!map->inode)
		return error_create(ERROR_FAILED, "process %d: no file is mapped at 0x%" PRIx64,
				    (int)process->pid, map->start);
	/* Without the leading zeros that maps prints. */
	snprintf(path, sizeof(path), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, (int)process->pid,
		 map->start, map->end);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	number = errno;
	if (fd < 0)
		fd = open_by_exe(process, map);
	if (fd < 0)
		fd = open_by_root(process, map);
	if (fd < 0)
		fd = open_by_path(map);
	if (fd >= 0) {
		*ret_fd = fd;
		return NULL;
	}
	try(process_check(process));
	error = error_create_errno(ERROR_FAILED, number,
				   "process %d: cannot open %s as it is mapped", (int)process->pid,
				   map->path);
	return error_advise(error, "Run tmbpf as root, or with CAP_SYS_PTRACE and "
				   "CAP_CHECKPOINT_RESTORE.");
}
