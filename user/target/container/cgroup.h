/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Control groups, of version 1 (a hierarchy for each controller) and 2 (one, whose name is ""), as
 * cgroups(7) and /proc/PID/cgroup have them: "9:pids:/docker/ID" or "0::/docker/ID" a line. Paths
 * are those of our own cgroup namespace.
 *
 * ROOT is what stands before /proc and /run: "" but for tests.
 */
#ifndef TMBPF_TARGET_CONTAINER_CGROUP_H
#define TMBPF_TARGET_CONTAINER_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

struct cgroup {
	char *hierarchy; /* its controllers, "cpu,cpuacct", or name, "name=systemd"; "" version 2 */
	char *path;      /* from the hierarchy's root on, "/" is that */
};

/* All zero is an empty list. */
struct cgroups {
	struct cgroup *list;
	size_t count, capacity;
};

/* Copies both; what is in the list already is not added again. */
struct error *cgroups_add(struct cgroups *cgroups, const char *hierarchy, const char *path);
void cgroups_deinit(struct cgroups *cgroups);

/* Those of PID, none on a kernel that has no control groups; ERROR_NOTHING if it is gone. */
struct error *cgroups_read(const char *root, pid_t pid, struct cgroups *ret);

/* Whether PATH is ANCESTOR or lies below it. */
bool cgroup_is_below(const char *path, const char *ancestor);
/* Whether one of OF is one of GROUPS, in the same hierarchy, or lies below it. */
bool cgroups_are_below(const struct cgroups *of, const struct cgroups *groups);

/* The processes that are in one of GROUPS or below, ascending; malloc'd. */
struct error *cgroups_processes(const char *root, const struct cgroups *groups, pid_t **ret,
				size_t *ret_count);
/* The pids of all processes, ascending; malloc'd. */
struct error *processes_list(const char *root, pid_t **ret, size_t *ret_count);

/*
 * PATH without what names nothing: "//", "/.", "/..", a slash at its end. By its text alone.
 * malloc'd; NULL without memory.
 */
char *cgroup_path_clean(const char *path);

/*
 * What --cgroup PATH means: a folder below the mount point of a hierarchy, or a path as
 * /proc/PID/cgroup has it, which is taken in each hierarchy that has a process there. ERROR_NOTHING
 * if there is no such group.
 */
struct error *cgroups_resolve(const char *root, const char *path, struct cgroups *ret);

/* The folder of GROUP, "" where its hierarchy is not mounted; malloc'd. */
struct error *cgroup_folder(const char *root, const struct cgroup *group, char **ret);

#endif
