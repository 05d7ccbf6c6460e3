/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a group is asked: the other end of daemon/group/group_serve.h. */
#ifndef TMBPF_DAEMON_GROUP_GROUP_CLIENT_H
#define TMBPF_DAEMON_GROUP_GROUP_CLIENT_H

struct error;
struct group_wanted;
struct json_object;

/*
 * The name of the group that WANTED means; malloc'd. It is traced, or was until all its processes
 * ended. ERROR_NOTHING if there is none.
 */
struct error *group_find(const struct group_wanted *wanted, char **ret);

/* The status of the group NAME: what its watcher says, or what it left at its end. */
struct error *group_status_fetch(const char *name, struct json_object **ret);
/* The same with the status of each session in the "session" of its process, where there is one. */
struct error *group_status_whole(const char *name, struct json_object **ret);

/* Ends all sessions of the group NAME, and its watcher. ERROR_NOTHING if nobody watches. */
struct error *group_request_stop(const char *name);

#endif
