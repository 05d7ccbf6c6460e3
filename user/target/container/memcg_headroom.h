/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How much more memory a process may take. The kernel puts a breakpoint into a copy of the page of
 * code, which it charges to the process (kernel/events/uprobes.c, __replace_page): where there is
 * no room for it in a control group, somebody there is killed.
 */
#ifndef TMBPF_TARGET_CONTAINER_MEMCG_HEADROOM_H
#define TMBPF_TARGET_CONTAINER_MEMCG_HEADROOM_H

#include <stdint.h>
#include <sys/types.h>

struct error;

#define MEMCG_HEADROOM_UNLIMITED UINT64_MAX

/*
 * Bytes that the memory limits of PID's control group, and of those above it, leave. They include
 * what the kernel can take back at once: pages of files that are neither mapped nor changed. These
 * are not looked at where ENOUGH is there without them. ERROR_NOTHING if PID is gone. ROOT is what
 * stands before /proc: "" but for tests.
 */
struct error *memcg_headroom_read(const char *root, pid_t pid, uint64_t enough, uint64_t *ret);

#endif
