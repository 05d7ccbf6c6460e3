/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * While probes are attached and removed the target pays for those that are there. So on a busy
 * machine nobody should run in the tracer's place for these milliseconds of each sampling window.
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
 * Runs the calling thread before all threads without a real-time priority. If that is not allowed
 * (CAP_SYS_NICE, or a control group's share of real time) nothing changes: then windows may take
 * longer, and the traps that this brings are counted.
 */
void priority_raise(struct priority *ret);
void priority_restore(struct priority *priority);

#endif
