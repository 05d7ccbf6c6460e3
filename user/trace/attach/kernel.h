/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel offers, found by trying, and the link that carries all probes: uprobe_multi from
 * Linux 6.6 on, an event of tracefs before that (trace/attach/events.h). From 6.6 to 6.9
 * uprobe_multi's filter by process dropped the hits of all threads but the first, so there it
 * counts as missing.
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
	bool uprobe_session; /* an entry program decides whether the return is probed (6.13) */
	/*
	 * bpf_loop, and all that came before it (5.17). With TMBPF_PROGRAMS=plain in the
	 * environment: no.
	 */
	bool loops;
	bool runtime_memory; /* hash tables may take memory while probes run (6.1) */
	int bpf_errno, uprobe_multi_errno, uprobe_events_errno, uprobe_session_errno;
};

/*
 * Tries each feature on this process itself. Never fails: what is missing is false, with its errno.
 */
void kernel_features_probe(struct kernel_features *ret);

/* Whether hash tables may take memory while the programs of probes and tracepoints run. */
bool runtime_memory_try(void);

/* Prints a line of each feature: what it is, whether it is there, what needs it. */
void kernel_features_print(const struct kernel_features *features, FILE *out);

/*
 * The nanoseconds that a hit of a probe on an emulated instruction takes, with a program that does
 * nothing. It is measured on a child of our own, in some milliseconds.
 */
struct error *trap_measure(uint64_t *ret);

struct memory;

/*
 * Puts a probe with an empty program at OFFSET of the file at PATH for a moment, in the process PID
 * alone. RET: whether that changed the byte at ADDRESS of its MEMORY, where OFFSET should be.
 */
struct error *probe_try(const char *path, uint64_t offset, pid_t pid, struct memory *memory,
			uint64_t address, bool *ret);
/* Prepares probe_try() for a process that may load no programs later. */
struct error *probe_try_prepare(void);

struct probes {
	const char *path;        /* any path that leads to the file's inode */
	const uint64_t *offsets; /* in the file */
	const uint64_t *cookies; /* one for each offset */
	uint32_t count;
	bool session;
};

/*
 * How probes are attached here; tried when it is first asked for. TMBPF_ATTACH=events in the
 * environment takes tracefs even if there is uprobe_multi.
 */
enum probes_way {
	PROBES_NONE,
	PROBES_MULTI,  /* a cookie tells programs the site */
	PROBES_EVENTS, /* only the address tells programs the site */
};

enum probes_way probes_way(void);
/* The expected attach type with which a program is to be loaded. */
int probes_attach_type(bool session);

struct probes_link {
	int fd;    /* negative: none */
	int event; /* a definition of trace/attach/events.h; negative: none */
};

#define PROBES_LINK_NONE ((struct probes_link){-1, -1})

/*
 * Attaches PROGRAM (loaded for uprobe_multi, or for session) to all PROBES in the process PID
 * alone. They stay until probes_detach(), or as long as any process has the descriptor open. The
 * error names the site that the kernel refused, if one is to blame.
 */
struct error *probes_attach(int program, const struct probes *probes, pid_t pid,
			    struct probes_link *ret);
void probes_detach(struct probes_link *link);

#endif
