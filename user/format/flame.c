// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Stacks merged into a bounded tree. */
#include "format/flame.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "format/stacks.h"
#include "snapshot/tables.h"
#include <errno.h>
#include <stdlib.h>

/*
 * The stacks are sorted, so that a node is a range of them: those that begin alike. The largest
 * range is taken, made a node, and split into its children's ranges, beginning with the root's,
 * until there are enough nodes. So what is looked at is bounded by what is kept, and not by all
 * stacks' frames.
 */

#define NO_NODE UINT32_MAX

struct range {
	uint32_t first, end; /* of the sorted stacks */
	uint32_t depth;      /* frames that they have in common */
	uint32_t parent;
	uint64_t weight;
};

struct builder {
	const struct stacks *stacks;
	bool leaf_first;
	struct stack *sorted;
	struct stack *sums; /* of the stacks before the one of that index */
	struct range *heap; /* the heaviest first */
	size_t heap_count, heap_capacity;
	struct flame_node *nodes;
	size_t node_count, node_capacity;
	uint32_t *smaller; /* of each node that was kept, the one for its other children */
	size_t smaller_capacity;
	size_t folded, deeper;
};

static void builder_cleanup(struct builder *builder)
{
	free(builder->sorted);
	free(builder->sums);
	free(builder->heap);
	free(builder->nodes);
	free(builder->smaller);
}

static bool traceback_cut(const struct traceback *traceback)
{
	return traceback->total_nframe > traceback->nframe;
}

static uint32_t stack_depth(const struct builder *builder, const struct stack *stack)
{
	const struct traceback *traceback = &builder->stacks->tables->tracebacks[stack->traceback];

	return traceback->nframe + traceback_cut(traceback);
}

/* What is at DEPTH: the index of a frame, or UINT32_MAX for those that were cut off. */
static uint32_t stack_frame(const struct builder *builder, const struct stack *stack,
			    uint32_t depth)
{
	const struct tables *tables = builder->stacks->tables;
	const struct traceback *traceback = &tables->tracebacks[stack->traceback];
	/* The most recent frame is 0, as in the tables. */
	uint32_t place = builder->leaf_first ? depth : stack_depth(builder, stack) - 1 - depth;

	return place < traceback->nframe ? tables->traceback_frames[traceback->first + place]
					 : UINT32_MAX;
}

static int stack_compare(const void *left, const void *right, void *context)
{
	const struct builder *builder = context;
	uint32_t left_depth = stack_depth(builder, left);
	uint32_t right_depth = stack_depth(builder, right);

	for (uint32_t i = 0; i < left_depth && i < right_depth; i++) {
		uint32_t a = stack_frame(builder, left, i);
		uint32_t b = stack_frame(builder, right, i);

		if (a != b)
			return a < b ? -1 : 1;
	}
	return left_depth < right_depth ? -1 : left_depth > right_depth;
}

static struct error *builder_sort(struct builder *builder)
{
	size_t count = builder->stacks->count;

	builder->sorted = calloc(count + 1, sizeof(*builder->sorted));
	builder->sums = calloc(count + 1, sizeof(*builder->sums));
	if (!builder->sorted || !builder->sums)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a tree of %zu stacks", count);
	for (size_t i = 0; i < count; i++)
		builder->sorted[i] = builder->stacks->items[i];
	qsort_r(builder->sorted, count, sizeof(*builder->sorted), stack_compare, builder);
	for (size_t i = 0; i < count; i++) {
		const struct stack *stack = &builder->sorted[i];

		builder->sums[i + 1] = (struct stack){
			.size = builder->sums[i].size + stack->size,
			.count = builder->sums[i].count + stack->count,
			.old_size = builder->sums[i].old_size + stack->old_size,
			.old_count = builder->sums[i].old_count + stack->old_count,
		};
	}
	return NULL;
}

static void node_add(const struct builder *builder, struct flame_node *node, uint32_t first,
		     uint32_t end)
{
	const struct stack *from = &builder->sums[first], *to = &builder->sums[end];

	node->size += to->size - from->size;
	node->count += to->count - from->count;
	node->old_size += to->old_size - from->old_size;
	node->old_count += to->old_count - from->old_count;
}

static uint64_t range_weight(const struct builder *builder, uint32_t first, uint32_t end)
{
	struct flame_node sum = {0};

	node_add(builder, &sum, first, end);
	return sum.size > sum.old_size ? sum.size : sum.old_size;
}

/* Equal ones in the order of the stacks, so that a tree depends on these alone. */
static bool range_before(const struct range *a, const struct range *b)
{
	return a->weight != b->weight ? a->weight > b->weight : a->first < b->first;
}

