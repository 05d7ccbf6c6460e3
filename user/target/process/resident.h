/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What of a process' memory takes room that is its own: anonymous pages that are there. */
#ifndef TMBPF_TARGET_PROCESS_RESIDENT_H
#define TMBPF_TARGET_PROCESS_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct process;
struct resident;

/* Fails as pagemap_open(). */
struct error *resident_create(const struct process *process, struct resident **ret);
/* NULL is accepted. */
void resident_destroy(struct resident *resident);

/* Bytes from START up to END that lie in such pages; 0 where that is not told. */
uint64_t resident_bytes(struct resident *resident, uint64_t start, uint64_t end);
/* Whether ADDRESS lies in such a page; false where that is not told. */
bool resident_page(struct resident *resident, uint64_t address);
/*
 * Bytes that became resident with the page at ADDRESS. Before Linux 6.7 the kernel does not say;
 * then it is a small page.
 */
uint64_t resident_page_size(struct resident *resident, uint64_t address);

#endif
