/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the sites*.c files share. sites_hooks.c reads the allocator tables, sites.c collects the
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

struct module { /* one that was looked at */
	dev_t device;
	ino_t inode;
};

struct group {
	int fd;        /* the file, by the inode that is mapped */
	char path[40]; /* /proc/self/fd/FD */
	bool tails;
	size_t first, count;
};

struct sites {
	struct tmbpf_site *records; /* by cookie */
	uint64_t *offsets, *cookies;
	uint64_t *addresses; /* in the process */
	size_t count, capacity;
	struct group *groups;
	size_t group_count;
	size_t own_groups; /* those of the interpreter's file */
	struct module *modules;
	size_t module_count, module_capacity;
	bool want_returns, pymalloc, lazy_free;
	/* The raw table's malloc word: its address, its value, and the raw domain's own malloc. */
	uint64_t raw_word, raw_installed, raw_malloc;
	enum sites_hooks hooks;
};

/*
 * Reads the allocator tables of the process, and sets what SITES says of them. TABLES are a copy.
 */
struct error *sites_hooks_find(struct sites *sites, const struct python *python,
			       const struct plan *plan, struct python_allocator tables[3]);

/* Fails where hooks of this interpreter cannot be told from what they trace. */
struct error *sites_hooks_check(const struct sites *sites, const struct python *python);

#endif
