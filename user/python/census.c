// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "python/census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/lookup.h"
#include "python/arenas.h"
#include "python/marks.h"
#include "python/parts.h"
#include "python/space.h"

#define ROUNDS_MAX 3     /* of looking for owners */
#define WORTHWHILE 1000  /* of so many blocks with no owner yet one makes another round */
#define LABELS_MAX 65534 /* two bytes each; 0 is none */

/* An (owner's type, field, kind), and what it came to. */
struct label {
	struct python_census_row row;
	uint16_t indirect; /* the label of what blocks with this one lead to; 0 none yet */
};

/* What is kept of a type. */
struct tally {
	uint64_t count, size;
	uint64_t unreferenced_count, unreferenced_size;
	/* The last field that led to a block, as most lead to one after the other. */
	int32_t field;
	uint16_t label;
};

struct taking {
	const struct python *python;
	enum python_census_depth depth;
	struct python_census *census;
	struct python_heaps heaps;
	struct python_space *space;
	struct python_pools *pools;
	struct python_marks marks;
	uint64_t class_pools[PYTHON_CENSUS_CLASSES + 1], class_blocks[PYTHON_CENSUS_CLASSES + 1];
	struct tally *tallies; /* by type */
	size_t tally_capacity;
	struct label *labels; /* [0] is no label: what nobody owns */
	size_t label_count, label_capacity;
	struct lookup label_lookup;
	uint64_t leaf_types[3]; /* addresses of types whose instances lead nowhere */
	unsigned round;         /* of looking for owners */
	uint64_t claimed;       /* blocks that got a label in all rounds */
};

static const char *const leaves[] = {"PyBytes_Type", "PyLong_Type", "PyFloat_Type"};

/* How a type's fields are called in Objects/; numpy's in ndarraytypes.h. */
const char *python_census_field(const struct python *python, const struct python_type *type,
				int32_t field)
{
	const struct python_layout *layout = &python->layout;
	const struct {
		const char *type;
		uint32_t field;
		const char *name;
	} names[] = {
		{"dict", layout->dict.keys, "keys"},
		{"dict", layout->dict.values, "values"},
		{"collections.OrderedDict", layout->dict.keys, "keys"},
		{"collections.defaultdict", layout->dict.keys, "keys"},
		{"list", layout->containers.list_items, "items"},
		{"set", layout->containers.set_table, "table"},
		{"frozenset", layout->containers.set_table, "table"},
		{"bytearray", layout->containers.bytearray_bytes, "buffer"},
		{"type", layout->type.cached_keys, "cached keys"},
		{"numpy.ndarray", 16, "data"},
	};

	for (size_t i = 0; i < array_size(names); i++)
		if (names[i].field == (uint32_t)field && strcmp(names[i].type, type->name) == 0)
			return names[i].name;
	if (field < 0)
		return "instance values";
	return (uint32_t)field >= type->basicsize ? "slots" : NULL;
}

static struct tally *tally_get(struct taking *taking, uint32_t type, struct error **error)
{
	if (type >= taking->tally_capacity) {
		size_t before = taking->tally_capacity;

		*error = array_reserve(&taking->tallies, &taking->tally_capacity, before,
				       type + 1 - before, sizeof(*taking->tallies));
		if (*error)
			return NULL;
		memset(taking->tallies + before, 0,
		       (taking->tally_capacity - before) * sizeof(*taking->tallies));
	}
	return &taking->tallies[type];
}

static bool label_equal(const void *context, uint32_t position, const void *key)
{
	const struct python_census_row *row =
		&((const struct taking *)context)->labels[position].row;
	const struct python_census_row *wanted = key;

	return row->type == wanted->type && row->field == wanted->field &&
	       row->kind == wanted->kind;
}

static struct error *label_intern(struct taking *taking, enum python_census_kind kind,
				  uint32_t type, int32_t field, uint16_t *ret)
{
	struct python_census_row row = {.kind = kind, .type = type, .field = field};
	uint64_t hash = lookup_hash_number(kind, (uint64_t)type << 32 | (uint32_t)field);
	uint32_t found;

	if (taking->label_count == LABELS_MAX) {
		/* The last one stands for all that do not fit. */
		row = (struct python_census_row){kind, PYTHON_NO_TYPE, 0, 0, 0};
		hash = lookup_hash_number(0, 0);
	}
	found = lookup_find(&taking->label_lookup, hash, label_equal, taking, &row);
	if (found == LOOKUP_NONE) {
		if (taking->label_count > LABELS_MAX) {
			*ret = LABELS_MAX;
			return NULL;
		}
		found = (uint32_t)taking->label_count;
		try(array_reserve(&taking->labels, &taking->label_capacity, found, 1,
				  sizeof(*taking->labels)));
		try(lookup_add(&taking->label_lookup, hash, found));
		taking->labels[taking->label_count++] = (struct label){row, 0};
	}
	*ret = (uint16_t)found;
	return NULL;
}

