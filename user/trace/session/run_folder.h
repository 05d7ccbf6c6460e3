/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The run folder: it holds the sockets and locks of sessions, and what ended sessions leave.
 *
 * It is $TMBPF_RUN if that is set, and /run/tmbpf for root. For other users it is tmbpf below
 * $XDG_RUNTIME_DIR or /run/user/UID, and /tmp/tmbpf-UID where neither is there.
 */
#ifndef TMBPF_TRACE_SESSION_RUN_FOLDER_H
#define TMBPF_TRACE_SESSION_RUN_FOLDER_H

struct error;

/* Its name, whether it is there or not. */
const char *run_folder_path(void);

/*
 * Fails if what is there is no folder of this user's own, or if others can write to it: its files
 * could be a trap. It need not be there.
 */
struct error *run_folder_check(void);

/* The same, but makes the folder if it is missing. */
struct error *run_folder_make(void);

/*
 * Removes what killed tracers left: locks that nobody holds, with their sockets; files that were
 * not written to the end; definitions of events. Leaves what it may not remove.
 */
void run_folder_sweep(void);

#endif
