// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/fork/fork_protocol.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/process/lineage.h"
#include "trace/session/control.h"
#include "trace/fork/fork_liveness.h"
#include "trace/fork/fork_packet.h"
#include "trace/session/session.h"

/* Blocks that are added at a time. */
#define BLOCKS_ADDED 65536

struct fork_protocol {
	struct process *parent;
	struct fork_packet
		blocks; /* after fork_protocol_put() those taken over, by their own stack ids */
	uint64_t peak;  /* the parent's, bytes */
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

static void rest(void *session)
{
	session_drain(session);
}

static struct error *nothing(const struct session *session)
{
	return error_create(ERROR_NOTHING, "nothing of process %d is inherited", session->pid);
}

struct error *fork_protocol_answer(struct session *session, json_object *request,
				   json_object *reply, void **ret_payload, size_t *ret_size)
{
	cleanup(fork_packet_deinit) struct fork_packet taken = {0};
	char lineage[2 * LINEAGE_SIZE + 1];
	struct tracer_counters counters;
	json_object *child;
	uint64_t events;
	pid_t pid;

	if (!json_object_object_get_ex(request, "child", &child))
		return error_create(ERROR_FAILED, "whose inheritance is asked for is not said");
	pid = json_object_get_int(child);
	if (session->options.mode == TMBPF_MODE_SAMPLED || session->state != SESSION_RUNNING ||
	    session_over(session) || !tracer_forked(session->tracer, pid, &events))
		return nothing(session);
	/* Where frees are not seen: what is dead here may be another block in the child. */
	try(session_walk(session, false));
	try(fork_packet_receive(session->tracer, session->symbols, rest, session, &taken));
	if (!tracer_forked(session->tracer, pid, &events))
		return nothing(session);
	tracer_counters(session->tracer, &counters);
	try(lineage_text(session->process, lineage));
	try(fork_packet_pack(&taken, ret_payload, ret_size));
	json_object_object_add(reply, "events", json_object_new_uint64(events));
	json_object_object_add(reply, "peak", json_object_new_uint64(counters.peak));
	json_object_object_add(reply, "lineage", json_object_new_string(lineage));
	return NULL;
}

static uint64_t reply_number(json_object *reply, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(reply, key, &value) ? json_object_get_uint64(value) : 0;
}

static struct error *answer_take(json_object *reply, void *payload, size_t size,
				 struct fork_protocol *protocol)
{
	json_object *lineage;

	protocol->parent_events = reply_number(reply, "events");
	protocol->peak = reply_number(reply, "peak");
	if (json_object_object_get_ex(reply, "lineage", &lineage))
		snprintf(protocol->lineage, sizeof(protocol->lineage), "%s",
			 json_object_get_string(lineage));
	return fork_packet_unpack(payload, size, &protocol->blocks);
}

/* Whether SESSION's process runs what its parent ran when it was asked; that an exec changes. */
static struct error *lineage_check(const struct fork_protocol *protocol,
				   const struct session *session, bool *ret)
{
	char lineage[2 * LINEAGE_SIZE + 1];

	try(lineage_text(session->process, lineage));
	*ret = !strcmp(lineage, protocol->lineage);
	return NULL;
}

static struct error *ask(const struct session *session, pid_t parent,
			 struct fork_protocol *protocol)
{
	cleanup(json_cleanup) json_object *request = json_object_new_object(), *reply = NULL;
	void *payload = NULL;
	size_t size = 0;
	bool same;

	json_object_object_add(request, "command", json_object_new_string("inherit"));
	json_object_object_add(request, "child", json_object_new_int(session->pid));
	try(control_request(parent, request, &reply, &payload, &size));
	try(answer_take(reply, payload, size, protocol));
	try(process_create(parent, &protocol->parent));
	try(lineage_check(protocol, session, &same));
	return same ? NULL : nothing(session);
}

struct error *fork_protocol_ask(const struct session *session, pid_t parent,
				struct fork_protocol **ret)
{
	struct fork_protocol *protocol = calloc(1, sizeof(*protocol));
	struct error *error;

	if (!protocol)
		return error_create_errno(ERROR_FAILED, ENOMEM, "what the parent has traced");
	error = ask(session, parent, protocol);
	if (!error) {
		*ret = protocol;
		return NULL;
	}
	fork_protocol_destroy(protocol);
	if (error_kind(error) != ERROR_NOTHING)
		return error_prefix(error, "what process %d had traced is not inherited", parent);
	error_destroy(error);
	*ret = NULL;
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

/* Keeps of COUNT of BLOCKS those that STATES say are there; how many they are. */
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

static struct error *blocks_look(const struct fork_liveness *heir, struct fork_packet *blocks,
				 struct fork_counts *counts)
{
	cleanup_free uint8_t *states = malloc(blocks->pool_count + blocks->large_count + 1);

