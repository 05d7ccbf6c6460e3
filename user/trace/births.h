/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a window has listed: births, by their address. */
#ifndef TMBPF_TRACE_BIRTHS_H
#define TMBPF_TRACE_BIRTHS_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct tmbpf_birth;

/* Pointers to the COUNT of BIRTHS by address, of one address in their order; malloc'd. */
struct error *births_order(const struct tmbpf_birth *births, size_t count,
			   const struct tmbpf_birth ***ret);
/* Keeps the last birth at each address of those ordered; how many there are. */
size_t births_unique(const struct tmbpf_birth **births, size_t count);
/* One of those at ADDRESS, NULL if there is none. */
const struct tmbpf_birth *births_find(const struct tmbpf_birth *const *births, size_t count,
				      uint64_t address);

#endif
