/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sizes that callers ask for. */
#ifndef TMBPF_SIZE_H
#define TMBPF_SIZE_H

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

static __always_inline __u64 saturated_product(__u64 a, __u64 b)
{
	__u64 most = a ? ~0ULL / a : ~0ULL;

	/* Kept apart, or clang makes a 128-bit product of it, which BPF has not. */
	asm volatile("" : "+r"(most));
	return b > most ? ~0ULL : a * b; /* a call that overflows fails */
}

#endif