static struct error *heap_push(struct builder *builder, const struct range *range)
{
	struct range *heap;
	size_t i = builder->heap_count;

	try(array_reserve(&builder->heap, &builder->heap_capacity, i, 1, sizeof(*range)));
	heap = builder->heap;
	builder->heap_count++;
	for (; i > 0 && range_before(range, &heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = *range;
	return NULL;
}

/* Not from an empty one. */
static struct range heap_pop(struct builder *builder)
{
	struct range *heap = builder->heap;
	struct range top = heap[0], last = heap[--builder->heap_count];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < builder->heap_count) {
		if (child + 1 < builder->heap_count && range_before(&heap[child + 1], &heap[child]))
			child++;
		if (!range_before(&heap[child], &last))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return top;
}

static struct error *node_append(struct builder *builder, const struct flame_node *node)
{
	size_t i = builder->node_count;

	try(array_reserve(&builder->nodes, &builder->node_capacity, i, 1, sizeof(*node)));
	try(array_reserve(&builder->smaller, &builder->smaller_capacity, i, 1,
			  sizeof(*builder->smaller)));
	builder->nodes[i] = *node;
	builder->smaller[i] = NO_NODE;
	builder->node_count++;
	return NULL;
}

/* RANGE gets no node of its own. */
static struct error *range_fold(struct builder *builder, const struct range *range)
{
	struct flame_node *node;
	uint32_t at = builder->smaller[range->parent];

	if (at == NO_NODE) {
		at = (uint32_t)builder->node_count;
		try(node_append(builder, &(struct flame_node){.kind = FLAME_SMALLER,
							      .parent = range->parent}));
		builder->smaller[range->parent] = at;
	}
	node = &builder->nodes[at];
	node->smaller++;
	node_add(builder, node, range->first, range->end);
	return NULL;
}

/* The end of those from FIRST on that have the same frame at DEPTH. */
static uint32_t range_same(const struct builder *builder, uint32_t first, uint32_t end,
			   uint32_t depth)
{
	uint32_t frame = stack_frame(builder, &builder->sorted[first], depth);

	while (first + 1 < end) {
		uint32_t middle = first + (end - first) / 2;

		if (stack_frame(builder, &builder->sorted[middle], depth) == frame)
			first = middle;
		else
			end = middle;
	}
	return end;
}

static struct error *range_split(struct builder *builder, const struct range *range, uint32_t from,
				 uint32_t parent)
{
	for (uint32_t first = from, end; first < range->end; first = end) {
		struct range child;

		end = range_same(builder, first, range->end, range->depth);
		child = (struct range){
			.first = first,
			.end = end,
			.depth = range->depth + 1,
			.parent = parent,
			.weight = range_weight(builder, first, end),
		};
		if (child.depth <= FLAME_DEPTH_MAX) {
			try(heap_push(builder, &child));
		} else {
			builder->deeper++;
			try(range_fold(builder, &child));
		}
	}
	return NULL;
}

static struct error *range_keep(struct builder *builder, const struct range *range)
{
	uint32_t index = (uint32_t)builder->node_count, from = range->first;
	struct flame_node node = {.kind = FLAME_ROOT, .parent = range->parent};

	if (range->depth > 0) {
		node.frame = stack_frame(builder, &builder->sorted[range->first], range->depth - 1);
		node.kind = node.frame == UINT32_MAX ? FLAME_CUT : FLAME_FRAME;
	}
	/* Those that end here come first. */
	while (from < range->end && stack_depth(builder, &builder->sorted[from]) == range->depth)
		from++;
	node_add(builder, &node, range->first, from);
	try(node_append(builder, &node));
	return range_split(builder, range, from, index);
}

struct error *flame_init(struct flame *flame, const struct stacks *stacks, bool leaf_first)
{
	cleanup(builder_cleanup) struct builder builder = {
		.stacks = stacks,
		.leaf_first = leaf_first,
	};

	try(builder_sort(&builder));
	try(heap_push(&builder, &(struct range){.end = (uint32_t)stacks->count}));
	for (size_t kept = 0; kept < FLAME_NODE_MAX && builder.heap_count > 0; kept++) {
		struct range range = heap_pop(&builder);

		try(range_keep(&builder, &range));
	}
	while (builder.heap_count > 0) {
		struct range range = heap_pop(&builder);

		builder.folded++;
		try(range_fold(&builder, &range));
	}
	*flame = (struct flame){
		.nodes = builder.nodes,
		.count = builder.node_count,
		.smaller = builder.folded,
		.deeper = builder.deeper,
	};
	builder.nodes = NULL;
	return NULL;
}

void flame_deinit(struct flame *flame)
{
	free(flame->nodes);
	*flame = (struct flame){0};
}
