/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a command is asked to do something with: one process, or a group of them: a container's, a
 * control group's, a process and those that it starts.
 */
#ifndef TMBPF_COMMAND_OPTIONS_TARGET_OPTIONS_H
#define TMBPF_COMMAND_OPTIONS_TARGET_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <sys/types.h>

struct error;
struct group_wanted;

struct target_options { /* as they were given */
	const char *pid, *container, *cgroup;
	bool follow;
};

/*
 * To be children of a command's parser, whose input for them is a struct target_options: -p alone;
 * or -p, --follow, --container and --cgroup.
 */
extern const struct argp process_argp;
extern const struct argp target_argp;

/* The end of the --help of each command that has target_argp. */
#define TARGET_HELP                                                                                \
	"--container takes an id, its unique beginning, or a name (POD/NAME), as docker, "         \
	"containerd, CRI-O, podman, Kubernetes and runc have them; --cgroup a folder below "       \
	"/sys/fs/cgroup, or a path as /proc/PID/cgroup has it."

/* Whether any was given. */
bool target_options_given(const struct target_options *given);
/* A usage error if what was given does not fit together, or nothing was. */
struct error *target_options_check(const struct target_options *given);
/* Whether a group is meant. */
bool target_options_many(const struct target_options *given);

/* The process, where one is meant. A usage error if -p is missing. */
struct error *target_options_pid(const struct target_options *given, pid_t *ret);
/* The group, where one is meant; RET refers to what was given. */
struct error *target_options_group(const struct target_options *given, struct group_wanted *ret);
/* The options that name the group again to another command, "-p 12 --follow"; malloc'd or NULL. */
char *target_options_text(const struct target_options *given);

#endif
