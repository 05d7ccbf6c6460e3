// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Collects a parent's live blocks, packs them, and unpacks them in the child's session. */
#include "trace/fork/fork_packet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/lookup.h"
#include "trace/symbols/symbols.h"
#include "trace/tracer/tracer.h"

/* Blocks between two calls of the caller's `rest`. */
#define REST_BLOCKS 262144

void fork_packet_deinit(struct fork_packet *packet)
{
	if (packet->packed) {
		free(packet->packed);
	} else {
		free(packet->pools);
		free(packet->raw);
		free(packet->stacks);
		free(packet->frames);
		free(packet->text);
	}
	*packet = (struct fork_packet){0};
}

struct collecting {
	struct fork_packet *packet;
	struct tracer *tracer;
	struct symbols *symbols;
	void (*rest)(void *context);
	void *context;
	/* by TRACER's stack id: its place in `stacks`, plus 1; 0: not looked up yet */
	uint32_t *places;
	struct lookup texts, tracebacks;
	const char **strings; /* by position in `texts`: the string, and its offset in the packet */
	uint32_t *offsets;
	size_t string_count, string_capacity, offset_capacity;
	const void **rows; /* by place in `stacks`: the traceback */
	size_t row_capacity;
};

static struct error *block_add(void *context, const struct tracer_block *block)
{
	struct collecting *collecting = context;
	struct fork_packet *packet = collecting->packet;
	const struct fork_packet_block added = {block->address, block->size, block->stack};

	if (block->size > FORK_PACKET_SIZE_MAX)
		return NULL;
	if (block->raw) {
		try(array_reserve(&packet->raw, &packet->raw_capacity, packet->raw_count, 1,
				  sizeof(added)));
		packet->raw[packet->raw_count++] = added;
	} else {
		try(array_reserve(&packet->pools, &packet->pool_capacity, packet->pool_count, 1,
				  sizeof(added)));
		packet->pools[packet->pool_count++] = added;
	}
	if ((packet->pool_count + packet->raw_count) % REST_BLOCKS == 0)
		collecting->rest(collecting->context);
	return NULL;
}

static bool pointer_equal(const void *context, uint32_t position, const void *key)
{
	const void *const *pointers = context;

	return pointers[position] == key;
}

/* Who keeps the tracebacks keeps each string once, so equal strings have the same address. */
static struct error *text_add(struct collecting *collecting, const char *string, size_t length,
			      uint32_t *ret)
{
	struct fork_packet *packet = collecting->packet;
	uint64_t hash = lookup_hash_number(0, (uintptr_t)string);
	uint32_t found =
		lookup_find(&collecting->texts, hash, pointer_equal, collecting->strings, string);

	if (found != LOOKUP_NONE) {
		*ret = collecting->offsets[found];
		return NULL;
	}
	if (packet->text_size + length + 1 > UINT32_MAX)
		return error_create(ERROR_FAILED, "there are too many names of functions");
	try(array_reserve(&packet->text, &packet->text_capacity, packet->text_size, length + 1, 1));
	try(array_reserve(&collecting->strings, &collecting->string_capacity,
			  collecting->string_count, 1, sizeof(*collecting->strings)));
	try(array_reserve(&collecting->offsets, &collecting->offset_capacity,
			  collecting->string_count, 1, sizeof(*collecting->offsets)));
	try(lookup_add(&collecting->texts, hash, (uint32_t)collecting->string_count));
	*ret = (uint32_t)packet->text_size;
	collecting->strings[collecting->string_count] = string;
	collecting->offsets[collecting->string_count++] = *ret;
	memcpy(packet->text + packet->text_size, string, length);
	packet->text[packet->text_size + length] = 0;
	packet->text_size += length + 1;
	return NULL;
}

static struct error *stack_add(void *context, const struct symbols_row *row)
{
	struct collecting *collecting = context;
	struct fork_packet *packet = collecting->packet;

	try(array_reserve(&packet->stacks, &packet->stack_capacity, packet->stack_count, 1,
			  sizeof(*packet->stacks)));
	try(array_reserve(&packet->frames, &packet->frame_capacity, packet->frame_count,
			  row->nframe, sizeof(*packet->frames)));
	for (uint32_t i = 0; i < row->nframe; i++) {
		const struct symbols_frame *frame = &row->frames[i];
		struct fork_packet_frame *added = &packet->frames[packet->frame_count + i];

		try(text_add(collecting, frame->filename, frame->filename_length,
			     &added->filename));
		try(text_add(collecting, frame->name, frame->name_length, &added->name));
		added->lineno = frame->lineno;
		added->firstlineno = frame->firstlineno;
	}
	packet->stacks[packet->stack_count++] =
		(struct fork_packet_stack){packet->frame_count, row->nframe, row->total_nframe};
	packet->frame_count += row->nframe;
	return NULL;
}

