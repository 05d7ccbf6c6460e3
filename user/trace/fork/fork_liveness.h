/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which of its parent's blocks a forked child still has, by its own pools and malloc's chunks.
 *
 * The child may have freed a block and have taken another one at the same address. That shows if
 * the sizes or the types of the objects differ. If they are the same, only the contents differ from
 * what the parent has there; but so they do if the child has just written to the block.
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
	FORK_LIVENESS_UNKNOWN, /* the pool changed whenever it was read, or malloc is not glibc's */
	FORK_LIVENESS_GONE,
	FORK_LIVENESS_LIVE,
	FORK_LIVENESS_CHANGED, /* something lives there, and its contents are not the parent's */
};

struct fork_liveness {
	const struct python *python; /* the child's */
	struct process *parent;      /* NULL: contents are not compared */
	uint32_t hook_extra;         /* bytes that debug hooks add to a request */
};

/*
 * Writes the state of each of COUNT blocks (enum fork_liveness_state) to RET: of blocks of
 * pymalloc's, or of malloc's. They are in ascending order. Fails if the child has gone.
 */
struct error *fork_liveness_pools(const struct fork_liveness *liveness,
				  const struct fork_packet_block *blocks, size_t count,
				  uint8_t *ret);
struct error *fork_liveness_chunks(const struct fork_liveness *liveness,
				   const struct fork_packet_block *blocks, size_t count,
				   uint8_t *ret);

#endif
