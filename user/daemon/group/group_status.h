/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The last status of a group, which its watcher leaves when all its processes have ended. */
#ifndef TMBPF_DAEMON_GROUP_GROUP_STATUS_H
#define TMBPF_DAEMON_GROUP_GROUP_STATUS_H

struct error;
struct json_object;

struct error *group_status_store(const char *name, struct json_object *status);
/* ERROR_NOTHING if the group NAME left none. */
struct error *group_status_read(const char *name, struct json_object **ret);
void group_status_forget(const char *name);

#endif
