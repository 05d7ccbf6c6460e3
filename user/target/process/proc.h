/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The files of /proc/PID that say what a process is: see proc(5). */
#ifndef TMBPF_TARGET_PROCESS_PROC_H
#define TMBPF_TARGET_PROCESS_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

/* ERROR_NOTHING: there is no process PID. */
struct error *proc_gone(pid_t pid);
/*
 * WHAT ("read its maps") could not be done because of NUMBER (errno). ESRCH, or ENOENT below
 * /proc, means that the process went; any other number says why it cannot be looked at.
 */
struct error *proc_failed(pid_t pid, int number, const char *what);

/* Up to SIZE - 1 bytes of /proc/PID/NAME, NUL-terminated; RET_LENGTH may be NULL. */
struct error *proc_read(pid_t pid, const char *name, char *ret, size_t size, size_t *ret_length);

/* Fields of /proc/PID/stat, by their number in proc(5). */
enum {
	PROC_STAT_STATE = 3,
	PROC_STAT_PARENT = 4,
	PROC_STAT_FLAGS = 9,
	PROC_STAT_THREADS = 20,
	PROC_STAT_START_TIME = 22,
	PROC_STAT_START_CODE = 26,
	PROC_STAT_START_STACK = 28,
};

struct proc_stat {
	char comm[64];
	char state;
	pid_t parent;
	unsigned long flags;
	uint64_t threads, start_time, start_code, start_stack;
};

/*
 * Field FIELD, 3 or later, in the TEXT of a stat file; NULL if it is not there. The comm may hold
 * spaces and parentheses, so fields count from the last ')'.
 */
const char *proc_stat_field(const char *text, unsigned int field);
/* The same as a number; 0 if it is not there. */
uint64_t proc_stat_number(const char *text, unsigned int field);
struct error *proc_stat_read(pid_t pid, struct proc_stat *ret);

/*
 * The text behind the colon of NAME's line in /proc/PID/status, or in that of its thread TASK if
 * that is not 0. The name of the process cannot forge a line: the kernel escapes newlines.
 */
struct error *proc_status_read(pid_t pid, pid_t task, const char *name, char *ret, size_t size);

/* The id in its own pid namespace of a process (TASK 0) or of one of its threads. */
struct error *proc_inner_pid(pid_t pid, pid_t task, pid_t *ret);

#endif
