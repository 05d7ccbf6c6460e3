/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the sites*.c files share: sites_hooks.c reads the allocator tables, sites.c collects the
 * sites, sites_read.c hands them out.
 */
#ifndef TMBPF_TRACE_ATTACH_SITES_INTERNAL_H
#define TMBPF_TRACE_ATTACH_SITES_INTERNAL_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tmbpf.h"
#include "trace/attach/sites.h"

struct module { /* that was looked at */
	dev_t device;
	ino_t inode;
};

struct group {
	int fd;        /* the file, by the very inode that is mapped */
	char path[40]; /* /proc/self/fd/FD */
	bool tails;
	size_t first, count;
};

struct sites {
	struct tmbpf_site *records; /* index: the cookie */
	uint64_t *offsets, *cookies;
	uint64_t *addresses; /* in the process */
	size_t count, capacity;
	struct group *groups;
	size_t group_count;
	size_t own_groups; /* of the interpreter's file */
	struct module *modules;
	size_t module_count, module_capacity;
	bool want_returns, pymalloc, lazy_free;
	uint64_t raw_word, raw_installed,
		raw_malloc; /* the raw table's malloc: where, what, its own */
	enum sites_hooks hooks;
};

/* Sets what SITES says of allocators from what the tables of the process name: see sites_hooks.c. */
struct error *sites_hooks_find(struct sites *sites, const struct python *python,
			       const struct plan *plan, struct python_allocator tables[3]);

#endif
