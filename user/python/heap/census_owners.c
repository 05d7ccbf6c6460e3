// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whose the blocks are that are no objects: words of objects lead to them, and words of blocks that
 * have an owner.
 */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "python/heap/census_internal.h"
#include "python/python_internal.h"

#define ROUNDS_MAX 3     /* of looking for owners */
#define WORTHWHILE 1000  /* of so many blocks with no owner yet one makes another round */
#define LABELS_MAX 65534 /* two bytes each */

static bool label_equal(const void *context, uint32_t position, const void *key)
{
	const struct python_census_row *row =
		&((const struct census_work *)context)->labels[position].row;
	const struct python_census_row *wanted = key;

	return row->type == wanted->type && row->field == wanted->field &&
	       row->kind == wanted->kind;
}

/* What is known by name has been looked at in Objects/: items, tables, values, data. */
static bool label_leaf(const struct census_work *work, const struct python_census_row *row)
{
	return row->kind == PYTHON_CENSUS_OWNED && row->type != PYTHON_NO_TYPE &&
	       python_census_field(work->python, python_types_get(work->census->types, row->type),
				   row->field);
}

static struct error *label_intern(struct census_work *work, enum python_census_kind kind,
				  uint32_t type, int32_t field, uint16_t *ret)
{
	struct python_census_row row = {.kind = kind, .type = type, .field = field};
	uint64_t hash = lookup_hash_number(kind, (uint64_t)type << 32 | (uint32_t)field);
	uint32_t found;

	if (work->label_count == LABELS_MAX) {
		/* The last one stands for all that do not fit. */
		row = (struct python_census_row){kind, PYTHON_NO_TYPE, 0, 0, 0};
		hash = lookup_hash_number(0, 0);
	}
	found = lookup_find(&work->label_lookup, hash, label_equal, work, &row);
	if (found == LOOKUP_NONE) {
		if (work->label_count > LABELS_MAX) {
			*ret = LABELS_MAX;
			return NULL;
		}
		found = (uint32_t)work->label_count;
		try(array_reserve(&work->labels, &work->label_capacity, found, 1,
				  sizeof(*work->labels)));
		try(lookup_add(&work->label_lookup, hash, found));
		work->labels[work->label_count++] = (struct label){row, 0, label_leaf(work, &row)};
	}
	*ret = (uint16_t)found;
	return NULL;
}

/* A block that a word leads to and that has no owner yet. */
struct unclaimed {
	uint16_t *label;
	uint64_t size;
	bool native;
};

static void block_claim(struct census_work *work, const struct unclaimed *block, uint16_t id)
{
	*block->label = id;
	work->labels[id].row.count++;
	work->labels[id].row.size += block->size;
	work->claimed++;
	if (block->native) {
		work->native_claimed++;
		work->native_claimed_size += block->size;
	}
}

static bool block_unclaimed(const struct census_work *work, uint64_t address, struct unclaimed *ret)
{
	struct python_space_block found;
	struct python_chunk *chunk;

	if (address - work->space->lowest < work->space->span &&
	    python_space_block(work->space, address, &found)) {
		ret->label = python_marks_label(&work->marks, found.arena, found.granule);
		ret->size = found.size;
		ret->native = false;
		return ret->label && !*ret->label;
	}
	if (address < work->chunks.lowest || address >= work->chunks.highest)
		return false;
	chunk = python_chunks_find(&work->chunks, address);
	if (!chunk || chunk->label)
		return false;
	ret->label = &chunk->label;
	ret->size = chunk->size;
	ret->native = true;
	return true;
}

static struct error *object_scan(struct census_work *work, const struct python_object *object,
				 const uint8_t *block, uint32_t size)
{
	const struct python_type *type = python_types_get(work->census->types, object->type);
	/* What stands before an object is of use from 3.11 on. */
	uint32_t at = work->python->version < 0x030b0000 ? object->offset : 0;
	struct python_extent extent;
	struct tally *tally;

	try(census_tally(work, object->type, &tally));
	python_extent_find(&work->extents, type, object, block, size, size, &extent);
	for (; at + 8 <= extent.end; at += 8) {
		struct unclaimed found;
		uint64_t word;
		int32_t field;

		if (at >= extent.hole && at < extent.hole_end)
			continue;
		memcpy(&word, block + at, sizeof(word));
		if (!block_unclaimed(work, word, &found))
			continue;
		field = (int32_t)at - (int32_t)object->offset;
		if (field > (int32_t)type->basicsize)
			field = (int32_t)type->basicsize;
		if (!tally->label || tally->field != field) {
			try(label_intern(work, PYTHON_CENSUS_OWNED, object->type, field,
					 &tally->label));
			tally->field = field;
		}
		block_claim(work, &found, tally->label);
	}
	return NULL;
}

