/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an interpreter's three domains allocate by at this moment, behind the hooks that may stand
 * before it, without a plan.
 */
#ifndef TMBPF_PROBE_DOMAINS_H
#define TMBPF_PROBE_DOMAINS_H

#include "python/allocators.h"

struct error;
struct python;

enum domain { DOMAIN_RAW, DOMAIN_MEM, DOMAIN_OBJ, DOMAINS };

struct domain_allocator {
	/* PYMALLOC, MALLOC, MIMALLOC; OTHER: nobody knows whether it has a heap of its own */
	enum python_allocator_kind kind;
	char source[PYTHON_ALLOCATOR_SOURCE]; /* of OTHER, as python_allocator_source() says */
};

/*
 * Up to 3.11 it is not told which table is whose: mem and obj are alike, and what any of their
 * tables leads to counts, OTHER before malloc before pymalloc. Fails where the tables cannot be
 * told from other data in the interpreter's file.
 */
struct error *domains_read(const struct python *python, struct domain_allocator ret[DOMAINS]);

#endif
