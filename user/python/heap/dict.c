// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads the keys and values of dicts, whole or not at all. */
#include "python/heap/dict.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/python.h"
#include "python/heap/space.h"

#define ADDRESS_MAX   (1ULL << 47)
#define OB_TYPE       8
#define DICT_BYTES    64  /* more than the fields that are read of a dict, or of its keys' head */
#define LOG2_SIZE_MAX 40  /* slots of a hash table: more than any memory holds */
#define SMALL_MAX     512 /* bytes: SMALL_REQUEST_THRESHOLD of Objects/obmalloc.c */

enum { KIND_GENERAL, KIND_UNICODE, KIND_SPLIT, KINDS };

/* A dict's keys that hold together. */
struct keys {
	uint64_t entries; /* address */
	uint64_t count;
	uint32_t entry_size, key; /* bytes; where in an entry the key is, the value behind it */
};

static bool address_good(uint64_t address)
{
	return address && address % 8 == 0 && address < ADDRESS_MAX;
}

static uint64_t word_at(const uint8_t *data, uint32_t offset)
{
	uint64_t word;

	memcpy(&word, data + offset, sizeof(word));
	return word;
}

/*
 * The logarithm of the bytes of an index in a hash table of 2^LOG2_SIZE slots: DK_IXSIZE() of
 * Objects/dictobject.c.
 */
static unsigned int index_shift(unsigned int log2_size)
{
	return log2_size < 8 ? 0 : log2_size < 16 ? 1 : log2_size < 32 ? 2 : 3;
}

/*
 * The logarithms of the hash table's size and of its indices' bytes, and the kind of entries. False
 * if the head says none that can be.
 */
static bool head_parse(const struct python_layout *layout, const uint8_t *head,
		       unsigned int *ret_size, unsigned int *ret_bytes, unsigned int *ret_kind)
{
	uint64_t size;

	if (layout->dict.keys_size == PYTHON_NO_OFFSET) {
		*ret_size = head[layout->dict.keys_log2_size];
		*ret_bytes = head[layout->dict.keys_log2_index_bytes];
		*ret_kind = head[layout->dict.keys_kind];
		if (*ret_size > LOG2_SIZE_MAX || *ret_kind >= KINDS)
			return false;
		/* Those of the one empty table that all share fill a word. */
		return *ret_bytes == *ret_size + index_shift(*ret_size) ||
		       (*ret_size == 0 && *ret_bytes == 3);
	}
	size = word_at(head, layout->dict.keys_size);
	if (!size || size & (size - 1) || size > 1ULL << LOG2_SIZE_MAX)
		return false;
	*ret_size = (unsigned int)__builtin_ctzll(size);
	*ret_bytes = *ret_size + index_shift(*ret_size);
	*ret_kind = KIND_GENERAL;
	return true;
}

/* Could a block of SIZE bytes lie at ADDRESS? In an arena it is a block of one of its pools. */
static bool block_fits(const struct python *python, const struct python_space *space,
		       uint64_t address, uint64_t size)
{
	uint64_t within = address & (python->heap.pool_size - 1);

	if (python_space_arena(space, address) == PYTHON_NO_ARENA)
		return size <= ADDRESS_MAX - address;
	return size <= SMALL_MAX && within >= PYTHON_POOL_OVERHEAD &&
	       within + size <= python->heap.pool_size;
}

/* The keys at ADDRESS, whose HEAD was read; false where they do not hold together. */
static bool keys_parse(const struct python *python, const struct python_space *space,
		       uint64_t address, const uint8_t *head, struct keys *ret)
{
	const struct python_layout *layout = &python->layout;
	unsigned int log2_size, log2_bytes, kind;
	uint64_t usable, before;
	struct keys keys;

	if (!head_parse(layout, head, &log2_size, &log2_bytes, &kind))
		return false;
	usable = (2ULL << log2_size) / 3; /* USABLE_FRACTION() */
	before = layout->dict.keys_indices + (1ULL << log2_bytes);
	keys.entries = address + before;
	keys.count = word_at(head, layout->dict.keys_nentries);
	keys.entry_size = kind == KIND_GENERAL ? 24 : 16; /* hash, key, value; or key, value */
	keys.key = kind == KIND_GENERAL ? 8 : 0;
	if (keys.count > usable ||
	    !block_fits(python, space, address, before + keys.count * keys.entry_size))
		return false;
	*ret = keys;
	return true;
}

static struct error *entries_read(struct memory *memory, const struct keys *keys,
				  struct python_dict *ret)
{
	uint32_t count = keys->count < PYTHON_DICT_MAX ? (uint32_t)keys->count : PYTHON_DICT_MAX;
	cleanup_free uint8_t *data = reallocarray(NULL, count, keys->entry_size);
	cleanup_free struct python_dict_entry *entries =
		reallocarray(NULL, count, sizeof(*entries));

	if (!data || !entries)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a dict of a process");
	try(memory_read(memory, keys->entries, data, (size_t)count * keys->entry_size));
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *entry = data + (size_t)i * keys->entry_size;

		entries[i].key = word_at(entry, keys->key);
		entries[i].value = word_at(entry, keys->key + 8);
	}
	*ret = (struct python_dict){take(entries), count};
	return NULL;
}

static struct error *dict_read(const struct python *python, const struct python_space *space,
			       uint64_t type, uint64_t address, struct python_dict *ret)
{
	const struct python_layout *layout = &python->layout;
	struct memory *memory = &python->process->memory;
	uint8_t data[DICT_BYTES];
	struct keys keys;

	if (!address_good(address) || layout->dict.keys > sizeof(data) - 8 ||
	    layout->dict.keys_indices > sizeof(data) ||
	    layout->dict.keys_nentries > sizeof(data) - 8)
		return NULL;
	try(memory_read(memory, address, data, layout->dict.keys + 8));
	address = word_at(data, layout->dict.keys);
	if (word_at(data, OB_TYPE) != type || !address_good(address))
		return NULL;
	try(memory_read(memory, address, data, layout->dict.keys_indices));
	if (!keys_parse(python, space, address, data, &keys) || !keys.count)
		return NULL;
	return entries_read(memory, &keys, ret);
}

struct error *python_dict_read(const struct python *python, const struct python_space *space,
			       uint64_t type, uint64_t address, struct python_dict *ret)
{
	struct error *error;

	*ret = (struct python_dict){0};
	error = dict_read(python, space, type, address, ret);
	if (!error || error_number(error) != EFAULT)
		return error;
	error_destroy(error);
	return NULL;
}

void python_dict_deinit(struct python_dict *dict)
{
	free(dict->entries);
	*dict = (struct python_dict){0};
}