/* The block LABEL stands at gets the label ID. */
static void block_claim(struct taking *taking, const struct python_space_block *block,
			uint16_t *label, uint16_t id)
{
	*label = id;
	taking->labels[id].row.count++;
	taking->labels[id].row.size += block->size;
	taking->claimed++;
}

static bool block_unclaimed(const struct taking *taking, uint64_t address,
			    struct python_space_block *ret, uint16_t **ret_label)
{
	if (address - taking->space->lowest >= taking->space->span ||
	    !python_space_block(taking->space, address, ret))
		return false;
	*ret_label = python_marks_label(&taking->marks, ret->arena, ret->granule);
	return *ret_label && !**ret_label;
}

static struct error *object_scan(struct taking *taking, const struct python_object *object,
				 const uint8_t *block, uint32_t size)
{
	const struct python_type *type = python_types_get(taking->census->types, object->type);
	struct error *error = NULL;
	struct tally *tally = tally_get(taking, object->type, &error);

	if (!tally)
		return error;
	for (uint32_t at = 0; at + 8 <= size; at += 8) {
		struct python_space_block found;
		uint16_t *label;
		uint64_t word;
		int32_t field;

		memcpy(&word, block + at, sizeof(word));
		if (!block_unclaimed(taking, word, &found, &label))
			continue;
		field = (int32_t)at - (int32_t)object->offset;
		if (field > (int32_t)type->basicsize)
			field = (int32_t)type->basicsize;
		if (!tally->label || tally->field != field) {
			try(label_intern(taking, PYTHON_CENSUS_OWNED, object->type, field,
					 &tally->label));
			tally->field = field;
		}
		block_claim(taking, &found, label, tally->label);
	}
	return NULL;
}

/* The block, no object, with the label ID: what it leads to is its owner's too. */
static struct error *owned_scan(struct taking *taking, uint16_t id, const uint8_t *block,
				uint32_t size)
{
	for (uint32_t at = 0; at + 8 <= size; at += 8) {
		const struct python_census_row *owner = &taking->labels[id].row;
		struct python_space_block found;
		uint16_t *label, indirect;
		uint64_t word;

		memcpy(&word, block + at, sizeof(word));
		if (!block_unclaimed(taking, word, &found, &label))
			continue;
		indirect = owner->kind == PYTHON_CENSUS_INDIRECT ? id : taking->labels[id].indirect;
		if (!indirect) {
			try(label_intern(taking, PYTHON_CENSUS_INDIRECT, owner->type, owner->field,
					 &indirect));
			taking->labels[id].indirect = indirect;
		}
		block_claim(taking, &found, label, indirect);
	}
	return NULL;
}

/* Can a word of an instance lead anywhere? What bytes and numbers hold only looks like it. */
static uint32_t scan_size(const struct taking *taking, const struct python_type *type,
			  uint32_t offset, uint32_t size)
{
	uint32_t header = offset + taking->python->layout.unicode.compact_data + 8;

	for (size_t i = 0; i < array_size(leaves); i++)
		if (type->address == taking->leaf_types[i])
			return 0;
	if (type->is_str)
		return header < size ? header : size;
	return size;
}

/* Block I of POOL, which is live: what it leads to is its own, or its owner's. */
static struct error *block_scan(struct taking *taking, const struct python_pool *pool, uint32_t i,
				const uint16_t *label)
{
	const uint8_t *block = pool->memory + PYTHON_POOL_OVERHEAD + (size_t)i * pool->block_size;
	struct python_object object;

	/* What was no object when the heap was counted is not taken for one now. */
	if (label)
		return *label ? owned_scan(taking, *label, block, pool->block_size) : NULL;
	if (taking->round > 0)
		return NULL;
	try(python_types_object(taking->census->types, block, pool->block_size, &object));
	if (object.type == PYTHON_NO_TYPE || object.unreferenced)
		return NULL;
	return object_scan(taking, &object, block,
			   scan_size(taking, python_types_get(taking->census->types, object.type),
				     object.offset, pool->block_size));
}

