/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * While probes are put in and taken out, the target pays for those that are in. So on a busy machine nobody should run in
 * the tracer's place meanwhile: some milliseconds a window.
 */
#ifndef TMBPF_TRACE_ATTACH_PRIORITY_H
#define TMBPF_TRACE_ATTACH_PRIORITY_H

#include <sched.h>
#include <stdbool.h>

struct priority { /* as it was */
	int policy;
	struct sched_param param;
	bool raised;
};

/*
 * Runs the calling thread before all that have no real-time priority. Where that is not allowed (CAP_SYS_NICE, or a control group's
 * share of real time) all goes on as before: windows may take longer then, and the traps that this brings are counted.
 */
void priority_raise(struct priority *ret);
void priority_restore(struct priority *priority);

#endif
