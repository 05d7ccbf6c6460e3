/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which of a process' allocators have heaps that `heap` does not read. */
#ifndef TMBPF_COMMAND_HEAP_UNREAD_H
#define TMBPF_COMMAND_HEAP_UNREAD_H

#include <sys/types.h>

struct error;
struct python;

struct heap_unread {
	/* Names of those whose blocks are not counted: "mimalloc, libjemalloc.so.2"; "" none */
	char names[256];
	char objects[128]; /* the one of them that objects come from; "" none */
	/* Those that may have a heap of their own, or why they cannot be told; "" none */
	char unknown[256];
};

void heap_unread_look(const struct python *python, struct heap_unread *ret);

/*
 * Why what was found of process PID is no answer: its objects come from OBJECTS, so that none of
 * them was seen. NULL where that is "".
 */
struct error *heap_unread_error(pid_t pid, const char *objects);

#endif
