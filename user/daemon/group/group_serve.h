/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The watcher of a group: a process in the background that starts a session for each CPython of the
 * group, those that come later included. It answers at the group's own socket ("status", "stop");
 * each session answers at its process's as ever, and goes on if the watcher is killed.
 */
#ifndef TMBPF_DAEMON_GROUP_GROUP_SERVE_H
#define TMBPF_DAEMON_GROUP_GROUP_SERVE_H

#include "daemon/group/group_target.h"
#include "trace/tracer/tracer.h"

struct error;

/* Returns when each process that is there now is traced, or known to be none that can be. */
struct error *group_start(const struct group_target *target, const struct tracer_options *options);

#endif
