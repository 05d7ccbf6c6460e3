/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a process loses while probes are put into it and taken out, measured on a child of our own. */
#ifndef TMBPF_TRACE_ATTACH_DISTURBANCE_H
#define TMBPF_TRACE_ATTACH_DISTURBANCE_H

struct error;
struct probes;

/*
 * Seconds that one running thread of a process which has mapped the probes' file loses when PROBES are attached with
 * PROGRAM and removed again, none of them being hit. For each of them the kernel interrupts each processor that runs the process twice: when
 * the breakpoint is written and when it is removed. So that is twice their number times the median interruption, which is
 * the same however often the child had to leave its processor to others.
 */
struct error *disturbance_measure(int program, const struct probes *probes, double *ret);

#endif