/* The block, no object, with the label ID: what it leads to is its owner's too. */
static struct error *owned_scan(struct census_work *work, uint16_t id, const uint8_t *block,
				uint32_t size)
{
	if (work->labels[id].leaf)
		return NULL;
	for (uint32_t at = 0; at + 8 <= size; at += 8) {
		const struct python_census_row *owner = &work->labels[id].row;
		struct unclaimed found;
		uint16_t indirect;
		uint64_t word;

		memcpy(&word, block + at, sizeof(word));
		if (!block_unclaimed(work, word, &found))
			continue;
		indirect = owner->kind == PYTHON_CENSUS_INDIRECT ? id : work->labels[id].indirect;
		if (!indirect) {
			try(label_intern(work, PYTHON_CENSUS_INDIRECT, owner->type, owner->field,
					 &indirect));
			work->labels[id].indirect = indirect;
		}
		block_claim(work, &found, indirect);
	}
	return NULL;
}

/*
 * The block with LABEL; NULL: when it was counted it was an object. What an object leads to is its
 * own; what another block leads to is its owner's.
 */
static struct error *block_scan(struct census_work *work, const uint8_t *block, uint32_t size,
				const uint16_t *label)
{
	struct python_object object;

	/* What was no object when the heap was counted is not taken for one now. */
	if (label)
		return *label ? owned_scan(work, *label, block, size) : NULL;
	if (work->round > 0)
		return NULL;
	try(python_types_object(work->census->types, block, size, &object));
	if (object.type == PYTHON_NO_TYPE || object.unreferenced)
		return NULL;
	return object_scan(work, &object, block, size);
}

/*
 * The same for a chunk. Only its first page or so is looked at: what follows in a longer one are
 * the items of one kind of container or another, and these lead to objects.
 */
static struct error *chunk_scan(void *context, const struct glibc_chunk *chunk)
{
	struct census_work *work = context;
	struct python_chunk *known;
	uint32_t size = (uint32_t)chunk->start_size;

	if (glibc_state_free(chunk->state))
		return NULL;
	if (chunk->size < size)
		size = (uint32_t)chunk->size;
	known = python_chunks_find(&work->chunks, chunk->address);
	return block_scan(work, chunk->start, size, known ? &known->label : NULL);
}

/* Looks for blocks that what is in POOL leads to. */
static struct error *pool_scan(void *context, const struct python_pool *pool)
{
	struct census_work *work = context;
	uint64_t address = pool->address + PYTHON_POOL_OVERHEAD;
	struct python_space_block first;
	uint32_t step;

	/* Not there, or carved otherwise, when the heap was counted. */
	if (!python_space_block(work->space, address, &first) || first.size != pool->block_size)
		return NULL;
	step = first.size >> work->space->granule_bits;
	for (uint32_t i = 0; i < pool->carved; i++)
		if (python_block_live(pool, i))
			try(block_scan(work,
				       pool->memory + PYTHON_POOL_OVERHEAD +
					       (size_t)i * pool->block_size,
				       pool->block_size,
				       python_marks_label(&work->marks, first.arena,
							  first.granule + i * step)));
	return NULL;
}

struct error *census_labels_init(struct census_work *work)
{
	static const enum python_census_kind kinds[] = {
		[LABEL_UNOWNED] = PYTHON_CENSUS_UNOWNED,
		[LABEL_NATIVE] = PYTHON_CENSUS_NATIVE,
	};

	try(array_reserve(&work->labels, &work->label_capacity, 0, array_size(kinds),
			  sizeof(*work->labels)));
	for (size_t i = 0; i < array_size(kinds); i++)
		work->labels[work->label_count++] =
			(struct label){.row = {.kind = kinds[i], .type = PYTHON_NO_TYPE}};
	return NULL;
}

struct error *census_owners_find(struct census_work *work)
{
	const uint64_t most =
		work->labels[LABEL_UNOWNED].row.count + work->labels[LABEL_NATIVE].row.count;
	uint64_t before;

	python_extent_reader_init(&work->extents, work->python);
	try(python_marks_count(&work->marks));
	try(python_chunks_settle(&work->chunks));
	for (; work->round < ROUNDS_MAX; work->round++) {
		before = work->claimed;
		try(python_pools_all(work->pools, &work->heaps, false, pool_scan, work));
		try(census_chunks_each(work, chunk_scan));
		if (work->claimed == before || most - work->claimed < most / WORTHWHILE)
			break;
	}
	/* What was counted as nobody's and has an owner now. */
	for (size_t i = LABEL_NATIVE + 1; i < work->label_count; i++) {
		work->labels[LABEL_UNOWNED].row.count -= work->labels[i].row.count;
		work->labels[LABEL_UNOWNED].row.size -= work->labels[i].row.size;
	}
	work->labels[LABEL_UNOWNED].row.count += work->native_claimed;
	work->labels[LABEL_UNOWNED].row.size += work->native_claimed_size;
	work->labels[LABEL_NATIVE].row.count -= work->native_claimed;
	work->labels[LABEL_NATIVE].row.size -= work->native_claimed_size;
	return NULL;
}
