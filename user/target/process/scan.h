/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * PAGEMAP_SCAN on /proc/PID/pagemap: include/uapi/linux/fs.h of Linux 6.7. The headers we build
 * with may be older. Kernels before that answer ENOTTY.
 */
#ifndef TMBPF_TARGET_PROCESS_SCAN_H
#define TMBPF_TARGET_PROCESS_SCAN_H

#include <linux/ioctl.h>
#include <stdint.h>

#define SCAN_IS_FILE    (1 << 2) /* or shared memory */
#define SCAN_IS_PRESENT (1 << 3)
#define SCAN_IS_HUGE    (1 << 6)

struct scan_region {
	uint64_t start, end, categories;
};

struct scan_arguments {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define SCAN _IOWR('f', 16, struct scan_arguments)

#endif
