/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A seccomp filter around a process that reads what somebody else's process holds. If what it reads
 * could make it do something, it still could not execute a program, write into another process's
 * memory, load a BPF program or a module, mount, change who it is, or open a network connection.
 *
 * A call that is not allowed fails as if this kernel did not have it (ENOSYS), is counted and can
 * be named. It does not end the process: on a machine whose libc makes a system call that we have
 * not seen, a session of days would end with it.
 */
#ifndef TMBPF_SANDBOX_CONFINE_H
#define TMBPF_SANDBOX_CONFINE_H

#include <stdint.h>

struct error;

enum confine {
	CONFINE_SESSION, /* probes are on: reads, answers, attaches again what is loaded */
	CONFINE_WATCHER, /* the same, and forks processes that begin sessions of their own */
};

/*
 * Confines this process, its one thread, and those that it forks, for good. A second call only
 * takes away more.
 */
struct error *confine(enum confine kind);

/* How many calls were refused in this process, and the name of the last one; "" there was none. */
uint64_t confine_refused(const char **ret_name);

#endif
