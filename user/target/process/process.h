/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A process from outside: who it is, what it maps, its memory. Nothing here changes the
 * process, stops it or writes to it.
 *
 * Identity is the pid and the start time (field 22 of /proc/PID/stat, in clock ticks since
 * boot), so that a pid that was given to another process is noticed; a pidfd is held as well.
 */
#ifndef TMBPF_TARGET_PROCESS_PROCESS_H
#define TMBPF_TARGET_PROCESS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "target/process/memory.h"

struct error;

struct process_map {
	uint64_t start, end; /* addresses */
	uint64_t offset;     /* in the file, bytes */
	bool readable, writable, executable, shared;
	dev_t device; /* as /proc/PID/maps prints them */
	ino_t inode;
	/*
	 * as the process sees it, without " (deleted)"; "" where anonymous; "[heap]", "[stack]" as
	 * printed
	 */
	char *path;
	bool deleted;
};

/* 64 digits, as Docker, Podman, containerd and CRI-O have them. */
#define PROCESS_CONTAINER_SIZE 65

struct process {
	struct memory memory; /* process_vm_readv; first, so that a memory is its process */
	pid_t pid;            /* in our pid namespace */
	pid_t inner_pid;      /* in its own pid namespace (NSpid's last) */
	uint64_t start_time;  /* clock ticks since boot */
	char container[PROCESS_CONTAINER_SIZE]; /* the container's id; "" none known */
	uint64_t mount_namespace;               /* see namespace_of_paths() */
	uint64_t start_code, start_stack; /* fields 26 and 28 of stat: they change with execve() */
	int pidfd;
	/* arguments joined by spaces, at most 4 KiB, printable UTF-8; "[comm]" if empty */
	char *command_line;
	char *executable; /* link target of /proc/PID/exe as the process sees it */
};

/*
 * Opens the process PID. Errors: ERROR_NOTHING if there is none; ERROR_FAILED without
 * permission, for a kernel thread or a zombie, for a 32-bit process or one of another architecture.
 */
struct error *process_create(pid_t pid, struct process **ret);
void process_destroy(struct process *process);

/*
 * ERROR_NOTHING if the process has gone, if its pid belongs to another by now, or if it runs
 * another program since (execve).
 */
struct error *process_check(const struct process *process);

/* A number of /proc/PID/stat, by its field in proc(5), from 4 on; 0 if the kernel does not say. */
uint64_t process_stat(const struct process *process, unsigned int field);

/* The maps now, in address order; COUNT of them. process_maps_destroy() frees them. */
struct error *process_maps(const struct process *process, struct process_map **ret,
			   size_t *ret_count);
void process_maps_destroy(struct process_map *maps, size_t count);

/*
 * Opens the file behind MAP read-only, the very inode that is mapped (map_files, else the
 * process's own root checked by device and inode), never another file of that name.
 */
struct error *process_open_map(const struct process *process, const struct process_map *map,
			       int *ret_fd);

/*
 * Reads COUNT pieces of SIZE bytes, the first at ADDRESS and each STRIDE bytes behind the one
 * before, to RET, where they lie one after another. Fails with error_number() EFAULT where one
 * cannot be read.
 */
struct error *process_read_pieces(const struct process *process, uint64_t address, size_t stride,
				  size_t size, size_t count, void *ret);

/* The ids of its threads now, as its own pid namespace has them; COUNT of them, to be freed. */
struct error *process_threads(const struct process *process, pid_t **ret, size_t *ret_count);

/*
 * Whether all its threads wait in the kernel for something to happen. False also where that cannot
 * be told: threads that run or may run, wait for a page, are stopped.
 */
bool process_asleep(const struct process *process);

/* The start time of whatever process is PID now; no permission is needed. */
struct error *process_start_time(pid_t pid, uint64_t *ret);

/*
 * The parent of whatever process is PID now: who started it, or who took it over. ERROR_NOTHING if
 * there is no such process, or it has ended and only waits for its parent to ask.
 */
struct error *process_parent(pid_t pid, pid_t *ret);
/* The same, and its start time. */
struct error *process_origin(pid_t pid, pid_t *ret_parent, uint64_t *ret_started);

/* Resident memory, bytes: VmRSS and RssAnon of /proc/PID/status. */
struct error *process_resident(const struct process *process, uint64_t *ret_rss,
			       uint64_t *ret_anon);

/* 0 no seccomp, 1 strict, 2 filter (/proc/PID/status Seccomp). */
struct error *process_seccomp(const struct process *process, int *ret);

/* Puts COUNT of PIDS in ascending order. */
void pids_sort(pid_t *pids, size_t count);

#endif
