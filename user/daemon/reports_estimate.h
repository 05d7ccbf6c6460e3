/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a session that traces in sampling windows has estimated, as snapshots and as status. */
#ifndef TMBPF_DAEMON_REPORTS_ESTIMATE_H
#define TMBPF_DAEMON_REPORTS_ESTIMATE_H

#include "trace/session/session.h"
#include "trace/symbols/symbols.h"

struct error;
struct json;

/* Hands each traceback to ADD with what it holds of what it allocated since the start. */
struct error *reports_estimate(struct session *session, symbols_visitor add, void *context);

/*
 * Adds to the root of JSON: "current" and "blocks", the estimates' sums; "cost", what tracing was
 * measured to take of the target's time, and the budget; "growth", the rows that grow most, each
 * with standard errors; and what the census says.
 */
struct error *reports_estimate_status(struct session *session, struct json *json);

#endif
