/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Starts a command and holds it at the entry point of each program that it becomes by exec (a shell script's
 * interpreter, env, the python at last), until the caller has seen the one it waits for. Only a child of
 * our own is ever stopped.
 */
#ifndef TMBPF_TRACE_TRACER_LAUNCH_H
#define TMBPF_TRACE_TRACER_LAUNCH_H

#include <stdbool.h>
#include <sys/types.h>

struct error;
struct launch;

/* Forks; the child waits to become ARGV. ERROR_FAILED if it cannot be watched. */
struct error *launch_create(char **argv, struct launch **ret);
/* Ends the watching; a child that is held goes on. Accepts NULL. */
void launch_destroy(struct launch *launch);

pid_t launch_pid(const struct launch *launch);

/*
 * Lets the child go on until it is at the entry point of the next program: true in RET. False: it has ended
 * first, RET_STATUS is as waitpid() gives it; 127 << 8 if ARGV could not be executed.
 */
struct error *launch_next(struct launch *launch, bool *ret, int *ret_status);

#endif
