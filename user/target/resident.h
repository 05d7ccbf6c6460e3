/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What of a process' memory takes room that is its own: anonymous pages that are there. */
#ifndef TMBPF_TARGET_RESIDENT_H
#define TMBPF_TARGET_RESIDENT_H

#include <stdint.h>

struct error;
struct process;
struct resident;

/* Fails where the kernel does not tell (/proc/PID/pagemap). */
struct error *resident_create(const struct process *process, struct resident **ret);
/* NULL is accepted. */
void resident_destroy(struct resident *resident);

/* Bytes from START up to END that lie in such pages; 0 where that is not told. */
uint64_t resident_bytes(struct resident *resident, uint64_t start, uint64_t end);

#endif
