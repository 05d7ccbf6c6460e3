/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* pymalloc's pools and arenas (Objects/obmalloc.c), as they stand in the target's memory. */
#ifndef TMBPF_POOL_H
#define TMBPF_POOL_H

#include "read.h"
#include "shared/block.h"
#include "shared/config.h"
#include "state.h"
#include "thread.h"

struct pool_header {
	__u32 count, padding;
	__u64 freeblock, nextpool, prevpool;
	__u32 arenaindex, szidx, nextoffset, maxnextoffset;
};

struct arena_object {
	__u64 address, pool_address;
	__u32 nfreepools, ntotalpools;
	__u64 freepools;
};

_Static_assert(sizeof(struct pool_header) == 48, "pool header");

/* Room to read one into, as there is little on the stack. No walk goes on meanwhile. */
static __always_inline struct pool_header *pool_room(struct thread *thread)
{
	return (struct pool_header *)thread->buffer;
}

/*
 * Whether ADDRESS, of which nothing is known, lies in one of pymalloc's blocks, of what class, and
 * how far into it. Its pool's header tells, if its words agree with one another and with the
 * address.
 */
static __always_inline bool pool_block(struct pool_header *pool, __u64 address, __u32 *ret_bytes,
				       __u32 *ret_inside)
{
	__u64 start = address & ~(__u64)(cfg.pool_size - 1);
	__u32 bytes, distance = address - start, inside;

	if (cfg.heap_kind == TMBPF_HEAP_NONE || !read_user(pool, sizeof(*pool), start))
		return false;
	bytes = (pool->szidx + 1) << cfg.granule_shift;
	if (pool->szidx >= TMBPF_SIZE_MAX >> cfg.granule_shift ||
	    pool->maxnextoffset != cfg.pool_size - bytes || distance < sizeof(*pool) ||
	    !pool->count || pool->count > cfg.pool_size / bytes)
		return false;
	inside = (distance - sizeof(*pool)) % bytes;
	if (distance - inside > pool->maxnextoffset)
		return false;
	*ret_bytes = bytes;
	*ret_inside = inside;
	return true;
}

/* Whether ADDRESS is where one of pymalloc's blocks begins, and of what class. */
static __always_inline bool pool_class(struct pool_header *pool, __u64 address, __u32 *ret_bytes)
{
	__u32 inside;

	return pool_block(pool, address, ret_bytes, &inside) && !inside;
}

#endif