/* Looks for blocks that what is in POOL leads to. */
static struct error *pool_scan(void *context, const struct python_pool *pool)
{
	struct taking *taking = context;
	uint64_t address = pool->address + PYTHON_POOL_OVERHEAD;
	struct python_space_block first;
	uint32_t step;

	/* Not there, or carved otherwise, when the heap was counted. */
	if (!python_space_block(taking->space, address, &first) || first.size != pool->block_size)
		return NULL;
	step = first.size >> taking->space->granule_bits;
	for (uint32_t i = 0; i < pool->carved; i++)
		if (python_block_live(pool, i))
			try(block_scan(taking, pool, i,
				       python_marks_label(&taking->marks, first.arena,
							  first.granule + i * step)));
	return NULL;
}

static struct error *block_count(struct taking *taking, const struct python_pool *pool, uint32_t i)
{
	uint32_t offset = PYTHON_POOL_OVERHEAD + i * pool->block_size;
	struct python_space_block found;
	struct python_object object;
	struct error *error = NULL;
	struct tally *tally;

	try(python_types_object(taking->census->types, pool->memory + offset, pool->block_size,
				&object));
	if (object.type == PYTHON_NO_TYPE) {
		taking->labels[0].row.count++;
		taking->labels[0].row.size += pool->block_size;
		if (taking->depth == PYTHON_CENSUS_OWNERS &&
		    python_space_block(taking->space, pool->address + offset, &found))
			try(python_marks_set(&taking->marks, found.arena, found.granule));
		return NULL;
	}
	tally = tally_get(taking, object.type, &error);
	if (!tally)
		return error;
	if (object.unreferenced) {
		tally->unreferenced_count++;
		tally->unreferenced_size += pool->block_size;
	} else {
		tally->count++;
		tally->size += pool->block_size;
	}
	return NULL;
}

static struct error *pool_count(void *context, const struct python_pool *pool)
{
	struct taking *taking = context;
	uint32_t class = pool->block_size / taking->python->heap.alignment;

	taking->class_pools[class]++;
	taking->class_blocks[class] += pool->live;
	if (taking->depth == PYTHON_CENSUS_SIZES)
		return NULL;
	python_space_pool_set(taking->space, pool->address, pool->block_size);
	for (uint32_t i = 0; i < pool->carved; i++)
		if (python_block_live(pool, i))
			try(block_count(taking, pool, i));
	return NULL;
}

static struct error *pools_each(struct taking *taking,
				struct error *(*visit)(void *context,
						       const struct python_pool *pool))
{
	struct error *(*each)(struct python_pools * pools, const struct python_arena *arena,
			      struct error *(*visit)(void *context, const struct python_pool *pool),
			      void *context) =
		taking->depth == PYTHON_CENSUS_SIZES ? python_pools_headers : python_pools_each;

	for (size_t i = 0; i < taking->heaps.count; i++) {
		const struct python_arenas *arenas = &taking->heaps.list[i];

		for (size_t j = 0; j < arenas->count; j++)
			try(each(taking->pools, &arenas->list[j], visit, taking));
	}
	return NULL;
}

static struct error *owners_find(struct taking *taking)
{
	struct python_census_row *unowned = &taking->labels[0].row;
	uint64_t most = unowned->count, before;

	try(python_marks_count(&taking->marks));
	for (; taking->round < ROUNDS_MAX; taking->round++) {
		before = taking->claimed;
		try(pools_each(taking, pool_scan));
		if (taking->claimed == before || most - taking->claimed < most / WORTHWHILE)
			break;
	}
	/* What was counted as nobody's and has an owner now. */
	unowned = &taking->labels[0].row;
	for (size_t i = 1; i < taking->label_count; i++) {
		unowned->count -= taking->labels[i].row.count;
		unowned->size -= taking->labels[i].row.size;
	}
	return NULL;
}

static struct error *row_add(struct python_census *census, size_t *capacity,
			     const struct python_census_row *row)
{
	if (!row->count)
		return NULL;
	try(array_reserve(&census->rows, capacity, census->row_count, 1, sizeof(*census->rows)));
	census->rows[census->row_count++] = *row;
	return NULL;
}

static struct error *rows_take(struct taking *taking)
{
	struct python_census *census = taking->census;
	size_t types = python_types_count(census->types), capacity = 0;

