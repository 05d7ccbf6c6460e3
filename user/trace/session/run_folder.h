/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where sessions have their sockets and locks, and what ended ones leave behind: $TMBPF_RUN; else /run/tmbpf for root, and for
 * others tmbpf below $XDG_RUNTIME_DIR or /run/user/UID, or /tmp/tmbpf-UID where there is neither.
 */
#ifndef TMBPF_TRACE_SESSION_RUN_FOLDER_H
#define TMBPF_TRACE_SESSION_RUN_FOLDER_H

struct error;

/* Its name, whether it is there or not. */
const char *run_folder_path(void);

/*
 * Fails where it is there, and is not a folder that belongs to this user and that nobody else can write to: what lies in
 * it may be somebody's trap.
 */
struct error *run_folder_check(void);

/* The same, and makes it where it is missing. */
struct error *run_folder_make(void);

/*
 * Removes what was left by tracers that were killed: locks that nobody holds with their sockets, files half written, definitions
 * of events. What cannot be removed stays: somebody else's, who may.
 */
void run_folder_sweep(void);

#endif
