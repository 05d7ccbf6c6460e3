/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lines that hold most, as the live view asks for them. */
#ifndef TMBPF_DAEMON_TOP_H
#define TMBPF_DAEMON_TOP_H

#include <stdint.h>

struct error;
struct json_object;
struct snapshot;

/*
 * Adds to REPLY "lines", an array of at most LIMIT objects (place, size, count, allocations), and
 * "line_count", how many there are.
 */
struct error *top_fill(const struct snapshot *snapshot, uint64_t limit, struct json_object *reply);

#endif