	for (uint32_t i = 0; i < types && i < taking->tally_capacity; i++) {
		const struct tally *tally = &taking->tallies[i];
		const struct python_census_row objects = {PYTHON_CENSUS_OBJECT, i, 0, tally->count,
							  tally->size};
		const struct python_census_row unreferenced = {PYTHON_CENSUS_UNREFERENCED, i, 0,
							       tally->unreferenced_count,
							       tally->unreferenced_size};

		try(row_add(census, &capacity, &objects));
		try(row_add(census, &capacity, &unreferenced));
	}
	for (size_t i = 0; i < taking->label_count; i++)
		try(row_add(census, &capacity, &taking->labels[i].row));
	return NULL;
}

static void sizes_take(struct taking *taking)
{
	struct python_census *census = taking->census;

	for (uint32_t i = 1; i <= PYTHON_CENSUS_CLASSES; i++) {
		uint32_t size = i * taking->python->heap.alignment;

		if (!taking->class_pools[i])
			continue;
		census->sizes[census->size_count++] = (struct python_census_size){
			size, taking->class_pools[i], taking->class_blocks[i]};
		census->count += taking->class_blocks[i];
		census->size += taking->class_blocks[i] * size;
	}
}

static void heaps_take(struct taking *taking)
{
	struct python_census *census = taking->census;

	census->heaps = taking->heaps.count;
	for (size_t i = 0; i < taking->heaps.count; i++)
		census->arenas += taking->heaps.list[i].count;
	census->arena_bytes = (uint64_t)census->arenas << taking->python->heap.arena_bits;
}

/* The interpreter counts what came from the raw allocator, or that and its pools' blocks. */
static void allocated_take(struct taking *taking)
{
	struct python_census *census = taking->census;
	uint64_t counted = 0;

	census->allocated_blocks = UINT64_MAX;
	for (size_t i = 0; i < taking->heaps.count; i++) {
		if (taking->heaps.list[i].counted == PYTHON_COUNTED_UNKNOWN)
			return;
		counted += taking->heaps.list[i].blocks;
	}
	if (!taking->heaps.count)
		return;
	census->allocated_blocks =
		taking->heaps.list[0].counted == PYTHON_COUNTED_ALL ? counted : counted + census->count;
}

static struct error *taking_begin(struct taking *taking)
{
	const struct python *python = taking->python;
	uint32_t granules = 1u << python->heap.arena_bits;

	for (size_t i = 0; i < array_size(leaves); i++)
		taking->leaf_types[i] = python_symbol(python, leaves[i]);
	try(array_reserve(&taking->labels, &taking->label_capacity, 0, 1, sizeof(*taking->labels)));
	taking->labels[taking->label_count++] =
		(struct label){{PYTHON_CENSUS_UNOWNED, PYTHON_NO_TYPE, 0, 0, 0}, 0};
	try(python_heaps_read(python, &taking->heaps));
	heaps_take(taking);
	try(python_space_create(python, &taking->heaps, &taking->space));
	try(python_marks_init(&taking->marks, taking->space->arena_count,
			      granules >> taking->space->granule_bits));
	try(python_pools_create(python, &taking->pools));
	return python_types_create(python, taking->space, &taking->census->types);
}

static struct error *census_take(struct taking *taking)
{
	try(taking_begin(taking));
	try(pools_each(taking, pool_count));
	taking->census->unread = python_pools_unread(taking->pools);
	sizes_take(taking);
	allocated_take(taking);
	if (taking->depth == PYTHON_CENSUS_OWNERS)
		try(owners_find(taking));
	return rows_take(taking);
}

static void taking_end(struct taking *taking)
{
	python_pools_destroy(taking->pools);
	python_marks_deinit(&taking->marks);
	python_space_destroy(taking->space);
	python_heaps_deinit(&taking->heaps);
	lookup_deinit(&taking->label_lookup);
	free(taking->tallies);
	free(taking->labels);
}

struct error *python_census_create(const struct python *python, enum python_census_depth depth,
				   struct python_census **ret)
{
	struct taking taking = {.python = python, .depth = depth};
	struct error *error;

	taking.census = calloc(1, sizeof(*taking.census));
	if (!taking.census)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a census");
	error = census_take(&taking);
	taking_end(&taking);
	if (error) {
		python_census_destroy(taking.census);
		return error;
	}
	*ret = taking.census;
	return NULL;
}

void python_census_destroy(struct python_census *census)
{
	if (!census)
		return;
	python_types_destroy(census->types);
	free(census->rows);
	free(census);
}