/* Finds the place of STACK: that of its traceback, which several stacks may share. */
static struct error *stack_place(struct collecting *collecting, uint32_t stack,
				 const struct symbols_traceback *traceback, uint32_t *ret)
{
	/* Without a traceback: no Python code ran, or it is lost. */
	uint64_t number = stack == TMBPF_STACK_UNKNOWN ? TMBPF_STACK_UNKNOWN : TMBPF_STACK_LOST;
	const void *key = traceback ? (const void *)traceback : (const void *)(uintptr_t)number;
	uint64_t hash = lookup_hash_number(0, (uintptr_t)key);
	uint32_t found =
		lookup_find(&collecting->tracebacks, hash, pointer_equal, collecting->rows, key);

	if (found == LOOKUP_NONE) {
		found = (uint32_t)collecting->packet->stack_count;
		try(array_reserve(&collecting->rows, &collecting->row_capacity, found, 1,
				  sizeof(*collecting->rows)));
		try(lookup_add(&collecting->tracebacks, hash, found));
		collecting->rows[found] = key;
		try(symbols_stack(collecting->symbols, stack, 0, stack_add, collecting));
	}
	*ret = found;
	return NULL;
}

static struct error *stack_look(struct collecting *collecting, uint32_t stack, uint32_t *ret)
{
	struct symbols_traceback *traceback;
	struct error *error = NULL;

	if (!collecting->places[stack]) {
		traceback = symbols_hold(collecting->symbols, stack);
		error = stack_place(collecting, stack, traceback, ret);
		symbols_release(collecting->symbols, traceback);
		if (!error)
			collecting->places[stack] = *ret + 1;
	}
	*ret = collecting->places[stack] - 1;
	return error;
}

static struct error *blocks_place(struct collecting *collecting, struct fork_packet_block *blocks,
				  size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t place;

		try(stack_look(collecting, blocks[i].stack, &place));
		blocks[i].stack = place;
	}
	return NULL;
}

static int block_compare(const void *left, const void *right)
{
	const struct fork_packet_block *a = left, *b = right;

	return a->address < b->address ? -1 : a->address > b->address;
}

/*
 * Sorts COUNT BLOCKS. Two at one address were seen while the table changed; one of them stays.
 * Returns how many there are then.
 */
static size_t blocks_sort(struct fork_packet_block *blocks, size_t count)
{
	size_t kept = 0;

	if (count)
		qsort(blocks, count, sizeof(*blocks), block_compare);
	for (size_t i = 0; i < count; i++)
		if (!kept || blocks[i].address != blocks[kept - 1].address)
			blocks[kept++] = blocks[i];
	return kept;
}

static struct error *collect_all(struct collecting *collecting)
{
	struct fork_packet *packet = collecting->packet;

	collecting->places =
		calloc(tracer_stack_limit(collecting->tracer), sizeof(*collecting->places));
	if (!collecting->places)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot copy the live blocks");
	try(tracer_blocks(collecting->tracer, block_add, collecting));
	/* By now the programs have announced what the stacks of these blocks mean. */
	collecting->rest(collecting->context);
	packet->pool_count = blocks_sort(packet->pools, packet->pool_count);
	packet->raw_count = blocks_sort(packet->raw, packet->raw_count);
	try(blocks_place(collecting, packet->pools, packet->pool_count));
	return blocks_place(collecting, packet->raw, packet->raw_count);
}

struct error *fork_packet_collect(struct tracer *tracer, struct symbols *symbols,
				  void (*rest)(void *context), void *context,
				  struct fork_packet *ret)
{
	cleanup(fork_packet_deinit) struct fork_packet packet = {0};
	struct collecting collecting = {.packet = &packet,
					.tracer = tracer,
					.symbols = symbols,
					.rest = rest,
					.context = context};
	struct error *error = collect_all(&collecting);

	free(collecting.places);
	free(collecting.strings);
	free(collecting.offsets);
	free(collecting.rows);
	lookup_deinit(&collecting.texts);
	lookup_deinit(&collecting.tracebacks);
	try(error);
	*ret = packet;
	packet = (struct fork_packet){0};
	return NULL;
}

