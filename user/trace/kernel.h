/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel offers, found by trying, and the one link that carries all probes.
 *
 * Kernels before 6.6 have no uprobe_multi; one tracefs event with all sites is what serves there. It would be a second
 * way to do probes_attach(), chosen by kernel_features_probe().
 */
#ifndef TMBPF_TRACE_KERNEL_H
#define TMBPF_TRACE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct error;

struct kernel_features {
	bool btf;            /* /sys/kernel/btf/vmlinux can be read */
	bool bpf;            /* a program can be loaded */
	bool uprobe_multi;   /* many uprobes by one link (6.6) */
	bool uprobe_session; /* an entry program that decides whether the return is probed (6.13) */
	bool task_storage;   /* task storage in uprobe programs (5.11) */
	int bpf_errno, uprobe_multi_errno, uprobe_session_errno;
};

/* Tries each on this process itself. Never fails: what cannot be had is false, with its errno. */
void kernel_features_probe(struct kernel_features *ret);

/* One line a feature: what it is, whether it is there, what it is needed for. */
void kernel_features_print(const struct kernel_features *features, FILE *out);

/*
 * Nanoseconds that a hit of a probe on an emulated instruction takes, with a program that does nothing: measured on a
 * child of our own, in some milliseconds.
 */
struct error *trap_measure(uint64_t *ret);

struct probes {
	const char *path;        /* any path that leads to the file's inode */
	const uint64_t *offsets; /* in the file */
	const uint64_t *cookies; /* one an offset */
	uint32_t count;
	bool session;
};

/*
 * Attaches PROGRAM (loaded for uprobe_multi, or for session) to all PROBES in the process PID alone. The link lives as
 * long as the descriptor RET is open in any process. Errors name the site that the kernel refused, where one is to blame.
 */
struct error *probes_attach(int program, const struct probes *probes, pid_t pid, int *ret);

#endif
