// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Finds numbers and strings of a block that tell it from the next one at its address. */
#include "trace/sampling/fingerprint.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/lookup.h"
#include "python/python_internal.h"
#include "python/python.h"

/* How many bytes are looked at of what a pointer leads to. */
#define NODE_SIZE 128
/* How many words are looked at of the block itself. */
#define BLOCK_WORDS 32
/*
 * How many pointers are followed in search of marks, and how many nodes have their own pointers
 * followed.
 */
#define READS_MAX 24
#define NODES_MAX 8
/* Something with more references than this is not one block's own. */
#define OWNERS_MAX  3
#define ADDRESS_MAX (1ull << 47)
/*
 * The managed dict and the weak references before an object (Include/internal/pycore_object.h, 3.11
 * on).
 */
#define MANAGED_SIZE 32

/* What a pointer leads to, and the way there. */
struct node {
	uint8_t data[NODE_SIZE];
	uint32_t size;
	struct fingerprint_feature way;
};

struct search {
	const struct fingerprint_reader *reader;
	struct fingerprint found;
	struct node nodes[NODES_MAX];
	size_t count, reads;
};

void fingerprint_reader_init(struct fingerprint_reader *reader, const struct python *python)
{
	*reader = (struct fingerprint_reader){
		.python = python,
		.int_type = python_symbol(python, "PyLong_Type"),
		.float_type = python_symbol(python, "PyFloat_Type"),
		.bytes_type = python_symbol(python, "PyBytes_Type"),
		.str_type = python_symbol(python, "PyUnicode_Type"),
	};
}

static uint64_t word_at(const uint8_t *data, uint32_t offset)
{
	uint64_t word;

	memcpy(&word, data + offset, sizeof(word));
	return word;
}

/*
 * The address in WORD; 0: it is no pointer. 3.12 marks a pointer to an instance's values by
 * subtracting one (PyDictOrValues).
 */
static uint64_t pointer_of(uint64_t word)
{
	word += word % 8 == 7;
	return word % 8 || word < 1 << 16 || word >= ADDRESS_MAX ? 0 : word;
}

/* Reads as much as can be read at ADDRESS; RET_SIZE 0: nothing can. */
static struct error *node_read(const struct fingerprint_reader *reader, uint64_t address,
			       uint8_t data[NODE_SIZE], uint32_t *ret_size)
{
	struct memory *memory = &reader->python->process->memory;
	uint32_t size = NODE_SIZE, page = 4096 - (uint32_t)(address & 4095);
	struct error *error = memory_read(memory, address, data, size);

	if (error && error_number(error) == EFAULT && page < size) {
		error_destroy(error);
		size = page;
		error = memory_read(memory, address, data, size);
	}
	if (error && error_number(error) == EFAULT) {
		error_destroy(error);
		error = NULL;
		size = 0;
	}
	if (!error)
		*ret_size = size;
	return error;
}

/*
 * Whether WORD may be the reference count that objects begin with: a pointer's upper 32 bits are
 * not.
 */
static bool word_is_count(uint64_t word)
{
	return word >> 32 == 0 || word >= ADDRESS_MAX;
}

/* Objects and the tables of dicts begin with the number of references to them. */
static bool node_is_shared(const uint8_t *data)
{
	uint64_t word = word_at(data, 0);

	return word_is_count(word) && ((uint32_t)word == 0 || (uint32_t)word > OWNERS_MAX);
}

/*
 * Where the characters of the str in DATA begin, and how many bytes they are. Neither needs to be
 * right.
 */
static uint64_t str_extent(const struct python *python, const uint8_t *data, uint32_t *ret_start)
{
	uint32_t state;
	uint64_t length = word_at(data, python->layout.unicode.length);

	memcpy(&state, data + python->layout.unicode.state, sizeof(state));
	*ret_start = state >> python->layout.unicode.ascii_shift & 1
			     ? python->layout.unicode.ascii_data
			     : python->layout.unicode.compact_data;
	/* Not more than is looked at anyway. */
	return length < NODE_SIZE ? length * (state >> python->layout.unicode.kind_shift & 7)
				  : NODE_SIZE;
}

