/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a process's paths mean, and whether that can be told later. */
#ifndef TMBPF_TARGET_PROCESS_NAMESPACE_H
#define TMBPF_TARGET_PROCESS_NAMESPACE_H

#include <stdint.h>
#include <sys/types.h>

/* The boot that processes' start times count from, of the running kernel; "" if it is not told. */
#define BOOT_ID_SIZE 40
void boot_id_read(char ret[BOOT_ID_SIZE]);

/* What this machine is called; "" if it is not told. */
#define HOST_NAME_SIZE 256
void host_name_read(char ret[HOST_NAME_SIZE]);

/* The inode of our own /proc/self/ns/mnt, 0 if it is not told. */
uint64_t namespace_own(void);

/*
 * The inode of /proc/PID/ns/mnt, which says what PID's absolute paths mean; 0 if it is not told,
 * and where the process is in our namespace but has another root than we have (chroot).
 */
uint64_t namespace_of_paths(pid_t pid);

#endif
