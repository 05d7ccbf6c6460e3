// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Interned strings, counted by holder; an array of them without gaps, and a table to find one. */
#include "base/string_pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/error.h"
#include "base/lookup.h"

struct pooled_string {
	uint64_t hash;
	size_t holders, length;
	uint32_t position; /* in the pool's array */
	char data[];
};

struct string_pool {
	struct pooled_string **list;
	size_t count, capacity;
	struct lookup lookup;
	struct pooled_string *empty; /* always there */
};

struct key {
	const char *string;
	size_t length;
};

static bool string_equal(const void *context, uint32_t position, const void *key)
{
	const struct pooled_string *entry = ((const struct string_pool *)context)->list[position];
	const struct key *wanted = key;

	return entry->length == wanted->length &&
	       !memcmp(entry->data, wanted->string, wanted->length);
}

/* Finds a place for ENTRY in POOL. */
static struct error *entry_add(struct string_pool *pool, struct pooled_string *entry)
{
	struct error *error =
		array_reserve(&pool->list, &pool->capacity, pool->count, 1, sizeof(*pool->list));

	if (!error)
		error = lookup_add(&pool->lookup, entry->hash, (uint32_t)pool->count);
	if (error)
		return error;
	entry->position = (uint32_t)pool->count;
	pool->list[pool->count++] = entry;
	return NULL;
}

/* NULL without memory. */
static struct pooled_string *entry_create(struct string_pool *pool, const struct key *key,
					  uint64_t hash)
{
	struct pooled_string *entry;
	struct error *error;

	if (pool->count >= LOOKUP_NONE)
		return NULL;
	entry = calloc(1, sizeof(*entry) + key->length + 1);
	if (!entry)
		return NULL;
	entry->hash = hash;
	entry->length = key->length;
	memcpy(entry->data, key->string, key->length);
	error = entry_add(pool, entry);
	if (error) {
		error_destroy(error);
		free(entry);
		return NULL;
	}
	return entry;
}

/* The string equal to STRING, which nobody holds yet if it is new; NULL without memory. */
static struct pooled_string *entry_find(struct string_pool *pool, const char *string)
{
	struct key key = {string, strlen(string)};
	uint64_t hash = lookup_hash(0, string, key.length);
	uint32_t found = lookup_find(&pool->lookup, hash, string_equal, pool, &key);

	return found != LOOKUP_NONE ? pool->list[found] : entry_create(pool, &key, hash);
}

struct string_pool *string_pool_create(void)
{
	struct string_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->empty = entry_find(pool, "");
	if (!pool->empty) {
		string_pool_destroy(pool);
		return NULL;
	}
	pool->empty->holders = 1;
	return pool;
}

void string_pool_destroy(struct string_pool *pool)
{
	if (!pool)
		return;
	for (size_t i = 0; i < pool->count; i++)
		free(pool->list[i]);
	free(pool->list);
	lookup_deinit(&pool->lookup);
	free(pool);
}

struct pooled_string *string_pool_intern(struct string_pool *pool, const char *string)
{
	struct pooled_string *entry = entry_find(pool, string);

	if (!entry)
		entry = pool->empty;
	entry->holders++;
	return entry;
}

void string_pool_hold(struct pooled_string *entry)
{
	entry->holders++;
}

void string_pool_release(struct string_pool *pool, struct pooled_string *entry)
{
	struct pooled_string *last;

	if (!entry || --entry->holders)
		return;
	lookup_remove(&pool->lookup, entry->hash, entry->position);
	last = pool->list[--pool->count];
	if (last != entry) {
		lookup_move(&pool->lookup, last->hash, last->position, entry->position);
		last->position = entry->position;
		pool->list[last->position] = last;
	}
	free(entry);
}

const char *pooled_string_data(const struct pooled_string *entry)
{
	return entry->data;
}

size_t pooled_string_length(const struct pooled_string *entry)
{
	return entry->length;
}
