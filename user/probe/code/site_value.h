/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How an instruction's registers give a value: what a probe there is to read. */
#ifndef TMBPF_PROBE_CODE_SITE_VALUE_H
#define TMBPF_PROBE_CODE_SITE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * (has_base ? R[base] << shift : 0) + displacement; where DEREFERENCE, the 8 bytes at that address
 * instead.
 */
struct site_value {
	bool has_base, dereference;
	/*
	 * Hardware number: 0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, 5 rbp, 6 rsi, 7 rdi, 8 to 15 r8 to
	 * r15.
	 */
	uint8_t base;
	uint8_t shift; /* 0 to 3 */
	int64_t displacement;
};

#endif
