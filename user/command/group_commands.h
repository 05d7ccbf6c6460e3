/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the commands do with a group (group_target_many()) instead of one process. Each prints its
 * result.
 */
#ifndef TMBPF_COMMAND_GROUP_COMMANDS_H
#define TMBPF_COMMAND_GROUP_COMMANDS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/group/group_target.h"
#include "trace/tracer/tracer.h"

struct error;

/* Starts one and says what is traced. RET_NAME, malloc'd, may be NULL. */
struct error *group_command_start(const struct group_target_options *given,
				  const struct tracer_options *options, FILE *out, char **ret_name);
struct error *group_request_stop(const char *name); /* without a word */
struct error *group_command_stop(const char *name);
struct error *group_command_clear(const char *name, bool peak);
/* Makes FOLDER where it is not there; fails if nothing can be written into it. */
struct error *group_command_folder(const char *folder);
/* A file for each process, FOLDER/PID.pb.gz; FOLDER is made if it is missing. */
struct error *group_command_snapshot(const char *name, const char *folder);

/*
 * The group's status, with the sessions' in the "session" of each of its "processes", where there
 * is one; and the same for people, as a tree.
 */
struct error *group_status_whole(const char *name, json_object **ret);
struct error *group_status_print(json_object *status, FILE *out);
/* Losses of the group as a whole, a line each. */
void group_status_print_losses(json_object *status, FILE *out);

#endif
