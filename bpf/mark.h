/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Marks the block that holds a code object, so that its end is noticed. */
#ifndef TMBPF_MARK_H
#define TMBPF_MARK_H

#include "kernel.h"
#include "pool.h"
#include "shadow.h"
#include "shared/block.h"
#include "state.h"

/* The entry of a block of which only its code object is known. */
#define ENTRY_CODE_ALONE ENTRY_MAKE(TMBPF_SIZE_MAX + 1, TMBPF_STACK_NONE)

/*
 * A block that was not traced has a code object. Where frees are probed, its free tells. Where they
 * are not, the next block at its address does.
 */
static __always_inline void code_mark_untraced(__u64 address)
{
	struct pool_header pool;
	__u32 *entry, bytes;

	if (!pool_class(&pool, address, &bytes))
		return;
	entry = shadow_entry(address, true);
	if (entry)
		compare_exchange(entry, 0, ENTRY_CODE_ALONE);
}

__noinline int code_mark(__u64 code)
{
	__u64 address = code - cfg.hook_delta;
	__u32 *entry = shadow_entry(address, false), old, coded, marked;
	struct tmbpf_raw_block *block;

	if (entry && *entry) {
		old = *entry;
		coded = ENTRY_SIZE_CODED(old);
		if (coded <= TMBPF_CODE_BASE || coded > TMBPF_SIZE_MAX)
			return 0;
		marked = ENTRY_MAKE(coded - TMBPF_CODE_BASE + TMBPF_SIZE_MAX, ENTRY_STACK(old));
		if (compare_exchange(entry, old, marked) != old)
			/* User space has just begun or ended to suspect it. */
			compare_exchange(entry, old ^ TMBPF_SUSPECT, marked);
		return 0;
	}
	block = bpf_map_lookup_elem(&raw_blocks, &address);
	if (block)
		block->code = 1;
	else if (cfg.mode == TMBPF_MODE_LAZY)
		code_mark_untraced(address);
	return 0;
}

#endif
