// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What each traceback holds, over all domains. */
#include "format/stacks.h"
#include "base/error.h"
#include "snapshot/snapshot.h"
#include "snapshot/tables.h"
#include <errno.h>
#include <stdlib.h>

struct error *stacks_init(struct stacks *stacks, const struct snapshot *snapshot,
			  const struct snapshot *base)
{
	const struct tables *tables = snapshot->tables;
	struct stack *items;
	size_t used = 0;

	if (base && base->tables != tables)
		return error_create(ERROR_FAILED, "the older snapshot is on tables of its own");
	items = calloc(tables->traceback_count + 1, sizeof(*items));
	if (!items)
		return error_create_errno(ERROR_FAILED, ENOMEM, "%zu tracebacks",
					  tables->traceback_count);
	for (size_t i = 0; i < snapshot->trace_count; i++) {
		const struct trace *trace = &snapshot->traces[i];

		items[trace->traceback].size += trace->size;
		items[trace->traceback].count += trace->count;
	}
	for (size_t i = 0; base && i < base->trace_count; i++) {
		const struct trace *trace = &base->traces[i];

		items[trace->traceback].old_size += trace->size;
		items[trace->traceback].old_count += trace->count;
	}
	for (size_t i = 0; i < tables->traceback_count; i++) {
		if (!items[i].size && !items[i].count && !items[i].old_size && !items[i].old_count)
			continue;
		items[used] = items[i];
		items[used++].traceback = (uint32_t)i;
	}
	*stacks = (struct stacks){.tables = tables, .items = items, .count = used};
	return NULL;
}

void stacks_deinit(struct stacks *stacks)
{
	free(stacks->items);
	*stacks = (struct stacks){0};
}
