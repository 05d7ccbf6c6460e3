// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads control groups, where they are mounted, and which processes are in them. */
#include "target/container/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "target/container/mountinfo.h"
#include "target/process/process.h"

/*
 * A line a hierarchy, of at most PATH_MAX bytes (kernel/cgroup/cgroup.c, proc_cgroup_show); and
 * no more than 16 of them.
 */
#define TEXT_MAX (32 * 4096)

static struct error *no_memory(void)
{
	return error_create_errno(ERROR_FAILED, ENOMEM, "control groups");
}

static bool cgroups_have(const struct cgroups *cgroups, const char *hierarchy, const char *path)
{
	for (size_t i = 0; i < cgroups->count; i++)
		if (!strcmp(cgroups->list[i].hierarchy, hierarchy) &&
		    !strcmp(cgroups->list[i].path, path))
			return true;
	return false;
}

struct error *cgroups_add(struct cgroups *cgroups, const char *hierarchy, const char *path)
{
	struct cgroup *group;

	if (cgroups_have(cgroups, hierarchy, path))
		return NULL;
	try(array_reserve(&cgroups->list, &cgroups->capacity, cgroups->count, 1,
			  sizeof(*cgroups->list)));
	group = &cgroups->list[cgroups->count];
	/* NULL only where the line above failed. */
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker) */
	*group = (struct cgroup){.hierarchy = strdup(hierarchy), .path = strdup(path)};
	cgroups->count++;
	return group->hierarchy && group->path ? NULL : no_memory();
}

void cgroups_deinit(struct cgroups *cgroups)
{
	for (size_t i = 0; i < cgroups->count; i++) {
		free(cgroups->list[i].hierarchy);
		free(cgroups->list[i].path);
	}
	free(cgroups->list);
	*cgroups = (struct cgroups){0};
}

/* TEXT is what /proc/PID/cgroup holds; it is changed. */
static struct error *cgroups_parse(char *text, struct cgroups *ret)
{
	cleanup(cgroups_deinit) struct cgroups cgroups = {0};
	char *save = NULL, *line;

	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *hierarchy = strchr(line, ':');
		char *path = hierarchy ? strchr(hierarchy + 1, ':') : NULL;

		/* A hierarchy's name may not hold a colon; a path may. */
		if (!path || path[1] != '/')
			continue;
		*path = 0;
		try(cgroups_add(&cgroups, hierarchy + 1, path + 1));
	}
	*ret = cgroups;
	cgroups = (struct cgroups){0};
	return NULL;
}

/* At most MOST bytes of PATH, NUL-terminated. */
static struct error *file_read(const char *path, size_t most, char **ret)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = malloc(most + 1);
	size_t size = 0;
	ssize_t got = 1;

	if (!text)
		return no_memory();
	if (fd < 0)
		return error_create_errno(errno == ENOENT || errno == ESRCH ? ERROR_NOTHING
									    : ERROR_FAILED,
					  errno, "cannot read %s", path);
	while (got > 0 && size < most) {
		got = read(fd, text + size, most - size);
		size += got > 0 ? got : 0;
	}
	if (got < 0)
		return error_create_errno(errno == ESRCH ? ERROR_NOTHING : ERROR_FAILED, errno,
					  "cannot read %s", path);
	text[size] = 0;
	*ret = take(text);
	return NULL;
}

static bool process_is_there(const char *root, pid_t pid)
{
	cleanup_free char *path = NULL;

	if (asprintf(&path, "%s/proc/%d/stat", root, (int)pid) < 0)
		path = NULL;
	return path && !access(path, F_OK);
}

struct error *cgroups_read(const char *root, pid_t pid, struct cgroups *ret)
{
	cleanup_free char *path = NULL, *text = NULL;
	struct error *error;

	if (asprintf(&path, "%s/proc/%d/cgroup", root, (int)pid) < 0) {
		path = NULL;
		return no_memory();
	}
	error = file_read(path, TEXT_MAX, &text);
	if (error && error_kind(error) == ERROR_NOTHING && process_is_there(root, pid)) {
		error_destroy(error); /* a kernel without control groups */
		*ret = (struct cgroups){0};
		return NULL;
	}
	try(error);
	return cgroups_parse(text, ret);
}

bool cgroup_is_below(const char *path, const char *ancestor)
{
	size_t length = strlen(ancestor);

	if (length && ancestor[length - 1] == '/')
		length--;
	return !strncmp(path, ancestor, length) && (!path[length] || path[length] == '/');
}

bool cgroups_are_below(const struct cgroups *of, const struct cgroups *groups)
{
	for (size_t i = 0; i < of->count; i++)
		for (size_t j = 0; j < groups->count; j++)
			if (!strcmp(of->list[i].hierarchy, groups->list[j].hierarchy) &&
			    cgroup_is_below(of->list[i].path, groups->list[j].path))
				return true;
	return false;
}

