/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which start of a program a process goes back to. At each exec the kernel puts 16 random bytes on
 * the new stack and tells where (AT_RANDOM of /proc/PID/auxv, getauxval(3)); libc reads them and
 * leaves them alone, and a fork has its parent's. So processes with the same ones are forks of one
 * start, and what lay at an address then is the same in each until it is written.
 */
#ifndef TMBPF_TARGET_PROCESS_LINEAGE_H
#define TMBPF_TARGET_PROCESS_LINEAGE_H

#include <stdint.h>

struct error;
struct process;

#define LINEAGE_SIZE 16

struct error *lineage_read(struct process *process, uint8_t ret[LINEAGE_SIZE]);

#endif
