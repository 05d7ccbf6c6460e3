// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The search for referrers: level by level, through all blocks and the words outside the heap, for
 * words that lead to what was found before.
 */
#include "python/heap/referrers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/lookup.h"
#include "python/heap/arenas.h"
#include "python/heap/extent.h"
#include "python/malloc.h"
#include "python/heap/marks.h"
#include "python/heap/members.h"
#include "python/heap/pools.h"
#include "python/python.h"
#include "python/heap/referrer_names.h"
#include "python/heap/space.h"
#include "python/heap/types.h"
#include "python/heap/words.h"
#include "target/malloc/glibc.h"
#include "target/process/resident.h"

#define MEMBERS_MAX (1u << 20) /* of a level whose referrers are looked for */
#define GROUPS_MAX  65536
#define CHUNK_READ  (64u << 10) /* bytes of a long block that are read at once */

struct search {
	const struct python *python;
	struct python_heaps heaps;
	struct python_space *space;
	struct python_pools *pools;
	struct python_referrers *result;
	uint8_t *buffer;
	struct glibc_range *excluded; /* the arenas */
	struct resident *resident;
	struct python_extent_reader extents;
	/* Objects of all levels so far: in arenas, and elsewhere. */
	struct python_marks visited;
	struct lookup visited_lookup;
	uint64_t *visited_others;
	size_t visited_count, visited_capacity;
	struct python_members members; /* what is looked for now */
	struct python_members found;   /* objects that refer to them: the next level */
	struct python_members through; /* and blocks that are none */
	struct lookup group_lookup;
	unsigned int level;
	const char *type; /* that is asked for, at level 0; else NULL */
	uint64_t address;
	bool last_name; /* TYPE is what is behind a type's last dot */
};

static struct error *member_add(struct search *search, struct python_members *members,
				const struct python_member *member)
{
	if (members->count == MEMBERS_MAX) {
		search->result->unfollowed++;
		return NULL;
	}
	return python_members_add(members, member);
}

static bool group_equal(const void *context, uint32_t position, const void *key)
{
	const struct python_referrer *group =
		&((const struct python_referrers *)context)->groups[position];
	const struct python_referrer *wanted = key;

	return group->kind == wanted->kind && group->level == wanted->level &&
	       group->of == wanted->of && group->type == wanted->type &&
	       group->field == wanted->field &&
	       (group->kind != PYTHON_REFERRER_FRAME || group->address == wanted->address);
}

/* The group like WANTED, which is one of it: counted there. RET_NEW: it is the first one. */
static struct error *group_count(struct search *search, const struct python_referrer *wanted,
				 uint32_t *ret, bool *ret_new)
{
	struct python_referrers *result = search->result;
	uint64_t hash = lookup_hash_number(
		lookup_hash_number(wanted->kind, (uint64_t)wanted->level << 32 | wanted->of),
		(uint64_t)wanted->type << 32 | (uint32_t)wanted->field);
	uint32_t found;

	if (wanted->kind == PYTHON_REFERRER_FRAME)
		hash = lookup_hash_number(hash, wanted->address);
	found = lookup_find(&search->group_lookup, hash, group_equal, result, wanted);
	*ret_new = found == LOOKUP_NONE;
	if (found == LOOKUP_NONE) {
		if (result->count == GROUPS_MAX)
			return error_create(ERROR_FAILED, "more than %u kinds of referrers",
					    GROUPS_MAX);
		found = (uint32_t)result->count;
		try(array_reserve(&result->groups, &result->capacity, found, 1,
				  sizeof(*result->groups)));
		try(lookup_add(&search->group_lookup, hash, found));
		result->groups[result->count++] = *wanted;
	}
	result->groups[found].count++;
	*ret = found;
	return NULL;
}

static bool visited_equal(const void *context, uint32_t position, const void *key)
{
	return ((const struct search *)context)->visited_others[position] == *(const uint64_t *)key;
}

/* Is the object at ADDRESS a new one? From now on it is not. */
static struct error *visit_once(struct search *search, uint64_t address, bool *ret)
{
	uint64_t hash;

	if (python_space_arena(search->space, address) != PYTHON_NO_ARENA) {
		*ret = !python_granule_marked(search->space, &search->visited, address);
		return *ret ? python_granules_mark(search->space, &search->visited, address,
						   address + 1)
			    : NULL;
	}
	hash = lookup_hash_number(0, address);
	*ret = lookup_find(&search->visited_lookup, hash, visited_equal, search, &address) ==
	       LOOKUP_NONE;
	if (!*ret)
		return NULL;
	if (search->visited_count == LOOKUP_NONE)
		return error_create(ERROR_FAILED, "too many objects");
	try(array_reserve(&search->visited_others, &search->visited_capacity, search->visited_count,
			  1, sizeof(*search->visited_others)));
	try(lookup_add(&search->visited_lookup, hash, (uint32_t)search->visited_count));
	search->visited_others[search->visited_count++] = address;
	return NULL;
}

