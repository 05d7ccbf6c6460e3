/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * user/trace/symbols as part of a test. The test defines what that wants of the tracer: the
 * functions declared here.
 */
#ifndef TMBPF_TESTS_TRACER_FAKE_H
#define TMBPF_TESTS_TRACER_FAKE_H

#include "trace/tracer/tracer.h"

#define tracer_python        fake_tracer_python
#define tracer_stack_limit   fake_tracer_stack_limit
#define tracer_place_count   fake_tracer_place_count
#define tracer_stack_count   fake_tracer_stack_count
#define tracer_stack_stats   fake_tracer_stack_stats
#define tracer_stack_retire  fake_tracer_stack_retire
#define tracer_stack_recycle fake_tracer_stack_recycle

static const struct python *tracer_python(const struct tracer *tracer);
static uint32_t tracer_stack_limit(const struct tracer *tracer);
static uint32_t tracer_place_count(const struct tracer *tracer);
static uint32_t tracer_stack_count(const struct tracer *tracer);
static void tracer_stack_stats(const struct tracer *tracer, uint32_t stack,
			       struct tmbpf_stack_stats *ret);
static void tracer_stack_retire(struct tracer *tracer, uint32_t id, uint32_t place);
static void tracer_stack_recycle(struct tracer *tracer, uint32_t id);

#include "trace/symbols/symbols_codes.c" /* NOLINT(bugprone-suspicious-include) */
#include "trace/symbols/symbols.c"       /* NOLINT(bugprone-suspicious-include) */
#include "trace/symbols/symbols_rows.c"  /* NOLINT(bugprone-suspicious-include) */

#endif