	if (!states)
		return error_create_errno(ERROR_FAILED, ENOMEM, "what the parent has traced");
	try(fork_liveness_pools(heir, blocks->pools, blocks->pool_count, states));
	try(fork_liveness_chunks(heir, blocks->large, blocks->large_count,
				 states + blocks->pool_count));
	blocks->large_count = blocks_keep(blocks->large, blocks->large_count,
					  states + blocks->pool_count, counts);
	blocks->pool_count = blocks_keep(blocks->pools, blocks->pool_count, states, counts);
	return NULL;
}

static struct error *stack_adopt(struct session *session, const struct fork_packet *blocks,
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
	return symbols_adopt(session->symbols, id, frames, stack->nframe, stack->total_nframe);
}

static void stacks_mark(const struct fork_packet_block *blocks, size_t count, uint32_t *used)
{
	for (size_t i = 0; i < count; i++)
		used[blocks[i].stack] = 1;
}

/* Gives the COUNT BLOCKS the ids that their stacks have now; those without one go. How many stay. */
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

/* The stacks of the blocks that are left become SESSION's. */
static struct error *stacks_adopt(struct fork_packet *blocks, struct session *session,
				  struct fork_counts *counts)
{
	cleanup_free uint32_t *ids = calloc(blocks->stack_count + 1, sizeof(*ids));
	uint32_t wanted = 0, first, room;

	if (!ids)
		return error_create_errno(ERROR_FAILED, ENOMEM, "what the parent has traced");
	stacks_mark(blocks->pools, blocks->pool_count, ids);
	stacks_mark(blocks->large, blocks->large_count, ids);
	for (size_t i = 0; i < blocks->stack_count; i++)
		wanted += ids[i];
	room = tracer_stacks_take(session->tracer, wanted, &first);
	for (size_t i = 0; i < blocks->stack_count; i++) {
		if (!ids[i])
			continue;
		ids[i] = room ? first : 0;
		if (!room)
			continue;
		try(stack_adopt(session, blocks, i, first));
		first++;
		room--;
	}
	blocks->pool_count = stacks_name(blocks->pools, blocks->pool_count, ids, counts);
	blocks->large_count = stacks_name(blocks->large, blocks->large_count, ids, counts);
	return NULL;
}

static struct tracer_block block_named(const struct fork_packet_block *block, bool large)
{
	return (struct tracer_block){.address = block->address,
				     .size = block->size,
				     .stack = block->stack,
				     .large = large};
}

static struct error *blocks_add(struct session *session, const struct fork_packet_block *blocks,
				size_t count, bool large, struct fork_counts *counts)
{
	cleanup_free struct tracer_block *list = calloc(BLOCKS_ADDED, sizeof(*list));

	if (!list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "what the parent has traced");
	for (size_t i = 0, n; i < count; i += n) {
		for (n = 0; n < BLOCKS_ADDED && i + n < count; n++) {
			list[n] = block_named(&blocks[i + n], large);
			sum_add(&counts->taken, list[n].size);
		}
		try(tracer_blocks_add(session->tracer, list, n));
	}
	return NULL;
}

struct error *fork_protocol_put(struct fork_protocol *protocol, struct session *session,
				struct fork_counts *ret)
{
	struct fork_counts counts = {.parent_events = protocol->parent_events};
	const struct fork_liveness heir = {.python = tracer_python(session->tracer),
					   .parent = protocol->parent,
					   .hook_extra = tracer_hook_extra(session->tracer)};
	struct fork_packet *blocks = &protocol->blocks;
	bool same;

	try(blocks_look(&heir, blocks, &counts));
	try(lineage_check(protocol, session, &same));
	if (!same)
		return error_create(ERROR_FAILED, "process %d has become another program",
				    session->pid);
	try(stacks_adopt(blocks, session, &counts));
	try(blocks_add(session, blocks->pools, blocks->pool_count, false, &counts));
	try(blocks_add(session, blocks->large, blocks->large_count, true, &counts));
	tracer_peak_raise(session->tracer, protocol->peak);
	*ret = counts;
	return NULL;
}

static struct error *blocks_drop(struct session *session, const struct fork_packet_block *blocks,
				 size_t count, const uint8_t *states, bool large,
				 struct fork_counts *counts)
{
	for (size_t i = 0; i < count; i++) {
		const struct tracer_block block = block_named(&blocks[i], large);
		bool dropped;

		if (states[i] != FORK_LIVENESS_GONE)
			continue;
		try(tracer_block_drop(session->tracer, &block, &dropped));
		if (!dropped)
			continue;
		sum_add(&counts->gone, block.size);
		counts->taken.count--;
		counts->taken.size -= block.size;
	}
	return NULL;
}

struct error *fork_protocol_settle(struct fork_protocol *protocol, struct session *session,
				   struct fork_counts *counts)
{
	const struct fork_liveness heir = {.python = tracer_python(session->tracer),
					   .hook_extra = tracer_hook_extra(session->tracer)};
	const struct fork_packet *blocks = &protocol->blocks;
	size_t most = blocks->pool_count > blocks->large_count ? blocks->pool_count
							       : blocks->large_count;
	cleanup_free uint8_t *states = malloc(most + 1);

	if (!states)
		return error_create_errno(ERROR_FAILED, ENOMEM, "what the parent has traced");
	try(fork_liveness_pools(&heir, blocks->pools, blocks->pool_count, states));
	try(blocks_drop(session, blocks->pools, blocks->pool_count, states, false, counts));
	try(fork_liveness_chunks(&heir, blocks->large, blocks->large_count, states));
	return blocks_drop(session, blocks->large, blocks->large_count, states, true, counts);
}