/* The object at ADDRESS refers to MEMBER by FIELD. */
static struct error *object_found(struct search *search, const struct python_member *member,
				  uint32_t type, int32_t field, uint64_t address)
{
	struct python_referrer wanted = {
		.kind = PYTHON_REFERRER_OBJECT,
		.level = search->level,
		.of = member->group,
		.type = type,
		.field = field,
		.address = address,
	};
	const struct python_type *found = python_types_get(search->result->types, type);
	struct python_member next = {address, address + 1, 0, 0};
	struct python_referrer *group;
	bool first;

	/* Beyond what each instance has there are only items, all alike. */
	if (wanted.field > (int32_t)found->basicsize)
		wanted.field = (int32_t)found->basicsize;
	try(visit_once(search, address, &first));
	if (!first)
		return NULL;
	try(group_count(search, &wanted, &next.group, &first));
	group = &search->result->groups[next.group];
	if (first) {
		try(python_referrer_name(search->python, search->result->types, group));
		if (member->word)
			try(python_referrer_key(search->python, member->word, group));
	}
	return member_add(search, &search->found, &next);
}

/* Something that is no object on the heap does. */
static struct error *other_found(struct search *search, const struct python_member *member,
				 const struct python_words *words, size_t i)
{
	struct python_referrer wanted = {
		.kind = words->frame ? PYTHON_REFERRER_FRAME : PYTHON_REFERRER_STATIC,
		.level = search->level,
		.of = member->group,
		.type = PYTHON_NO_TYPE,
		.field = words->frame ? 0 : (int32_t)words->library,
		.address = words->frame ? words->frame : words->address + i * 8,
	};
	cleanup_free char *name = NULL;
	uint32_t group;
	bool first;

	try(group_count(search, &wanted, &group, &first));
	if (!first)
		return NULL;
	try(words->name(words, &name));
	search->result->groups[group].name = take(name);
	return NULL;
}

/* The first word of a block from byte FROM on that leads to a member. */
static const struct python_member *block_find(const struct search *search, const uint8_t *block,
					      uint32_t from, uint32_t size, uint32_t *ret_at)
{
	for (uint32_t at = from; at + 8 <= size; at += 8) {
		const struct python_member *member;
		uint64_t word;

		memcpy(&word, block + at, sizeof(word));
		member = word < 65536 ? NULL
				      : python_members_find(&search->members, search->space, word);
		if (member) {
			*ret_at = at;
			return member;
		}
	}
	return NULL;
}

/* A block in which words that lead to members are looked for, one after the other. */
struct block {
	uint64_t address, size;
	const uint8_t *memory; /* its first ROOM bytes */
	uint32_t room;
	uint64_t at; /* of the word at hand */
	bool known;  /* what follows was found out */
	struct python_object object;
	struct python_extent extent;
};

/* Whether the word at hand may lead anywhere. If not, AT is where the next one is that may. */
static struct error *block_leads(struct search *search, struct block *block, bool *ret)
{
	struct python_types *types = search->result->types;

	if (!block->known) {
		try(python_types_object(types, block->memory, block->room, &block->object));
		block->known = true;
		block->extent = (struct python_extent){
			.hole = block->size, .hole_end = block->size, .most = block->size};
		if (block->object.type != PYTHON_NO_TYPE)
			python_extent_find(&search->extents,
					   python_types_get(types, block->object.type),
					   &block->object, block->memory, block->room, block->size,
					   &block->extent);
	}
	*ret = block->at < block->extent.most &&
	       (block->at < block->extent.hole || block->at >= block->extent.hole_end);
	if (!*ret)
		block->at = block->at < block->extent.hole_end ? block->extent.hole_end
							       : block->size;
	return NULL;
}

/* BLOCK leads to MEMBER by the word at hand. */
static struct error *block_found(struct search *search, const struct python_member *member,
				 const struct block *block)
{
	const struct python_object *object = &block->object;
	struct python_member through;

	if (object->type != PYTHON_NO_TYPE)
		return object->unreferenced
			       ? NULL
			       : object_found(search, member, object->type,
					      (int32_t)(block->at < INT32_MAX ? block->at
									      : INT32_MAX) -
						      (int32_t)object->offset,
					      block->address + object->offset);
	/* Once: what leads to a block that leads to such a block is not looked for. */
	if (member->word)
		return NULL;
	through = (struct python_member){block->address, block->address + block->size,
					 member->group, block->address + block->at};
	return member_add(search, &search->through, &through);
}

