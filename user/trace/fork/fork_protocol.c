// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the sessions of a parent and of its child say to each other, and what the child's keeps. */
#include "trace/fork/fork_protocol.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_read.h"
#include "target/process/lineage.h"
#include "trace/fork/fork_liveness.h"
#include "trace/fork/fork_packet.h"
#include "trace/symbols/symbols.h"
#include "trace/tracer/tracer.h"

/* Blocks that are added at a time. */
#define BLOCKS_ADDED 65536

struct fork_protocol {
	struct process *parent;
	/* after fork_protocol_put(): those taken over, with their new stack ids */
	struct fork_packet blocks;
	uint64_t peak; /* the parent's, bytes */
	uint64_t parent_events;
	char lineage[2 * LINEAGE_SIZE + 1]; /* the parent's */
};

static struct error *lineage_text(struct process *process, char ret[2 * LINEAGE_SIZE + 1])
{
	uint8_t lineage[LINEAGE_SIZE];

	try(lineage_read(process, lineage));
	for (size_t i = 0; i < sizeof(lineage); i++)
		snprintf(ret + 2 * i, 3, "%02x", lineage[i]);
	return NULL;
}

struct error *fork_protocol_nothing(const struct process *process)
{
	return error_create(ERROR_NOTHING, "nothing of process %d is inherited", process->pid);
}

void fork_protocol_request(pid_t child, struct json *ret)
{
	json_init(ret);
	json_text(ret, ret->root, "command", FORK_PROTOCOL_COMMAND);
	json_number(ret, ret->root, "child", (uint64_t)child);
}

struct error *fork_protocol_child(struct json_object *request, pid_t *ret)
{
	uint64_t child;

	if (!json_read_number(request, "child", &child) || child > INT_MAX)
		return error_create(ERROR_FAILED, "whose inheritance is asked for is not said");
	*ret = (pid_t)child;
	return NULL;
}

struct error *fork_protocol_answer(const struct fork_side *parent, pid_t child,
				   struct json_object *reply, void **ret_payload, size_t *ret_size)
{
	cleanup(fork_packet_deinit) struct fork_packet taken = {0};
	char lineage[2 * LINEAGE_SIZE + 1];
	struct tracer_counters counters;
	struct json json = json_of(reply);
	uint64_t events;

	try(fork_packet_collect(parent->tracer, parent->symbols, parent->drain, parent->context,
				&taken));
	if (!tracer_forked(parent->tracer, child, &events))
		return fork_protocol_nothing(parent->process);
	tracer_counters(parent->tracer, &counters);
	try(lineage_text(parent->process, lineage));
	try(fork_packet_pack(&taken, ret_payload, ret_size));
	json_number(&json, reply, "events", events);
	json_number(&json, reply, "peak", counters.peak);
	json_text(&json, reply, "lineage", lineage);
	return json_built(&json);
}

static struct error *reply_read(struct json_object *reply, void *payload, size_t size,
				struct fork_protocol *protocol)
{
	protocol->parent_events = json_get_number(reply, "events");
	protocol->peak = json_get_number(reply, "peak");
	snprintf(protocol->lineage, sizeof(protocol->lineage), "%s",
		 json_get_text(reply, "lineage"));
	return fork_packet_unpack(payload, size, &protocol->blocks);
}

/* Whether CHILD runs the program that its parent ran when it was asked: an exec changes that. */
static struct error *lineage_check(const struct fork_protocol *protocol, struct process *child,
				   bool *ret)
{
	char lineage[2 * LINEAGE_SIZE + 1];

	try(lineage_text(child, lineage));
	*ret = !strcmp(lineage, protocol->lineage);
	return NULL;
}

static struct error *receive(struct process *child, pid_t parent, struct json_object *reply,
			     void *payload, size_t size, struct fork_protocol *protocol)
{
	bool same;

	try(reply_read(reply, payload, size, protocol));
	try(process_create(parent, &protocol->parent));
	try(lineage_check(protocol, child, &same));
	return same ? NULL : fork_protocol_nothing(child);
}