/* False: it is neither a number nor a string. */
static bool constant_hash(const struct fingerprint_reader *reader, const uint8_t *data,
			  uint32_t size, uint32_t *ret)
{
	const struct python *python = reader->python;
	uint64_t type, more = 0, hash;
	uint32_t start = 0, fixed = 8;

	if (size < 64)
		return false;
	type = word_at(data, 8);
	if (!type)
		return false;
	if (type == reader->int_type) {
		fixed = 16; /* the size, and the digits that there always are */
	} else if (type == reader->bytes_type) {
		start = python->layout.bytes.data;
		more = word_at(data, 16);
	} else if (type == reader->str_type) {
		more = str_extent(python, data, &start);
	} else if (type != reader->float_type) {
		return false;
	}
	hash = lookup_hash(0, data + 16, fixed);
	if (start < size && more)
		hash = lookup_hash(hash, data + start, more < size - start ? more : size - start);
	*ret = (uint32_t)(hash ^ hash >> 32);
	return true;
}

/*
 * Follows the pointer WORD, which is word AT of what WAY led to. It leads to a mark, or to a node
 * whose pointers are followed in their turn.
 */
static struct error *word_follow(struct search *search, const struct fingerprint_feature *way,
				 uint32_t at, uint64_t word)
{
	struct fingerprint_feature mark = *way;
	struct node node;

	word = pointer_of(word);
	if (!word || search->reads >= READS_MAX)
		return NULL;
	search->reads++;
	try(node_read(search->reader, word, node.data, &node.size));
	if (node.size < 16 || node_is_shared(node.data))
		return NULL;
	mark.at[mark.steps++] = (uint8_t)at;
	if (constant_hash(search->reader, node.data, node.size, &mark.content)) {
		search->found.features[search->found.count++] = mark;
		return NULL;
	}
	if (mark.steps < FINGERPRINT_STEPS && search->count < NODES_MAX) {
		node.way = mark;
		search->nodes[search->count++] = node;
	}
	return NULL;
}

static struct error *words_follow(struct search *search, const struct fingerprint_feature *way,
				  const uint8_t *data, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i + 8 <= to && search->found.count < FINGERPRINT_FEATURES; i += 8)
		try(word_follow(search, way, i / 8, word_at(data, i)));
	return NULL;
}

struct error *fingerprint_make(const struct fingerprint_reader *reader, const uint8_t *block,
			       uint32_t size, uint32_t fields, struct fingerprint *ret)
{
	static const struct fingerprint_feature none;
	struct search search = {.reader = reader};
	uint32_t to = fields + 8 * BLOCK_WORDS;

	/* Before an object, the collector's links are no marks; the managed dict is looked at. */
	if (fields >= MANAGED_SIZE + 16 && reader->python->version >= 0x030b0000)
		try(words_follow(&search, &none, block, fields - 16 - MANAGED_SIZE, fields - 32));
	try(words_follow(&search, &none, block, fields, to < size ? to : size));
	for (size_t i = 0; i < search.count; i++) {
		const struct node *node = &search.nodes[i];

		try(words_follow(&search, &node->way, node->data,
				 word_is_count(word_at(node->data, 0)) ? 16 : 0, node->size));
	}
	*ret = search.found;
	return NULL;
}

/* Whether the way of MARK from BLOCK leads to what it led to. */
static struct error *mark_match(const struct fingerprint_reader *reader, const uint8_t *block,
				uint32_t size, const struct fingerprint_feature *mark, bool *ret)
{
	uint8_t data[NODE_SIZE];
	uint32_t left = size, content;

	*ret = false;
	for (uint32_t i = 0; i < mark->steps; i++) {
		uint32_t at = 8 * mark->at[i];
		uint64_t pointer = at + 8 <= left ? pointer_of(word_at(block, at)) : 0;

		if (!pointer)
			return NULL;
		try(node_read(reader, pointer, data, &left));
		block = data;
	}
	*ret = constant_hash(reader, data, left, &content) && content == mark->content;
	return NULL;
}

struct error *fingerprint_match(const struct fingerprint_reader *reader, const uint8_t *block,
				uint32_t size, const struct fingerprint *fingerprint,
				enum fingerprint_match *ret)
{
	bool same = false;

	for (uint32_t i = 0; i < fingerprint->count && !same; i++)
		try(mark_match(reader, block, size, &fingerprint->features[i], &same));
	*ret = !fingerprint->count ? FINGERPRINT_UNKNOWN
	       : same              ? FINGERPRINT_SAME
				   : FINGERPRINT_OTHER;
	return NULL;
}
