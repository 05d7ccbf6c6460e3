/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a child has from its parent by fork: how many events were before that. */
#ifndef TMBPF_FORK_H
#define TMBPF_FORK_H

#include "shared/block.h"
#include "shared/loss.h"
#include "state.h"

/*
 * The child's memory was copied just before, and who forks holds the GIL: what the tables say of
 * arenas' blocks now is what the child has. Without the GIL another thread may have taken or freed a
 * block of the raw domain in between.
 */
static __always_inline void fork_note(__u32 child)
{
	struct tmbpf_fork note = {0};
	int i;

	if (!state.window || cfg.births)
		return;
	for (i = 0; i <= TMBPF_EVENT_RAW_FREE; i++)
		note.events += state.events[i];
	note.events += state.events[TMBPF_EVENT_REUSE];
	bpf_map_update_elem(&forked, &child, &note, BPF_ANY);
}

#endif
