/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* malloc's heaps, where it is one that can be walked. */
#ifndef TMBPF_PYTHON_MALLOC_H
#define TMBPF_PYTHON_MALLOC_H

#include <stddef.h>

#include "target/malloc/glibc.h"

struct error;
struct python;

/*
 * glibc_create() for PYTHON. Where its malloc is not glibc's there is nothing to walk, and
 * glibc_absent() says so. What glibc's malloc holds all the same, for callers by another name, is
 * not looked at.
 */
struct error *python_glibc_create(const struct python *python, const struct glibc_range *excluded,
				  size_t count, struct glibc **ret);

#endif