/* The next word of BLOCK that leads to a member; what is not there in memory leads nowhere. */
static const struct python_member *block_next(struct search *search, struct block *block)
{
	const struct python_member *member = NULL;
	uint64_t done = block->room & ~7ULL; /* where words begin */
	uint32_t at;

	if (block->at < block->room) {
		member = block_find(search, block->memory, (uint32_t)block->at, block->room, &at);
		if (member)
			block->at = at;
	}
	if (done < block->at)
		done = block->at;
	while (!member && done < block->size) {
		uint64_t size = block->size - done < CHUNK_READ ? block->size - done : CHUNK_READ;
		uint64_t start = block->address + done;
		struct error *error;

		if (!search->resident || resident_bytes(search->resident, start, start + size)) {
			error = memory_read(&search->python->process->memory, start, search->buffer,
					    size);
			if (!error)
				member = block_find(search, search->buffer, 0, (uint32_t)size, &at);
			error_destroy(error); /* it was given back meanwhile */
			if (member)
				block->at = done + at;
		}
		done += size;
	}
	return member;
}

/* By its first word that leads to a member and is none of a number. */
static struct error *block_search(struct search *search, struct block *block)
{
	const struct python_member *member;
	bool leads;

	while ((member = block_next(search, block))) {
		try(block_leads(search, block, &leads));
		if (leads)
			return block_found(search, member, block);
	}
	return NULL;
}

static struct error *chunk_search(void *context, const struct glibc_chunk *chunk)
{
	struct block block = {
		.address = chunk->address,
		.size = chunk->size,
		.memory = chunk->start,
		.room = (uint32_t)(chunk->size < chunk->start_size ? chunk->size
								   : chunk->start_size),
	};

	return glibc_state_free(chunk->state) ? NULL : block_search(context, &block);
}

static struct error *pool_search(void *context, const struct python_pool *pool)
{
	for (uint32_t i = 0; i < pool->carved; i++) {
		uint64_t offset = PYTHON_POOL_OVERHEAD + (uint64_t)i * pool->block_size;
		struct block block = {
			.address = pool->address + offset,
			.size = pool->block_size,
			.memory = pool->memory + offset,
			.room = pool->block_size,
		};

		if (python_block_live(pool, i))
			try(block_search(context, &block));
	}
	return NULL;
}

/* Level 0: is this block what was asked for? */
static struct error *block_ask(struct search *search, uint64_t address, const uint8_t *block,
			       uint32_t size)
{
	struct python_object object;
	struct python_member member = {0};
	const struct python_type *type;

	if (!search->type && search->address - address >= size)
		return NULL;
	try(python_types_object(search->result->types, block, size, &object));
	if (object.type == PYTHON_NO_TYPE || object.unreferenced)
		return NULL;
	type = python_types_get(search->result->types, object.type);
	if (search->type && !python_type_called(type, search->type, search->last_name))
		return NULL;
	return object_found(search, &member, object.type, 0, address + object.offset);
}

static struct error *pool_ask(void *context, const struct python_pool *pool)
{
	struct search *search = context;

	if (!search->type && search->address - pool->address >= search->python->heap.pool_size)
		return NULL;
	for (uint32_t i = 0; i < pool->carved; i++) {
		uint64_t offset = PYTHON_POOL_OVERHEAD + (uint64_t)i * pool->block_size;

		if (python_block_live(pool, i))
			try(block_ask(search, pool->address + offset, pool->memory + offset,
				      pool->block_size));
	}
	return NULL;
}

static struct error *chunk_ask(void *context, const struct glibc_chunk *chunk)
{
	struct search *search = context;

	if (glibc_state_free(chunk->state) ||
	    (!search->type && search->address - chunk->address >= chunk->size))
		return NULL;
	return block_ask(search, chunk->address, chunk->start,
			 (uint32_t)(chunk->size < chunk->start_size ? chunk->size
								    : chunk->start_size));
}

/* What a walk could not look at. */
static struct error *chunks_unread(const struct glibc *glibc, struct python_referrers *result)
{
	const struct glibc_totals *totals = glibc_totals(glibc);
	uint64_t unknown = totals->unknown + totals->mapped_unknown;

	if (unknown > result->malloc_unknown)
		result->malloc_unknown = unknown;
	if (totals->vanished > result->malloc_vanished)
		result->malloc_vanished = totals->vanished;
	if (!glibc_absent(glibc) || result->malloc_absent)
		return NULL;
	result->malloc_absent = strdup(glibc_absent(glibc));
	return result->malloc_absent
		       ? NULL
		       : error_create_errno(ERROR_FAILED, ENOMEM, "the search for referrers");
}

