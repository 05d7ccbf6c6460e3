// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/string_pool.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct pooled_string {
	UT_hash_handle hh;
	size_t holders, length;
	char data[];
};

struct string_pool {
	struct pooled_string *all;
	struct pooled_string *empty;
};

static struct pooled_string *entry_create(struct string_pool *pool, const char *string,
					  size_t length)
{
	struct pooled_string *entry = calloc(1, sizeof(*entry) + length + 1);

	if (!entry)
		return NULL;
	entry->length = length;
	memcpy(entry->data, string, length);
	HASH_ADD_KEYPTR(hh, pool->all, entry->data, entry->length, entry);
	return entry;
}

struct string_pool *string_pool_create(void)
{
	struct string_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->empty = entry_create(pool, "", 0);
	if (!pool->empty) {
		free(pool);
		return NULL;
	}
	pool->empty->holders = 1;
	return pool;
}

void string_pool_destroy(struct string_pool *pool)
{
	struct pooled_string *entry, *next;

	if (!pool)
		return;
	HASH_ITER (hh, pool->all, entry, next) {
		HASH_DEL(pool->all, entry);
		free(entry);
	}
	free(pool);
}

struct pooled_string *string_pool_intern(struct string_pool *pool, const char *string)
{
	size_t length = strlen(string);
	struct pooled_string *entry;

	HASH_FIND(hh, pool->all, string, length, entry);
	if (!entry)
		entry = entry_create(pool, string, length);
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
	if (!entry || --entry->holders)
		return;
	HASH_DEL(pool->all, entry);
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
