/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a command is asked to do something with: one process, or a group of them: a container's, a
 * control group's, a process and those that it starts.
 */
#ifndef TMBPF_DAEMON_GROUP_GROUP_TARGET_H
#define TMBPF_DAEMON_GROUP_GROUP_TARGET_H

#include <argp.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <sys/types.h>

#include "target/container/container.h"
#include "trace/session/control.h"

struct error;

struct group_target_options { /* as they were given */
	const char *pid, *container, *cgroup;
	bool follow;
};

/*
 * To be a child of the command's parser, whose input for it is a struct group_target_options: -p,
 * --follow, --container, --cgroup.
 */
extern const struct argp group_target_argp;

/* The same three lines of text for each command's --help. */
#define GROUP_TARGET_HELP                                                                              \
	"--container takes an id, its unique beginning, or a name (POD/NAME), as docker, containerd, " \
	"CRI-O, podman, Kubernetes and runc have them; --cgroup a folder below /sys/fs/cgroup, or a "  \
	"path as /proc/PID/cgroup has it."

/* A usage error if what was given does not fit together, or nothing was. */
struct error *group_target_options_check(const struct group_target_options *given);
bool group_target_many(const struct group_target_options *given);
/* Whether any was given. */
bool group_target_given(const struct group_target_options *given);

enum group_kind { GROUP_FOLLOW, GROUP_CONTAINER, GROUP_CGROUP };

struct group_target {
	enum group_kind kind;
	char name[CONTROL_GROUP_MAX + 1];
	char *title;                /* as it is shown: "process 1234 and those it starts" */
	pid_t root;                 /* of GROUP_FOLLOW */
	struct container container; /* its groups; all of it only of GROUP_CONTAINER */
};

/* Finds what is meant. ERROR_NOTHING if nothing runs there. */
struct error *group_target_init(const struct group_target_options *given, struct group_target *ret);
void group_target_deinit(struct group_target *target);

/*
 * The name of the group that is traced, or was until all its processes ended, and that GIVEN means;
 * malloc'd. ERROR_NOTHING if there is none.
 */
struct error *group_find(const struct group_target_options *given, char **ret);

/* The status of the group NAME: what its watcher says, or what it left at its end. */
struct error *group_status_fetch(const char *name, json_object **ret);
struct error *group_status_store(const char *name, json_object *status);
void group_status_forget(const char *name);

#endif
