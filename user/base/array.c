// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Growth of arrays. */
#include "base/array.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct error *array_reserve(void *array, size_t *capacity, size_t count, size_t more, size_t size)
{
	size_t needed, wanted;
	void *elements;

	if (__builtin_add_overflow(count, more, &needed))
		return error_create_errno(ERROR_FAILED, ENOMEM, "an array of %zu and %zu elements",
					  count, more);
	if (needed <= *capacity)
		return NULL;
	wanted = *capacity < needed - *capacity ? needed : *capacity * 2;
	if (wanted < 16)
		wanted = 16;
	memcpy(&elements, array, sizeof(elements));
	elements = reallocarray(elements, wanted, size);
	if (!elements)
		return error_create_errno(ERROR_FAILED, ENOMEM,
					  "an array of %zu elements of %zu bytes", wanted, size);
	memcpy(array, &elements, sizeof(elements));
	*capacity = wanted;
	return NULL;
}
