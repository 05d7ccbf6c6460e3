// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Numbers for what is used of a table, in the order of use. */
#include "format/numbering.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>

struct error *numbering_init(struct numbering *numbering, size_t limit)
{
	*numbering = (struct numbering){
		.order = calloc(limit + 1, sizeof(*numbering->order)),
		.numbers = calloc(limit + 1, sizeof(*numbering->numbers)),
	};
	if (!numbering->order || !numbering->numbers) {
		numbering_deinit(numbering);
		return error_create_errno(ERROR_FAILED, ENOMEM, "%zu numbers", limit);
	}
	for (size_t i = 0; i < limit; i++)
		numbering->numbers[i] = NUMBERING_NONE;
	return NULL;
}

void numbering_deinit(struct numbering *numbering)
{
	free(numbering->order);
	free(numbering->numbers);
	*numbering = (struct numbering){0};
}
