/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The snapshots of several processes as one. */
#ifndef TMBPF_SNAPSHOT_MERGE_H
#define TMBPF_SNAPSHOT_MERGE_H

#include <stddef.h>

struct error;
struct snapshot;

/*
 * Sums the traces of COUNT SNAPSHOTS, on the same tables, by domain and traceback, and what they
 * held and lost. Of what they tell of themselves, RET tells what is the same in all; the rest is
 * not known. The coverage is the least. The peak is not measured, as each had its own moment. Fails
 * where the sums exceed INT64_MAX.
 */
struct error *snapshot_merge(const struct snapshot *const *snapshots, size_t count,
			     struct snapshot **ret);

#endif
