/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A whole snapshot as JSON: what it says about itself, each trace as it is, and the frames that
 * they refer to by number. docs/snapshot.schema.json says what each member means.
 */
#ifndef TMBPF_FORMAT_JSON_TRACES_H
#define TMBPF_FORMAT_JSON_TRACES_H

struct error;
struct output;
struct snapshot;

/* OUTPUT is not committed. */
struct error *json_traces_write(const struct snapshot *snapshot, struct output *output);

#endif
