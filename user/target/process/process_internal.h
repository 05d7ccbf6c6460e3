/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What process.c and process_maps.c share. */
#ifndef TMBPF_TARGET_PROCESS_PROCESS_INTERNAL_H
#define TMBPF_TARGET_PROCESS_PROCESS_INTERNAL_H

#include "target/process/process.h"

/*
 * WHAT ("read its maps") could not be done because of NUMBER (errno): ESRCH, or ENOENT below
 * /proc, means that the process went; else it says why it cannot be looked at.
 */
struct error *process_failed(pid_t pid, int number, const char *what);

#endif
