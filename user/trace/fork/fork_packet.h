/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a forked child inherits: its parent's live blocks with their tracebacks, as tracemalloc's
 * tables are in the child's memory as well. The parent's session packs what it knows, the child's
 * unpacks it and keeps what by the child's own heap is still there.
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

/* A block that is larger is left out. */
#define FORK_PACKET_SIZE_MAX ((1ull << 40) - 1)

struct fork_packet_block {
	uint64_t address;
	uint64_t size : 40, stack : 24; /* STACK: a place in `stacks` */
};

struct fork_packet_frame {
	uint32_t filename, name; /* where they begin in `text` */
	uint32_t lineno, firstlineno;
};

struct fork_packet_stack {
	uint64_t first; /* of its frames, most recent first */
	uint32_t nframe, total_nframe;
};

struct fork_packet {
	struct fork_packet_block *pools; /* pymalloc's blocks, by address */
	struct fork_packet_block *large; /* the raw domain's, by address */
	struct fork_packet_stack *stacks;
	struct fork_packet_frame *frames;
	char *text;
	size_t pool_count, large_count, stack_count, frame_count, text_size;
	size_t pool_capacity, large_capacity, stack_capacity, frame_capacity, text_capacity;
	void *packed; /* not NULL: all that is in there */
};

void fork_packet_deinit(struct fork_packet *packet);

/*
 * What TRACER's target holds, by SYMBOLS. REST is called now and then and once all blocks have been
 * read: what the programs have announced is to be taken in.
 */
struct error *fork_packet_receive(struct tracer *tracer, struct symbols *symbols,
				  void (*rest)(void *context), void *context,
				  struct fork_packet *ret);

/*
 * One piece of bytes, malloc'd. INHERITANCE, one that was taken, is empty afterwards: of millions of blocks there are not
 * two copies.
 */
struct error *fork_packet_pack(struct fork_packet *packet, void **ret, size_t *ret_size);
/* PACKED is taken over. Refuses what does not hold together. */
struct error *fork_packet_unpack(void *packed, size_t size, struct fork_packet *ret);

#endif