struct error *fork_protocol_receive(struct process *child, pid_t parent, struct json_object *reply,
				    void *payload, size_t size, struct fork_protocol **ret)
{
	struct fork_protocol *protocol = calloc(1, sizeof(*protocol));
	struct error *error;

	if (!protocol) {
		free(payload);
		return error_create_errno(ERROR_FAILED, ENOMEM, "what the parent has traced");
	}
	error = receive(child, parent, reply, payload, size, protocol);
	if (error) {
		fork_protocol_destroy(protocol);
		return error;
	}
	*ret = protocol;
	return NULL;
}

void fork_protocol_destroy(struct fork_protocol *protocol)
{
	if (!protocol)
		return;
	process_destroy(protocol->parent);
	fork_packet_deinit(&protocol->blocks);
	free(protocol);
}

static void sum_add(struct fork_counts_sum *sum, uint64_t size)
{
	sum->count++;
	sum->size += size;
}

/* Keeps those of COUNT BLOCKS that are still there by STATES. Returns how many. */
static size_t blocks_keep(struct fork_packet_block *blocks, size_t count, const uint8_t *states,
			  struct fork_counts *counts)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct fork_packet_block block = blocks[i];

		switch ((enum fork_liveness_state)states[i]) {
		case FORK_LIVENESS_UNKNOWN:
			sum_add(&counts->unread, block.size);
			break;
		case FORK_LIVENESS_GONE:
			sum_add(&counts->gone, block.size);
			break;
		case FORK_LIVENESS_CHANGED:
			sum_add(&counts->changed, block.size);
			blocks[kept++] = block;
			break;
		case FORK_LIVENESS_LIVE:
			blocks[kept++] = block;
			break;
		}
	}
	return kept;
}

static struct error *blocks_look(const struct fork_liveness *liveness, struct fork_packet *blocks,
				 struct fork_counts *counts)
{
	cleanup_free uint8_t *states = malloc(blocks->pool_count + blocks->raw_count + 1);

	if (!states)
		return error_create_errno(ERROR_FAILED, ENOMEM, "what the parent has traced");
	try(fork_liveness_pools(liveness, blocks->pools, blocks->pool_count, states));
	try(fork_liveness_chunks(liveness, blocks->raw, blocks->raw_count,
				 states + blocks->pool_count));
	blocks->raw_count =
		blocks_keep(blocks->raw, blocks->raw_count, states + blocks->pool_count, counts);
	blocks->pool_count = blocks_keep(blocks->pools, blocks->pool_count, states, counts);
	return NULL;
}

static struct error *stack_adopt(const struct fork_side *child, const struct fork_packet *blocks,
				 size_t place, uint32_t id)
{
	const struct fork_packet_stack *stack = &blocks->stacks[place];
	struct symbols_frame frames[TMBPF_WALK_MAX];

	for (uint32_t i = 0; i < stack->nframe; i++) {
		const struct fork_packet_frame *frame = &blocks->frames[stack->first + i];

		frames[i] = (struct symbols_frame){
			.filename = blocks->text + frame->filename,
			.name = blocks->text + frame->name,
			.lineno = frame->lineno,
			.firstlineno = frame->firstlineno,
		};
	}
	return symbols_adopt(child->symbols, id, frames, stack->nframe, stack->total_nframe);
}

static void stacks_mark(const struct fork_packet_block *blocks, size_t count, uint32_t *used)
{
	for (size_t i = 0; i < count; i++)
		used[blocks[i].stack] = 1;
}

/*
 * Gives COUNT BLOCKS their new stack ids, and drops those whose stack has none. Returns how many
 * stay.
 */
static size_t stacks_name(struct fork_packet_block *blocks, size_t count, const uint32_t *ids,
			  struct fork_counts *counts)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		struct fork_packet_block block = blocks[i];

		block.stack = ids[block.stack];
		if (block.stack)
			blocks[kept++] = block;
		else
			sum_add(&counts->unread, block.size);
	}
	return kept;
}

/* Makes the stacks of the remaining blocks CHILD's. */
static struct error *stacks_adopt(struct fork_packet *blocks, const struct fork_side *child,
				  struct fork_counts *counts)
{
	cleanup_free uint32_t *ids = calloc(blocks->stack_count + 1, sizeof(*ids));
	uint32_t wanted = 0, first, room;