struct error *processes_list(const char *root, pid_t **ret, size_t *ret_count)
{
	cleanup_free char *path = NULL;
	cleanup_free pid_t *pids = NULL;
	cleanup_dir DIR *folder = NULL;
	size_t count = 0, capacity = 0;
	struct dirent *entry;

	if (asprintf(&path, "%s/proc", root) < 0) {
		path = NULL;
		return no_memory();
	}
	folder = opendir(path);
	if (!folder)
		return error_create_errno(ERROR_FAILED, errno, "cannot read %s", path);
	while ((entry = readdir(folder))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (pid <= 0 || pid > INT_MAX || *end)
			continue;
		try(array_reserve(&pids, &capacity, count, 1, sizeof(*pids)));
		pids[count++] = (pid_t)pid;
	}
	pids_sort(pids, count);
	*ret = take(pids);
	*ret_count = count;
	return NULL;
}

struct error *cgroups_processes(const char *root, const struct cgroups *groups, pid_t **ret,
				size_t *ret_count)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = 0, kept = 0;

	try(processes_list(root, &pids, &count));
	for (size_t i = 0; i < count; i++) {
		cleanup(cgroups_deinit) struct cgroups of = {0};
		struct error *error = cgroups_read(root, pids[i], &of);

		if (error) /* it has gone meanwhile */
			error_destroy(error);
		else if (cgroups_are_below(&of, groups))
			pids[kept++] = pids[i];
	}
	*ret = take(pids);
	*ret_count = kept;
	return NULL;
}

/* A mounted hierarchy. */
struct mount {
	char *point;     /* where */
	char *directory; /* what of the hierarchy is there: "/" all of it */
	bool unified;
	char *options; /* of version 1: the controllers are among them */
};

struct mounts {
	struct mount *list;
	size_t count, capacity;
};

static void mounts_deinit(struct mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++) {
		free(mounts->list[i].point);
		free(mounts->list[i].directory);
		free(mounts->list[i].options);
	}
	free(mounts->list);
}

static struct error *mount_add(const struct mountinfo *info, struct mounts *mounts)
{
	struct mount *mount;

	if (strcmp(info->type, "cgroup") != 0 && strcmp(info->type, "cgroup2") != 0)
		return NULL;
	try(array_reserve(&mounts->list, &mounts->capacity, mounts->count, 1,
			  sizeof(*mounts->list)));
	mount = &mounts->list[mounts->count++];
	*mount = (struct mount){
		.point = strdup(info->point),
		.directory = strdup(info->directory),
		.unified = !strcmp(info->type, "cgroup2"),
		.options = strdup(info->options),
	};
	return mount->point && mount->directory && mount->options ? NULL : no_memory();
}

static struct error *mounts_read(const char *root, struct mounts *ret)
{
	cleanup_free char *path = NULL, *line = NULL;
	cleanup_file FILE *file = NULL;
	size_t size = 0;

	if (asprintf(&path, "%s/proc/self/mountinfo", root) < 0) {
		path = NULL;
		return no_memory();
	}
	file = fopen(path, "re");
	if (!file)
		return error_create_errno(ERROR_FAILED, errno, "cannot read %s", path);
	while (getline(&line, &size, file) > 0) {
		struct mountinfo info;

		if (mountinfo_parse(line, &info))
			try(mount_add(&info, ret));
	}
	return NULL;
}

/* Whether the comma-separated OPTIONS have all of the comma-separated HIERARCHY. */
static bool options_have(const char *options, const char *hierarchy)
{
	const char *next = hierarchy;

	while (*next) {
		size_t length = strcspn(next, ",");
		const char *at = options;

		while (*at && (strcspn(at, ",") != length || strncmp(at, next, length))) {
			at += strcspn(at, ",");
			at += *at == ',';
		}
		if (!*at)
			return false;
		next += length;
		next += *next == ',';
	}
	return true;
}

static bool mount_has(const struct mount *mount, const char *hierarchy)
{
	return *hierarchy ? !mount->unified && options_have(mount->options, hierarchy)
			  : mount->unified;
}

struct error *cgroup_folder(const char *root, const struct cgroup *group, char **ret)
{
	cleanup(mounts_deinit) struct mounts mounts = {0};
	char *folder = NULL;

