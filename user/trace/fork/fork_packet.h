/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a forked child inherits: its parent's live blocks with their tracebacks, as the child's
 * memory has a copy of tracemalloc's tables too. The parent's session packs what it knows. The
 * child's session unpacks it, and keeps the blocks that the child's own heap still has.
 */
#ifndef TMBPF_TRACE_FORK_FORK_PACKET_H
#define TMBPF_TRACE_FORK_FORK_PACKET_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tmbpf.h"

struct error;
struct symbols;
struct tracer;

/* Larger blocks are left out. */
#define FORK_PACKET_SIZE_MAX ((1ull << 40) - 1)

struct fork_packet_block {
	uint64_t address;
	uint64_t size : 40, stack : 24; /* STACK: a place in `stacks` */
};

struct fork_packet_frame {
	uint32_t filename, name; /* offsets in `text` */
	uint32_t lineno, firstlineno;
};

struct fork_packet_stack {
	uint64_t first; /* its first frame, the most recent one */
	uint32_t nframe, total_nframe;
};

struct fork_packet {
	struct fork_packet_block *pools; /* pymalloc's blocks, by address */
	struct fork_packet_block *raw;   /* the raw domain's, by address */
	struct fork_packet_stack *stacks;
	struct fork_packet_frame *frames;
	char *text;
	size_t pool_count, raw_count, stack_count, frame_count, text_size;
	size_t pool_capacity, raw_capacity, stack_capacity, frame_capacity, text_capacity;
	void *packed; /* not NULL: all of the above lies in there */
};

void fork_packet_deinit(struct fork_packet *packet);

/*
 * Collects what TRACER's target holds, with the tracebacks that SYMBOLS knows. Calls REST now and
 * then, and once after all blocks were read: it is to take in what the BPF programs have announced.
 */
struct error *fork_packet_collect(struct tracer *tracer, struct symbols *symbols,
				  void (*rest)(void *context), void *context,
				  struct fork_packet *ret);

/*
 * Packs a collected packet into one malloc'd piece. PACKET is empty afterwards: of millions
 * of blocks there are never two copies.
 */
struct error *fork_packet_pack(struct fork_packet *packet, void **ret, size_t *ret_size);
/* Takes PACKED over. Refuses what is inconsistent. */
struct error *fork_packet_unpack(void *packed, size_t size, struct fork_packet *ret);

#endif
