/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Arrays that grow: a pointer, how many elements are in use, and how many fit. */
#ifndef TMBPF_BASE_ARRAY_H
#define TMBPF_BASE_ARRAY_H

#include <stddef.h>

struct error;

/*
 * Makes room for MORE further elements of SIZE bytes behind the COUNT in use. *ARRAY is a pointer
 * to the elements, or NULL; *CAPACITY how many it holds. Growth doubles. Fails without memory,
 * and the array is then as it was.
 */
struct error *array_reserve(void *array, size_t *capacity, size_t count, size_t more, size_t size);

#endif
