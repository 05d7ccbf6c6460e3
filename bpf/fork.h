/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Notes of each forked child how many events there were before it. */
#ifndef TMBPF_FORK_H
#define TMBPF_FORK_H

#include "shared/block.h"
#include "shared/loss.h"
#include "state.h"

/*
 * The child's memory was copied just before. The forking thread holds the GIL, so what the tables
 * say of arenas' blocks now is what the child has. Another thread may have allocated or freed a
 * block of the raw domain in between, for which it does not need the GIL.
 */
static __always_inline void fork_note(__u32 child)
{
	struct tmbpf_fork note;

	if (!state.tracing || cfg.mode == TMBPF_MODE_SAMPLED)
		return;
	note.events = tmbpf_block_events(state.events);
	bpf_map_update_elem(&forked, &child, &note, BPF_ANY);
}

#endif
