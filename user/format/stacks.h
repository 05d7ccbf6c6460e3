/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What each traceback holds, over all domains; of two snapshots, side by side. */
#ifndef TMBPF_FORMAT_STACKS_H
#define TMBPF_FORMAT_STACKS_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct snapshot;
struct tables;

struct stack {
	uint32_t traceback;           /* index */
	uint64_t size, count;         /* held now */
	uint64_t old_size, old_count; /* held in the older snapshot */
};

struct stacks {
	const struct tables *tables;
	struct stack *items; /* those that hold anything, by index of traceback */
	size_t count;
};

/*
 * BASE, the older one, is on the same tables, or NULL. The result refers to the tables of SNAPSHOT.
 * Fails without memory.
 */
struct error *stacks_init(struct stacks *stacks, const struct snapshot *snapshot,
			  const struct snapshot *base);
/* All zero is accepted. */
void stacks_deinit(struct stacks *stacks);

static inline void stacks_cleanup(struct stacks *stacks)
{
	stacks_deinit(stacks);
}

#endif