	try(mounts_read(root, &mounts));
	for (size_t i = 0; i < mounts.count; i++) {
		const struct mount *mount = &mounts.list[i];
		const char *rest = group->path;

		if (!mount_has(mount, group->hierarchy) ||
		    !cgroup_is_below(group->path, mount->directory))
			continue;
		if (strcmp(mount->directory, "/") != 0)
			rest += strlen(mount->directory);
		if (asprintf(&folder, "%s%s", mount->point, rest) < 0)
			return no_memory();
		*ret = folder;
		return NULL;
	}
	*ret = strdup("");
	return *ret ? NULL : no_memory();
}

/* The hierarchy of MOUNT as /proc/PID/cgroup names it. */
static struct error *mount_hierarchy(const char *root, const struct mount *mount, char **ret)
{
	cleanup(cgroups_deinit) struct cgroups own = {0};
	cleanup_free char *path = NULL, *text = NULL;

	if (asprintf(&path, "%s/proc/self/cgroup", root) < 0) {
		path = NULL;
		return no_memory();
	}
	try(file_read(path, TEXT_MAX, &text));
	try(cgroups_parse(text, &own));
	for (size_t i = 0; i < own.count; i++) {
		if (!mount_has(mount, own.list[i].hierarchy))
			continue;
		*ret = strdup(own.list[i].hierarchy);
		return *ret ? NULL : no_memory();
	}
	return error_create(ERROR_FAILED, "%s is no hierarchy that /proc/self/cgroup knows",
			    mount->point);
}

/*
 * A folder below a mount point; the innermost one counts, /sys/fs/cgroup/unified before
 * /sys/fs/cgroup.
 */
static struct error *resolve_folder(const char *root, const char *path, struct cgroups *ret)
{
	cleanup(mounts_deinit) struct mounts mounts = {0};
	cleanup_free char *hierarchy = NULL, *inner = NULL;
	const struct mount *best = NULL;
	const char *rest;
	struct stat found;

	try(mounts_read(root, &mounts));
	for (size_t i = 0; i < mounts.count; i++)
		if (cgroup_is_below(path, mounts.list[i].point) &&
		    (!best || strlen(mounts.list[i].point) > strlen(best->point)))
			best = &mounts.list[i];
	if (!best)
		return NULL;
	if (stat(path, &found) || !S_ISDIR(found.st_mode))
		return error_create(ERROR_NOTHING, "there is no control group %s", path);
	try(mount_hierarchy(root, best, &hierarchy));
	rest = path + strlen(best->point);
	if (asprintf(&inner, "%s%s", strcmp(best->directory, "/") ? best->directory : "",
		     *rest ? rest : "/") < 0) {
		inner = NULL;
		return no_memory();
	}
	return cgroups_add(ret, hierarchy, inner);
}

/* In each hierarchy that has a process at PATH or below. */
static struct error *resolve_path(const char *root, const char *path, struct cgroups *ret)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;

	try(processes_list(root, &pids, &count));
	for (size_t i = 0; i < count; i++) {
		cleanup(cgroups_deinit) struct cgroups of = {0};
		struct error *error = cgroups_read(root, pids[i], &of);

		if (error) {
			error_destroy(error);
			continue;
		}
		for (size_t j = 0; j < of.count; j++)
			if (cgroup_is_below(of.list[j].path, path))
				try(cgroups_add(ret, of.list[j].hierarchy, path));
	}
	return NULL;
}

char *cgroup_path_clean(const char *path)
{
	char *clean = malloc(strlen(path) + 2), *end = clean;

	if (!clean)
		return NULL;
	while (*path) {
		size_t length = strcspn(path, "/");

		if (length == 2 && !strncmp(path, "..", 2)) {
			while (end > clean && *--end != '/')
				;
		} else if (length && (length != 1 || *path != '.')) {
			*end++ = '/';
			memcpy(end, path, length);
			end += length;
		}
		path += length;
		path += *path == '/';
	}
	if (end == clean)
		*end++ = '/';
	*end = 0;
	return clean;
}

struct error *cgroups_resolve(const char *root, const char *path, struct cgroups *ret)
{
	cleanup(cgroups_deinit) struct cgroups groups = {0};
	cleanup_free char *clean = cgroup_path_clean(path), *real = NULL;

	if (!clean)
		return no_memory();
	if (path[0] != '/')
		return error_advise(error_create(ERROR_USAGE, "%s is no control group's path",
						 path),
				    "It begins with /: a folder below /sys/fs/cgroup, or as "
				    "/proc/PID/cgroup has it.");
	/* /sys/fs/cgroup/cpu may be a link to cpu,cpuacct. */
	real = realpath(clean, NULL);
	try(resolve_folder(root, real ? real : clean, &groups));
	if (!groups.count)
		try(resolve_path(root, clean, &groups));
	if (!groups.count)
		return error_create(ERROR_NOTHING, "no process is in a control group %s", path);
	*ret = groups;
	groups = (struct cgroups){0};
	return NULL;
}
