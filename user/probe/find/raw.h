/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The raw domain's calls of libc; see raw.c. */
#ifndef TMBPF_PROBE_FIND_RAW_H
#define TMBPF_PROBE_FIND_RAW_H

struct builder;
struct error;

/* Adds the sites, of what the guards lead to and of the out-of-line functions. */
struct error *raw_sites(struct builder *builder);

#endif
