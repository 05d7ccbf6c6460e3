/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The live view of a group: the lines of all its processes in one table. */
#ifndef TMBPF_COMMAND_LIVE_GROUP_H
#define TMBPF_COMMAND_LIVE_GROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct error;
struct json_object;

struct group_view {
	const char *name;           /* the group's */
	uint64_t limit;             /* lines */
	bool terminal;              /* it is cleared before each view */
	struct json_object *before; /* the last look's sizes, by pid and place; NULL at first */
};

/* Looks and prints. ERROR_NOTHING if the group has ended. */
struct error *group_view_print(struct group_view *view, FILE *out);

#endif
