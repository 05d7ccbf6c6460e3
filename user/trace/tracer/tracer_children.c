// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Removes inherited breakpoints from forked children. */
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "trace/attach/sites.h"
#include "trace/tracer/tracer_internal.h"

/* The share of a processor that this may take. */
#define RELEASE_SHARE 0.01

/*
 * When a link goes, the kernel takes its breakpoints out of every process that has them, unless
 * another link wants them there (kernel/events/uprobes.c, register_for_each_vma: filter_chain,
 * remove_breakpoint; 6.6 to 6.18). So a short-lived link for a process without the file, ourselves,
 * clears those who inherited breakpoints, and leaves the target's alone. Breakpoints of an event go
 * one by one, each at its first hit (kernel/trace/trace_uprobe.c, uprobe_perf_func:
 * UPROBE_HANDLER_REMOVE).
 */
static struct error *release(struct tracer *tracer)
{
	size_t count = sites_group_count(tracer->sites);

	for (size_t i = 0; i < count; i++) {
		struct probes_link link = PROBES_LINK_NONE;

		if (tracer->link_count) {
			try(tracer_group_attach(tracer, i, getpid(), &link));
			probes_detach(&link);
		}
		if (tracer->large_count) {
			try(tracer_large_group_attach(tracer, i, getpid(), &link));
			probes_detach(&link);
		}
	}
	return NULL;
}

struct error *tracer_children_release(struct tracer *tracer)
{
	uint64_t forks = __atomic_load_n(&tracer->skeleton->bss->state.forks, __ATOMIC_SEQ_CST);
	uint64_t now = clock_now(CLOCK_MONOTONIC);
	struct error *error;

	if (forks == tracer->forks || now < tracer->released_next || probes_way() == PROBES_EVENTS)
		return NULL;
	error = release(tracer);
	tracer->forks = forks;
	tracer->released_next = now + (uint64_t)(clock_since(CLOCK_MONOTONIC, now) *
						 (double)NSEC_PER_SEC / RELEASE_SHARE);
	return error;
}
