/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The ends of code objects that stacks refer to, and the generations of their addresses; see
 * intern.h.
 */
#ifndef TMBPF_CODE_H
#define TMBPF_CODE_H

#include "kernel.h"
#include "shared/record.h"
#include "shared/stack.h"
#include "state.h"

/*
 * Raised when a code object dies, so that the next one at its address is told from it. Places:
 * tmbpf_generation_place().
 */
__u32 generations[TMBPF_GENERATIONS];

static __always_inline __u32 *generation_of(__u64 code)
{
	return &generations[tmbpf_generation_place(code)];
}

/* Tells user space that the code object ID, which was at CODE, is gone. */
static __always_inline void code_end_announce(__u64 code, __u32 id)
{
	struct tmbpf_record_code_end record = {
		.record = {TMBPF_RECORD_CODE_END, sizeof(record)},
		.address = code,
		.id = id,
	};

	/* If the ring is full, user space misses one end, and keeps what it knows of it. */
	if (bpf_ringbuf_output(&ring, &record, sizeof(record), ring_flags()))
		add(&state.missed_code_ends, 1);
}

/* The block at CODE is being freed: a code object that stacks refer to ends, if one is there. */
__noinline int code_end(__u64 code)
{
	__u32 *known = bpf_map_lookup_elem(&codes, &code), id;

	if (!known)
		return 0;
	id = *known;
	bpf_map_delete_elem(&codes, &code);
	add(generation_of(code), 1);
	add(&state.epoch, 1);
	code_end_announce(code, id);
	return 0;
}

#endif
