/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The interpreter's layout, as the BPF programs take it. */
#ifndef TMBPF_TRACE_TRACER_CONFIG_H
#define TMBPF_TRACE_TRACER_CONFIG_H

#include <linux/types.h>

#include "probe/plan.h"
#include "python/python.h"
#include "tmbpf.h"
#include "trace/attach/sites.h"

struct error;

/* Fills all that follows from the interpreter. Refuses a layout that the programs cannot follow. */
struct error *config_fill(const struct python *python, const struct plan *plan,
			  const struct sites *sites, struct tmbpf_config *ret);

#endif
