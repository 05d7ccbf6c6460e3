/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads of the target's memory. */
#ifndef TMBPF_READ_H
#define TMBPF_READ_H

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

static __always_inline bool read_user(void *ret, __u32 size, __u64 address)
{
	return bpf_probe_read_user(ret, size, (const void *)address) == 0;
}

static __always_inline bool read_word(__u64 address, __u64 *ret)
{
	return read_user(ret, sizeof(*ret), address);
}

#endif
