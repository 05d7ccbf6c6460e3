/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A session's state as a snapshot (the model) and as a status object. */
#ifndef TMBPF_DAEMON_REPORTS_H
#define TMBPF_DAEMON_REPORTS_H

#include <json-c/json.h>

#include "snapshot/snapshot.h"
#include "trace/session/session.h"

struct error;

/* What is traced now. RESTED: as session_walk(). */
struct error *record_snapshot(struct session *session, bool rested, struct snapshot **ret);

/* The one block of SIZE bytes that STACK allocated. */
struct error *record_block(struct session *session, uint32_t stack, uint64_t size,
			   struct snapshot **ret);

/* Fills REPLY with the members that `tmbpf status --json` documents. */
struct error *record_status(struct session *session, json_object *reply);

#endif
