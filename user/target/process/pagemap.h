/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel says of a process' pages: /proc/PID/pagemap
 * (Documentation/admin-guide/mm/pagemap.rst).
 */
#ifndef TMBPF_TARGET_PROCESS_PAGEMAP_H
#define TMBPF_TARGET_PROCESS_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct process;

/* Every x86 has these. */
#define PAGEMAP_PAGE 4096ULL

/* Bits of an entry. */
#define PAGEMAP_PRESENT        (1ULL << 63)
#define PAGEMAP_SWAPPED        (1ULL << 62)
#define PAGEMAP_FILE_OR_SHARED (1ULL << 61)

/*
 * A descriptor, the caller's to close. Fails where the kernel does not tell, or as process_check()
 * does.
 */
struct error *pagemap_open(const struct process *process, int *ret);

/*
 * Reads the entries of COUNT pages from ADDRESS on. How many there are is returned: none of a
 * process that ended.
 */
size_t pagemap_read(int pagemap, uint64_t address, size_t count, uint64_t *ret);

/* Whether an entry is of a page that is there, and the process' own. */
static inline bool pagemap_anonymous(uint64_t entry)
{
	return (entry & PAGEMAP_PRESENT) && !(entry & PAGEMAP_FILE_OR_SHARED);
}

#endif
