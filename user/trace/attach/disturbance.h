/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a process loses while probes are attached and removed, measured on a child of our own. */
#ifndef TMBPF_TRACE_ATTACH_DISTURBANCE_H
#define TMBPF_TRACE_ATTACH_DISTURBANCE_H

struct error;
struct probes;

/*
 * The seconds that one running thread loses when PROBES are attached with PROGRAM and removed
 * again, without a hit, in a process that has mapped their file. For each probe the kernel
 * interrupts each processor that runs the process twice: when it writes the breakpoint and when it
 * removes it. So the result is twice the number of probes times the median interruption. The median
 * does not depend on how often others had the child's processor.
 */
struct error *disturbance_measure(int program, const struct probes *probes, double *ret);

#endif
