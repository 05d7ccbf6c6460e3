/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From return addresses to RESULT sites; see results.c. */
#ifndef TMBPF_PROBE_FIND_RESULTS_H
#define TMBPF_PROBE_FIND_RESULTS_H

#include <stddef.h>

#include "probe/find/returns.h"

struct builder;
struct error;

/* Adds the sites behind POINTS, sorted by address. */
struct error *results_add(struct builder *builder, struct return_point *points, size_t count);

/* Adds the sites behind all returns that returns_collect() finds. */
struct error *results_sites(struct builder *builder);

#endif
