/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Probes by tracefs, for kernels without uprobe_multi (before 6.6). All sites are appended to one
 * event, which is opened as one perf event for one process. The kernel then puts breakpoints into
 * that process alone, and all its threads hit them (kernel/trace/trace_uprobe.c,
 * uprobe_perf_filter).
 *
 * The kernel does not forget the definition of an event when the process that made it dies. So a
 * small process beside ours, the guard, waits for our end and removes our definitions. If both are
 * killed, the next process that defines events removes what they left. A definition that nobody has
 * opened puts nothing into any process.
 */
#ifndef TMBPF_TRACE_ATTACH_EVENTS_H
#define TMBPF_TRACE_ATTACH_EVENTS_H

#include <sys/types.h>

struct error;
struct probes;

/*
 * Opens an event with all PROBES for the process PID, not yet counting, as the descriptor RET_FD.
 * Its definition is RET_EVENT: release it after closing the descriptor. Definitions are kept for a
 * while, so that the same probes are attached faster again.
 */
struct error *event_open(const struct probes *probes, pid_t pid, int *ret_fd, int *ret_event);
void event_release(int event);

/* Removes the definitions of processes that are gone, if this process may. */
void events_sweep(void);

#endif