static struct error *chunks_each(struct search *search,
				 struct error *(*visit)(void *context,
							const struct glibc_chunk *chunk))
{
	struct glibc *glibc;
	struct error *error;

	try(python_glibc_create(search->python, search->excluded, search->space->arena_count,
				&glibc));
	error = glibc_each(glibc, visit, search);
	if (!error)
		error = chunks_unread(glibc, search->result);
	glibc_destroy(glibc);
	return error;
}

static struct error *words_search(void *context, const struct python_words *words)
{
	struct search *search = context;

	for (size_t i = 0; i < words->count; i++) {
		const struct python_member *member =
			python_members_find(&search->members, search->space, words->list[i]);
		if (member)
			try(other_found(search, member, words, i));
	}
	return NULL;
}

static struct error *members_search(struct search *search)
{
	try(python_pools_all(search->pools, &search->heaps, false, pool_search, search));
	try(chunks_each(search, chunk_search));
	return python_words_each(search->python, words_search, search);
}

/* The referrers of what was found last. */
static struct error *level_search(struct search *search)
{
	python_members_deinit(&search->members);
	search->members = search->found;
	search->found = (struct python_members){0};
	try(python_members_settle(&search->members, search->space));
	try(members_search(search));
	if (!search->through.count)
		return NULL;
	python_members_deinit(&search->members);
	search->members = search->through;
	search->through = (struct python_members){0};
	try(python_members_settle(&search->members, search->space));
	return members_search(search);
}

static struct error *search_begin(struct search *search)
{
	const struct python *python = search->python;

	python_extent_reader_init(&search->extents, python);
	try(python_heaps_read(python, &search->heaps));
	try(python_space_create(python, &search->heaps, &search->space));
	try(python_marks_init(&search->visited, search->space->arena_count,
			      python_granules_per_arena(search->space)));
	try(python_pools_create(python, &search->pools));
	try(python_space_ranges(search->space, &search->excluded));
	search->buffer = malloc(CHUNK_READ);
	if (!search->buffer)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the search for referrers");
	error_destroy(resident_create(python->process, &search->resident));
	return python_types_create(python, search->space, &search->result->types);
}

/* Level 0. */
static struct error *heap_ask(struct search *search)
{
	try(python_pools_all(search->pools, &search->heaps, false, pool_ask, search));
	return chunks_each(search, chunk_ask);
}

static struct error *search_run(struct search *search, unsigned int levels)
{
	try(search_begin(search));
	try(heap_ask(search));
	if (!search->result->count && search->type && !strchr(search->type, '.')) {
		search->last_name = true;
		try(heap_ask(search));
	}
	if (!search->result->count && search->type)
		return error_create(ERROR_NOTHING, "process %d holds no object of type %s",
				    (int)search->python->process->pid, search->type);
	if (!search->result->count)
		return error_create(ERROR_NOTHING,
				    "process %d: 0x%" PRIx64 " lies in no live object",
				    (int)search->python->process->pid, search->address);
	for (search->level = 1; search->level <= levels && search->found.count; search->level++)
		try(level_search(search));
	return NULL;
}

static void search_end(struct search *search)
{
	python_members_deinit(&search->members);
	python_members_deinit(&search->found);
	python_members_deinit(&search->through);
	python_marks_deinit(&search->visited);
	lookup_deinit(&search->visited_lookup);
	free(search->visited_others);
	free(search->excluded);
	free(search->buffer);
	resident_destroy(search->resident);
	lookup_deinit(&search->group_lookup);
	python_pools_destroy(search->pools);
	python_space_destroy(search->space);
	python_heaps_deinit(&search->heaps);
}

struct error *python_referrers_create(const struct python *python, const char *type,
				      uint64_t address, unsigned int levels,
				      struct python_referrers **ret)
{
	struct search search = {.python = python, .type = type, .address = address};
	struct error *error;

	search.result = calloc(1, sizeof(*search.result));
	if (!search.result)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the search for referrers");
	error = search_run(&search, levels);
	if (search.pools)
		search.result->unread = python_pools_unread(search.pools);
	search_end(&search);
	if (error) {
		python_referrers_destroy(search.result);
		return error;
	}
	*ret = search.result;
	return NULL;
}

void python_referrers_destroy(struct python_referrers *referrers)
{
	if (!referrers)
		return;
	for (size_t i = 0; i < referrers->count; i++) {
		free(referrers->groups[i].key);
		free(referrers->groups[i].name);
	}
	free(referrers->groups);
	free(referrers->malloc_absent);
	python_types_destroy(referrers->types);
	free(referrers);
}
