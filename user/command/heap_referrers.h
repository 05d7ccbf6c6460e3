/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* `tmbpf heap --referrers`: who refers to the objects of a type, or to one object. */
#ifndef TMBPF_COMMAND_HEAP_REFERRERS_H
#define TMBPF_COMMAND_HEAP_REFERRERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

struct heap_referrers {
	pid_t pid;
	const char *of;  /* "module.qualname", or an address: 0x... */
	uint64_t levels; /* 1 to 8 */
	uint64_t limit;  /* groups that are shown below one */
	bool json;
};

/* Finds and prints them. ERROR_NOTHING if there is no such object. */
struct error *heap_referrers_print(const struct heap_referrers *asked);

#endif
