/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a group of processes is: those of a container, of a control group, or a process and those
 * that it starts.
 */
#ifndef TMBPF_DAEMON_GROUP_GROUP_TARGET_H
#define TMBPF_DAEMON_GROUP_GROUP_TARGET_H

#include <sys/types.h>

#include "target/container/container.h"
#include "trace/session/control.h"

struct error;

enum group_kind { GROUP_FOLLOW, GROUP_CONTAINER, GROUP_CGROUP };

/* By what a group is asked for. */
struct group_wanted {
	enum group_kind kind;
	pid_t root;       /* of GROUP_FOLLOW */
	const char *text; /* of the others: a container's id or name, a control group's path */
};

struct group_target {
	enum group_kind kind;
	char name[CONTROL_GROUP_MAX + 1];
	char *title;                /* as it is shown: "process 1234 and those it starts" */
	pid_t root;                 /* of GROUP_FOLLOW */
	struct container container; /* its groups; all of it only of GROUP_CONTAINER */
};

/* Finds what is meant. ERROR_NOTHING if nothing runs there. */
struct error *group_target_init(const struct group_wanted *wanted, struct group_target *ret);
void group_target_deinit(struct group_target *target);

/* The name that the group has; "" of a container that is not found. */
struct error *group_target_name(const struct group_wanted *wanted, char ret[CONTROL_GROUP_MAX + 1]);

#endif