struct packed { /* the end of the packed bytes */
	uint64_t pool_count, raw_count, stack_count, frame_count, text_size;
};

struct error *fork_packet_pack(struct fork_packet *packet, void **ret, size_t *ret_size)
{
	const struct packed counts = {packet->pool_count, packet->raw_count, packet->stack_count,
				      packet->frame_count, packet->text_size};
	const struct {
		const void *data;
		size_t size;
	} parts[] = {
		{packet->raw, counts.raw_count * sizeof(*packet->raw)},
		{packet->stacks, counts.stack_count * sizeof(*packet->stacks)},
		{packet->frames, counts.frame_count * sizeof(*packet->frames)},
		{packet->text, counts.text_size},
		{&counts, sizeof(counts)},
	};
	size_t at = counts.pool_count * sizeof(*packet->pools), size = at;
	uint8_t *packed;

	for (size_t i = 0; i < array_size(parts); i++)
		size += parts[i].size;
	packed = realloc(packet->pools, size);
	if (!packed)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot copy the live blocks");
	packet->pools = NULL;
	for (size_t i = 0; i < array_size(parts); at += parts[i++].size)
		if (parts[i].size)
			memcpy(packed + at, parts[i].data, parts[i].size);
	fork_packet_deinit(packet);
	*ret = packed;
	*ret_size = size;
	return NULL;
}

static bool blocks_hold(const struct fork_packet *packet, const struct fork_packet_block *blocks,
			size_t count)
{
	for (size_t i = 0; i < count; i++)
		if ((i && blocks[i].address <= blocks[i - 1].address) ||
		    blocks[i].stack >= packet->stack_count)
			return false;
	return true;
}

static bool fork_packet_holds(const struct fork_packet *packet)
{
	if (packet->text_size && packet->text[packet->text_size - 1])
		return false;
	for (size_t i = 0; i < packet->frame_count; i++)
		if (packet->frames[i].filename >= packet->text_size ||
		    packet->frames[i].name >= packet->text_size)
			return false;
	for (size_t i = 0; i < packet->stack_count; i++) {
		const struct fork_packet_stack *stack = &packet->stacks[i];

		if (!stack->nframe || stack->nframe > TMBPF_WALK_MAX ||
		    stack->first > packet->frame_count ||
		    stack->nframe > packet->frame_count - stack->first)
			return false;
	}
	return blocks_hold(packet, packet->pools, packet->pool_count) &&
	       blocks_hold(packet, packet->raw, packet->raw_count);
}

/* The next COUNT elements of SIZE bytes at *CURSOR; NULL if there are not so many. */
static void *part_next(uint8_t **cursor, const uint8_t *end, uint64_t count, size_t size)
{
	void *part = *cursor;

	if (!part || count > (size_t)(end - *cursor) / size) {
		*cursor = NULL;
		return NULL;
	}
	*cursor += count * size;
	return part;
}

struct error *fork_packet_unpack(void *packed, size_t size, struct fork_packet *ret)
{
	cleanup(fork_packet_deinit) struct fork_packet packet = {.packed = packed};
	uint8_t *cursor = packed, *end = cursor + size;
	struct packed counts;

	if (size < sizeof(counts))
		return error_create(ERROR_FAILED, "the parent's session has sent too little");
	end -= sizeof(counts);
	memcpy(&counts, end, sizeof(counts));
	packet.pool_count = counts.pool_count;
	packet.raw_count = counts.raw_count;
	packet.stack_count = counts.stack_count;
	packet.frame_count = counts.frame_count;
	packet.text_size = counts.text_size;
	packet.pools = part_next(&cursor, end, packet.pool_count, sizeof(*packet.pools));
	packet.raw = part_next(&cursor, end, packet.raw_count, sizeof(*packet.raw));
	packet.stacks = part_next(&cursor, end, packet.stack_count, sizeof(*packet.stacks));
	packet.frames = part_next(&cursor, end, packet.frame_count, sizeof(*packet.frames));
	packet.text = part_next(&cursor, end, packet.text_size, 1);
	if (cursor != end || !fork_packet_holds(&packet))
		return error_create(ERROR_FAILED,
				    "what the parent's session has sent does not hold together");
	*ret = packet;
	packet = (struct fork_packet){0};
	return NULL;
}
