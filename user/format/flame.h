/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stacks merged into a tree, as a flame graph shows them. It is bounded: the largest nodes are
 * kept, and what is left of a node's children is summed in one that says how many they were.
 */
#ifndef TMBPF_FORMAT_FLAME_H
#define TMBPF_FORMAT_FLAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct stacks;

#define FLAME_NODE_MAX  20000 /* frames kept */
#define FLAME_DEPTH_MAX 400   /* a tree is walked recursively by those who draw it */

enum flame_kind {
	FLAME_FRAME,
	FLAME_ROOT,
	FLAME_CUT,     /* stands for frames that were there, but not kept: total_nframe > nframe */
	FLAME_SMALLER, /* stands for SMALLER nodes and all below them */
};

/* Sums of what a node holds by itself; of FLAME_SMALLER, with all that it stands for. */
struct flame_node {
	enum flame_kind kind;
	uint32_t parent; /* index, less than the node's own; the root's is 0 */
	uint32_t frame;  /* index, of FLAME_FRAME */
	uint32_t smaller;
	uint64_t size, count, old_size, old_count;
};

struct flame {
	struct flame_node *nodes; /* the first is the root */
	size_t count;
	size_t smaller, deeper; /* how many nodes were summed, for their size and their depth */
};

/*
 * The root's children are the outermost frames, or, if LEAF_FIRST, the most recent ones. A node's
 * weight is the larger of its size and its old one. Fails without memory.
 */
struct error *flame_init(struct flame *flame, const struct stacks *stacks, bool leaf_first);
/* All zero is accepted. */
void flame_deinit(struct flame *flame);

static inline void flame_cleanup(struct flame *flame)
{
	flame_deinit(flame);
}

#endif
