/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The status of a group of processes, an object that its watcher answers, for people. */
#ifndef TMBPF_VIEW_GROUP_TEXT_H
#define TMBPF_VIEW_GROUP_TEXT_H

#include <stdio.h>

struct error;
struct json_object;

/*
 * As a tree. The sessions' own are in the "session" of each of the "processes", where there is one.
 */
struct error *group_status_print(struct json_object *status, FILE *out);
/* Losses of the group as a whole, and what its watching is warned of, a line each. */
void group_status_print_losses(struct json_object *status, FILE *out);

#endif
