/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a session says of itself: its status, an object, and what it has traced as a snapshot. */
#ifndef TMBPF_DAEMON_REPORTS_H
#define TMBPF_DAEMON_REPORTS_H

#include "snapshot/snapshot.h"
#include "trace/session/session.h"

struct error;
struct json_object;

/* What is traced now. RESTED: as session_walk(). */
struct error *reports_snapshot(struct session *session, bool rested, struct snapshot **ret);

/* The one block of SIZE bytes that STACK allocated. */
struct error *reports_block(struct session *session, uint32_t stack, uint64_t size,
			    struct snapshot **ret);

/* Fills REPLY, an object, with the members that `tmbpf status --json` documents. */
struct error *reports_status(struct session *session, struct json_object *reply);

#endif
