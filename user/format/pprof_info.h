/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a snapshot says about itself, as comments "tmbpf.KEY=VALUE" of a profile. */
#ifndef TMBPF_FORMAT_PPROF_INFO_H
#define TMBPF_FORMAT_PPROF_INFO_H

#include <stddef.h>

struct error;
struct snapshot_info;

/* Hands each comment to EMIT, always in the same order; what is empty or not known is left out. */
struct error *pprof_info_write(const struct snapshot_info *info,
			       struct error *(*emit)(void *context, const char *comment),
			       void *context);

/*
 * Takes a COMMENT of SIZE bytes in; those that are not tmbpf's, and keys that this version does
 * not know, are passed over. A value that cannot be is an error.
 */
struct error *pprof_info_read(struct snapshot_info *info, const char *comment, size_t size);

#endif