	if (!ids)
		return error_create_errno(ERROR_FAILED, ENOMEM, "what the parent has traced");
	stacks_mark(blocks->pools, blocks->pool_count, ids);
	stacks_mark(blocks->raw, blocks->raw_count, ids);
	for (size_t i = 0; i < blocks->stack_count; i++)
		wanted += ids[i];
	room = tracer_stacks_reserve(child->tracer, wanted, &first);
	for (size_t i = 0; i < blocks->stack_count; i++) {
		if (!ids[i])
			continue;
		ids[i] = room ? first : 0;
		if (!room)
			continue;
		try(stack_adopt(child, blocks, i, first));
		first++;
		room--;
	}
	blocks->pool_count = stacks_name(blocks->pools, blocks->pool_count, ids, counts);
	blocks->raw_count = stacks_name(blocks->raw, blocks->raw_count, ids, counts);
	return NULL;
}

static struct tracer_block block_named(const struct fork_packet_block *block, bool raw)
{
	return (struct tracer_block){
		.address = block->address, .size = block->size, .stack = block->stack, .raw = raw};
}

static struct error *blocks_add(const struct fork_side *child,
				const struct fork_packet_block *blocks, size_t count, bool raw,
				struct fork_counts *counts)
{
	cleanup_free struct tracer_block *list = calloc(BLOCKS_ADDED, sizeof(*list));

	if (!list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "what the parent has traced");
	for (size_t i = 0, n; i < count; i += n) {
		for (n = 0; n < BLOCKS_ADDED && i + n < count; n++) {
			list[n] = block_named(&blocks[i + n], raw);
			sum_add(&counts->taken, list[n].size);
		}
		try(tracer_blocks_add(child->tracer, list, n));
	}
	return NULL;
}

struct error *fork_protocol_put(struct fork_protocol *protocol, const struct fork_side *child,
				struct fork_counts *ret)
{
	struct fork_counts counts = {.parent_events = protocol->parent_events};
	const struct fork_liveness liveness = {.python = tracer_python(child->tracer),
					       .parent = protocol->parent,
					       .hook_extra = tracer_hook_extra(child->tracer)};
	struct fork_packet *blocks = &protocol->blocks;
	bool same;

	try(blocks_look(&liveness, blocks, &counts));
	try(lineage_check(protocol, child->process, &same));
	if (!same)
		return error_create(ERROR_FAILED, "process %d has become another program",
				    child->process->pid);
	try(stacks_adopt(blocks, child, &counts));
	try(blocks_add(child, blocks->pools, blocks->pool_count, false, &counts));
	try(blocks_add(child, blocks->raw, blocks->raw_count, true, &counts));
	tracer_peak_raise(child->tracer, protocol->peak);
	*ret = counts;
	return NULL;
}

static struct error *blocks_drop(const struct fork_side *child,
				 const struct fork_packet_block *blocks, size_t count,
				 const uint8_t *states, bool raw, struct fork_counts *counts)
{
	for (size_t i = 0; i < count; i++) {
		const struct tracer_block block = block_named(&blocks[i], raw);
		bool dropped;

		if (states[i] != FORK_LIVENESS_GONE)
			continue;
		try(tracer_block_drop(child->tracer, &block, &dropped));
		if (!dropped)
			continue;
		sum_add(&counts->gone, block.size);
		counts->taken.count--;
		counts->taken.size -= block.size;
	}
	return NULL;
}

struct error *fork_protocol_settle(struct fork_protocol *protocol, const struct fork_side *child,
				   struct fork_counts *counts)
{
	const struct fork_liveness liveness = {.python = tracer_python(child->tracer),
					       .hook_extra = tracer_hook_extra(child->tracer)};
	const struct fork_packet *blocks = &protocol->blocks;
	size_t most = blocks->pool_count > blocks->raw_count ? blocks->pool_count
							     : blocks->raw_count;
	cleanup_free uint8_t *states = malloc(most + 1);

	if (!states)
		return error_create_errno(ERROR_FAILED, ENOMEM, "what the parent has traced");
	try(fork_liveness_pools(&liveness, blocks->pools, blocks->pool_count, states));
	try(blocks_drop(child, blocks->pools, blocks->pool_count, states, false, counts));
	try(fork_liveness_chunks(&liveness, blocks->raw, blocks->raw_count, states));
	return blocks_drop(child, blocks->raw, blocks->raw_count, states, true, counts);
}
