/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel offers, found by trying, and the one link that carries all probes: uprobe_multi from 6.6 on, before
 * that an event of tracefs (trace/attach/events.h). From 6.6 to 6.9 uprobe_multi's filter by process dropped what other threads
 * than the first one hit, so there it counts as missing.
 */
#ifndef TMBPF_TRACE_ATTACH_KERNEL_H
#define TMBPF_TRACE_ATTACH_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct error;

struct kernel_features {
	bool btf;          /* /sys/kernel/btf/vmlinux can be read */
	bool bpf;          /* a program can be loaded */
	bool uprobe_multi; /* many uprobes by one link (6.6), for all threads of a process (6.10) */
	bool uprobe_events;  /* the same by an event of tracefs */
	bool uprobe_session; /* an entry program that decides whether the return is probed (6.13) */
	/* bpf_loop, and all that came before it (5.17); TMBPF_PROGRAMS=plain in the environment: no */
	bool loops;
	bool runtime_memory; /* hash tables may take memory while probes run (6.1) */
	int bpf_errno, uprobe_multi_errno, uprobe_events_errno, uprobe_session_errno;
};

/* Tries each on this process itself. Never fails: what cannot be had is false, with its errno. */
void kernel_features_probe(struct kernel_features *ret);

/* Whether hash tables may take memory while programs of probes and tracepoints run. */
bool runtime_memory_try(void);

/* One line a feature: what it is, whether it is there, what it is needed for. */
void kernel_features_print(const struct kernel_features *features, FILE *out);

/*
 * Nanoseconds that a hit of a probe on an emulated instruction takes, with a program that does nothing: measured on a
 * child of our own, in some milliseconds.
 */
struct error *trap_measure(uint64_t *ret);

struct memory;

/*
 * Puts a probe with an empty program at OFFSET of the file at PATH for a moment, in the process PID alone, and tells
 * whether the byte at ADDRESS of its MEMORY, which should be that of OFFSET, has changed by that.
 */
struct error *probe_try(const char *path, uint64_t offset, pid_t pid, struct memory *memory,
			uint64_t address, bool *ret);
/* So that this process can do so as well when it may load no programs any more. */
struct error *probe_try_prepare(void);

struct probes {
	const char *path;        /* any path that leads to the file's inode */
	const uint64_t *offsets; /* in the file */
	const uint64_t *cookies; /* one an offset */
	uint32_t count;
	bool session;
};

/*
 * How probes are attached here: found by trying when it is first asked for. TMBPF_ATTACH=events in the environment
 * takes tracefs's way where there is the other one.
 */
enum probes_way {
	PROBES_NONE,
	PROBES_MULTI,  /* programs have a cookie to know the site by */
	PROBES_EVENTS, /* programs have the address alone */
};

enum probes_way probes_way(void);
/* The expected attach type that a program is to be loaded with. */
int probes_attach_type(bool session);

struct probes_link {
	int fd;    /* negative: none */
	int event; /* of trace/attach/events.h; negative: none */
};

#define PROBES_LINK_NONE ((struct probes_link){-1, -1})

/*
 * Attaches PROGRAM (loaded for uprobe_multi, or for session) to all PROBES in the process PID alone. Until
 * probes_detach(), or for as long as the descriptor is open in any process. Errors name the site that the kernel
 * refused, where one is to blame.
 */
struct error *probes_attach(int program, const struct probes *probes, pid_t pid,
			    struct probes_link *ret);
void probes_detach(struct probes_link *link);

#endif
