/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The snapshots of several processes as one. */
#ifndef TMBPF_SNAPSHOT_MERGE_H
#define TMBPF_SNAPSHOT_MERGE_H

#include <stddef.h>

struct error;
struct snapshot;

/*
 * Sums the traces of COUNT SNAPSHOTS, on the same tables, by domain and traceback, and what they
 * held and lost. What is the same in all is kept of what they tell of themselves, the rest is not
 * known in RET; the peak is not measured, as the peaks had their moments; coverage is the least.
 * Fails where the sums exceed INT64_MAX.
 */
struct error *snapshot_merge(const struct snapshot *const *snapshots, size_t count,
			     struct snapshot **ret);

#endif
