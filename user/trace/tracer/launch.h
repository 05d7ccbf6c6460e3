/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Starts a command, and holds it at the entry point of each program that it becomes by exec (a
 * shell script's interpreter, env, in the end python), until the caller has seen the one it waits
 * for. Only a child of our own is ever stopped.
 */
#ifndef TMBPF_TRACE_TRACER_LAUNCH_H
#define TMBPF_TRACE_TRACER_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

struct error;
struct launch;

/* Forks a child that waits to become ARGV. Fails with ERROR_FAILED if it cannot be watched. */
struct error *launch_create(char **argv, struct launch **ret);
/* Stops watching; a child that is held goes on. NULL is accepted. */
void launch_destroy(struct launch *launch);

pid_t launch_pid(const struct launch *launch);

/*
 * Lets the child go on to the entry point of its next program: true. False: it ended first, and
 * RET_STATUS is what waitpid() gave; 127 << 8 if ARGV could not be executed.
 */
struct error *launch_next(struct launch *launch, bool *ret, int *ret_status);

#endif
