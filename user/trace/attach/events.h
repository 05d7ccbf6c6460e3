/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Probes by tracefs, for kernels without uprobe_multi (before 6.6): one event to which all sites are appended, opened as
 * one perf event for one process. The kernel then puts breakpoints into that process alone, and all its threads hit them
 * (kernel/trace/trace_uprobe.c, uprobe_perf_filter).
 *
 * What the kernel does not do by itself is to forget an event's definition when its maker dies. A small process beside
 * ours waits for that and removes them; what both left behind, killed together, the next one that defines events
 * removes. A definition that nobody has opened puts nothing into any process.
 */
#ifndef TMBPF_TRACE_ATTACH_EVENTS_H
#define TMBPF_TRACE_ATTACH_EVENTS_H

#include <sys/types.h>

struct error;
struct probes;

/*
 * Opens an event with all PROBES for the process PID, not yet counting, as the descriptor RET_FD; its definition is
 * RET_EVENT, to be released after the descriptor was closed. Definitions are kept a while: the same probes again
 * are had faster.
 */
struct error *event_open(const struct probes *probes, pid_t pid, int *ret_fd, int *ret_event);
void event_release(int event);

/* Removes the definitions of processes that are no more, where this process may. */
void events_sweep(void);

#endif
