/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How several commands begin and end the tracing of a group. */
#ifndef TMBPF_COMMAND_GROUP_COMMANDS_H
#define TMBPF_COMMAND_GROUP_COMMANDS_H

#include <stdio.h>

struct error;
struct group_wanted;
struct tracer_options;

/* Starts one and says to OUT what is traced. RET_NAME, malloc'd, may be NULL. */
struct error *group_command_start(const struct group_wanted *wanted,
				  const struct tracer_options *options, FILE *out, char **ret_name);
/* Stops it, or forgets what it left if it has ended, and says so. */
struct error *group_command_stop(const char *name);

#endif
