/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which of its parent's blocks a forked child still has: its own pools and malloc's chunks say. A
 * block at the same address may be another one by now, which the child took when the first was
 * freed. That shows where it is of another size, or another type's object; else what it holds
 * differs from what the parent has there, as it also does where the child has only written to it.
 */
#ifndef TMBPF_TRACE_FORK_FORK_LIVENESS_H
#define TMBPF_TRACE_FORK_FORK_LIVENESS_H

#include <stddef.h>
#include <stdint.h>

struct error;
struct fork_packet_block;
struct process;
struct python;

enum fork_liveness_state {
	FORK_LIVENESS_UNKNOWN, /* a pool that changed whenever it was read, a malloc that is not glibc's */
	FORK_LIVENESS_GONE,
	FORK_LIVENESS_LIVE,
	FORK_LIVENESS_CHANGED, /* something lives there, and it is not what the parent has */
};

struct fork_liveness {
	const struct python *python; /* the child's */
	struct process *parent;      /* NULL: what the blocks hold is not compared */
	uint32_t hook_extra;         /* bytes that debug hooks add to a request */
};

/*
 * The state of each of COUNT blocks of pymalloc's, or of malloc's, in ascending order, to RET (enum
 * fork_liveness_state). Fails if the child has gone.
 */
struct error *fork_liveness_pools(const struct fork_liveness *liveness,
				  const struct fork_packet_block *blocks, size_t count,
				  uint8_t *ret);
struct error *fork_liveness_chunks(const struct fork_liveness *liveness,
				   const struct fork_packet_block *blocks, size_t count,
				   uint8_t *ret);

#endif
