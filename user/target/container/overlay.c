// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Finds the file in a lower layer of an overlay that a process still maps. */
#include "target/container/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/container/cgroup.h"
#include "target/container/mountinfo.h"
#include "target/process/proc.h"
#include "target/process/process.h"

#define LAYERS_MAX 512 /* fs/overlayfs/params.h, OVL_MAX_STACK is 500 */

char *overlay_option(const char *options, const char *key)
{
	size_t length = strlen(key);

	while (*options) {
		size_t size = strcspn(options, ",");

		if (size > length && !strncmp(options, key, length) && options[length] == '=') {
			char *value = strndup(options + length + 1, size - length - 1);

			if (value)
				mountinfo_unescape(value);
			return value;
		}
		options += size;
		options += *options == ',';
	}
	return NULL;
}

struct overlay {
	char *relative; /* the file's path in the mount */
	char *options;
};

static void overlay_deinit(struct overlay *overlay)
{
	free(overlay->relative);
	free(overlay->options);
}

/* Keeps the mount of INFO if MAP's file is on it, and its path is longer than BEST bytes. */
static void mount_match(const struct mountinfo *info, const struct process_map *map, size_t *best,
			struct overlay *overlay)
{
	const char *rest;

	if (info->device != map->device || !cgroup_is_below(map->path, info->point) ||
	    strlen(info->point) < *best || strcmp(info->type, "overlay") != 0 || !*info->options)
		return;
	*best = strlen(info->point);
	rest = map->path + (strcmp(info->point, "/") ? *best : 0);
	overlay_deinit(overlay);
	*overlay = (struct overlay){.options = strdup(info->options)};
	if (asprintf(&overlay->relative, "%s%s",
		     strcmp(info->directory, "/") ? info->directory : "", rest) < 0)
		overlay->relative = NULL;
}

static struct error *overlay_find(const struct process *process, const struct process_map *map,
				  struct overlay *ret)
{
	cleanup_free char *line = NULL;
	cleanup_file FILE *file = NULL;
	size_t size = 0, best = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mountinfo", (int)process->pid);
	file = fopen(path, "re");
	if (!file)
		return proc_failed(process->pid, errno, "see its mounts");
	while (getline(&line, &size, file) > 0) {
		struct mountinfo info;

		if (mountinfo_parse(line, &info))
			mount_match(&info, map, &best, ret);
	}
	return NULL;
}

/*
 * The regular file RELATIVE below FOLDER, -1: none; errno is that of the opening. The target names
 * both, so what is there is looked at before it is opened: opening a device can do things.
 */
static int layer_open(const char *folder, const char *relative)
{
	cleanup_fd int directory = folder[0] == '/' ? open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC)
						    : -1;
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};
	cleanup_fd int fd = -1;
	struct stat found;
	char path[40];

	if (directory < 0) {
		errno = EACCES; /* whatever it is: what is in it is not known */
		return -1;
	}
	fd = syscall(SYS_openat2, directory, relative, &how, sizeof(how));
	if (fd < 0)
		return -1;
	if (fstat(fd, &found) || !S_ISREG(found.st_mode)) {
		errno = ENOENT;
		return -1;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The file of the uppermost layer that has it. */
static int lower_open(const struct overlay *overlay, const char *lower)
{
	cleanup_free char *layers = strdup(lower);
	char *save = NULL, *layer;
	int fd = -1;

	if (!layers)
		return -1;
	layer = strtok_r(layers, ":", &save);
	for (int i = 0; i < LAYERS_MAX && layer && fd < 0; i++) {
		/* Where a relative one begins is known to who mounted it alone. */
		if (layer[0] == '/')
			fd = layer_open(layer, overlay->relative);
		layer = strtok_r(NULL, ":", &save);
	}
	return fd;
}

/* The same where each layer is an option of its own (Linux 6.5: lowerdir+=). */
static int lowers_open(const struct overlay *overlay)
{
	const char *at = overlay->options;
	int fd = -1;

	while (fd < 0 && (at = strstr(at, "lowerdir+="))) {
		cleanup_free char *value = overlay_option(at, "lowerdir+");

		if (value)
			fd = lower_open(overlay, value);
		at += strlen("lowerdir+=");
	}
	return fd;
}

struct error *overlay_lower(const struct process *process, const struct process_map *map, int fd,
			    bool *ret_copied, int *ret_lower)
{
	cleanup(overlay_deinit) struct overlay overlay = {0};
	cleanup_free char *upper = NULL, *lower = NULL;
	cleanup_fd int copy = -1;
	struct statfs system;

	*ret_copied = false;
	*ret_lower = -1;
	if (fstatfs(fd, &system) || system.f_type != OVERLAYFS_SUPER_MAGIC)
		return NULL;
	try(overlay_find(process, map, &overlay));
	if (!overlay.options || !overlay.relative) {
		*ret_copied = true; /* its mount is gone from where the process is */
		return NULL;
	}
	upper = overlay_option(overlay.options, "upperdir");
	lower = overlay_option(overlay.options, "lowerdir");
	if (!upper)
		return NULL; /* nothing can be copied up */
	copy = layer_open(upper, overlay.relative);
	if (copy < 0 && errno == ENOENT)
		return NULL;
	*ret_copied = true;
	*ret_lower = lower ? lower_open(&overlay, lower) : lowers_open(&overlay);
	return NULL;
}
