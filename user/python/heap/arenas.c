// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Finds pymalloc's arenas, and reads what each interpreter's heap has of them. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "python/allocators.h"
#include "python/heap/arenas.h"
#include "python/python_internal.h"
#include "python/x86.h"

#define CLASSES_MAX   64 /* 512 bytes in steps of 8 */
#define PAIR          16
#define ARENAS_MAX    (1u << 24)
#define ARENAS_FIRST  16 /* INITIAL_ARENA_OBJECTS; the array doubles */
#define SEGMENT_CHUNK (256u << 10)
#define ADDRESS_MAX   (1ULL << 47)
#define POOLS_ASKED   8 /* that have to lie in the arenas they name */

/* struct pool_header, 48 bytes. */
enum { POOL_ARENAINDEX = 32, POOL_SZIDX = 36 };
/* struct _obmalloc_mgmt (3.12 on), from usable_arenas on. */
enum { MGMT_ARENAS = -24, MGMT_MAXARENAS = -16, MGMT_RAW_BLOCKS = 552 };

/* struct arena_object. */
struct arena_object {
	uint64_t address, pool_address;
	uint32_t nfreepools, ntotalpools;
	uint64_t freepools, nextarena, prevarena;
};

_Static_assert(sizeof(struct arena_object) == 48, "struct arena_object of Objects/obmalloc.c");

/* A pool that usedpools leads to, and the arena that it says it is of. */
struct witness {
	uint64_t pool;
	uint32_t arena;
};

static uint64_t arena_size(const struct python *python)
{
	return 1ULL << python->heap.arena_bits;
}

/*
 * Is this an arena, and does ADDRESS lie in a pool carved from it? An arena whose memory is not
 * aligned has a pool less (new_arena() of Objects/obmalloc.c).
 */
static bool arena_holds(const struct python *python, const struct arena_object *arena,
			uint64_t address)
{
	uint32_t pools = (uint32_t)(arena_size(python) / python->heap.pool_size);

	return arena->address && address >= arena->address && address < arena->pool_address &&
	       arena->pool_address <= arena->address + arena_size(python) &&
	       arena->pool_address % python->heap.pool_size == 0 &&
	       (arena->ntotalpools == pools || arena->ntotalpools == pools - 1) &&
	       arena->nfreepools <= arena->ntotalpools;
}

/* RET_EMPTY: no size class has a pool with room. */
static struct error *witnesses_read(const struct python *python, struct witness *witnesses,
				    size_t *ret_count, bool *ret_empty)
{
	struct memory *memory = &python->process->memory;
	uint64_t pairs[2 * CLASSES_MAX];
	size_t classes = 512 / python->heap.alignment, count = 0, empty = 0;

	try(memory_read(memory, python->heap.usedpools, pairs, classes * PAIR));
	for (size_t i = 0; i < classes && count < POOLS_ASKED; i++) {
		struct witness *witness = &witnesses[count];
		uint32_t szidx;

		witness->pool = pairs[2 * i];
		if (witness->pool == python->heap.usedpools + i * PAIR - PAIR) {
			empty++;
			continue;
		}
		try(memory_read_u32(memory, witness->pool + POOL_SZIDX, &szidx));
		try(memory_read_u32(memory, witness->pool + POOL_ARENAINDEX, &witness->arena));
		if (szidx == i && witness->arena < ARENAS_MAX)
			count++;
	}
	*ret_count = count;
	*ret_empty = empty == classes;
	return NULL;
}

/* Is ADDRESS the array of arenas? Each witness lies in the one that it names. */
static bool arenas_fit(const struct python *python, uint64_t address,
		       const struct witness *witnesses, size_t count)
{
	struct memory *memory = &python->process->memory;

	for (size_t i = 0; i < count; i++) {
		struct arena_object arena;
		struct error *error = memory_read(memory,
						  address + witnesses[i].arena * sizeof(arena),
						  &arena, sizeof(arena));

		if (error) {
			error_destroy(error);
			return false;
		}
		if (!arena_holds(python, &arena, witnesses[i].pool))
			return false;
	}
	return true;
}

static int address_compare(const void *left, const void *right)
{
	uint64_t one = *(const uint64_t *)left, other = *(const uint64_t *)right;

	return one < other ? -1 : one > other;
}

/* An array of arenas whose end is not known, from its start. */
struct arenas_scan {
	const struct python *python;
	uint64_t address;
	uint32_t linked;  /* elements, as far as links go */
	uint32_t ends;    /* elements that are no arenas and have no link: their list's last */
	uint64_t *arenas; /* addresses */
	size_t used, capacity;
};

static void scan_deinit(struct arenas_scan *scan)
{
	free(scan->arenas);
}

/* Takes note of a link between elements; false if it is none. */
static bool scan_link(struct arenas_scan *scan, uint64_t link)
{
	uint64_t distance = link - scan->address, element = distance / sizeof(struct arena_object);

	if (!link)
		return true;
	if (distance % sizeof(struct arena_object) || element >= ARENAS_MAX)
		return false;
	if (element >= scan->linked)
		scan->linked = (uint32_t)element + 1;
	return true;
}

/*
 * Adds the next element; *RET: it may be one. new_arena() of Objects/obmalloc.c keeps elements that
 * are no arenas on one list.
 */
static struct error *scan_element(struct arenas_scan *scan, const struct arena_object *object,
				  bool *ret)
{
	*ret = scan_link(scan, object->nextarena);
	if (!object->address) {
		scan->ends += !object->nextarena;
		*ret = *ret && scan->ends <= 1;
		return NULL;
	}
	*ret = *ret && scan_link(scan, object->prevarena) &&
	       object->pool_address > object->address &&
	       arena_holds(scan->python, object, object->pool_address - 1);
	try(array_reserve(&scan->arenas, &scan->capacity, scan->used, 1, sizeof(*scan->arenas)));
	scan->arenas[scan->used++] = object->address;
	return NULL;
}

/*
 * Can the array end after LENGTH elements, all of which were added? Its arenas differ from one
 * another.
 */
static bool scan_whole(struct arenas_scan *scan, uint32_t length)
{
	if (scan->linked > length || scan->ends != (scan->used < length))
		return false;
	qsort(scan->arenas, scan->used, sizeof(*scan->arenas), address_compare);
	for (size_t i = 1; i < scan->used; i++)
		if (scan->arenas[i] == scan->arenas[i - 1])
			return false;
	return true;
}

/* Adds elements FROM to TO; *RET: all of them may be some. */
static struct error *scan_part(struct arenas_scan *scan, uint32_t from, uint32_t to, bool *ret)
{
	size_t size = (to - from) * sizeof(struct arena_object);
	cleanup_free struct arena_object *objects = malloc(size);
	struct error *error;

	if (!objects)
		return error_create_errno(ERROR_FAILED, ENOMEM, "%u arenas", to);
	error = memory_read(&scan->python->process->memory, scan->address + from * sizeof(*objects),
			    objects, size);
	*ret = !error; /* else it is beyond what is mapped */
	error_destroy(error);
	for (uint32_t i = 0; i < to - from && *ret; i++)
		try(scan_element(scan, &objects[i], ret));
	return NULL;
}

/*
 * How many elements the array at ADDRESS has where malloc is not glibc's: ARENAS_FIRST times the
 * greatest power of two with which it holds together. The first part of the array may hold together
 * as well, if it has arenas alone; with what lies behind its end the array never does.
 */
static struct error *arenas_length_other(const struct python *python, uint64_t address,
					 uint32_t *ret)
{
	cleanup(scan_deinit) struct arenas_scan scan = {.python = python, .address = address};
	uint32_t found = 0, from = 0;

	for (uint32_t length = ARENAS_FIRST; length <= ARENAS_MAX; length *= 2) {
		bool fits;

		try(scan_part(&scan, from, length, &fits));
		if (!fits)
			break;
		if (scan_whole(&scan, length))
			found = length;
		from = length;
	}
	if (!found)
		return error_create(ERROR_FAILED,
				    "%s: the length of pymalloc's array of arenas at 0x%" PRIx64
				    " is not known: its elements do not tell",
				    python->image->path, address);
	*ret = found;
	return NULL;
}

/*
 * How many elements the array at ADDRESS has: what it was allocated with tells, as it is always
 * ARENAS_FIRST times a power of two. glibc's chunk has its size before it, a debug hook its own.
 */
static struct error *arenas_length(const struct python *python, uint64_t address, uint32_t *ret)
{
	uint64_t words[2], size, length = ARENAS_FIRST;

	if (python->malloc.other)
		return arenas_length_other(python, address, ret);
	try(memory_read(&python->process->memory, address - sizeof(words), words, sizeof(words)));
	if (python_debug_header(words) == 'r')
		size = be64toh(words[0]);
	else
		size = (words[1] & ~7ULL) - (words[1] & 2 ? 16 : 8);
	if (size < ARENAS_FIRST * sizeof(struct arena_object) ||
	    size > ARENAS_MAX * sizeof(struct arena_object))
		return error_create(ERROR_FAILED,
				    "%s: the length of pymalloc's array of arenas at 0x%" PRIx64
				    " is not known: the memory before it is not as glibc's malloc "
				    "has it",
				    python->image->path, address);
	while (2 * length * sizeof(struct arena_object) <= size)
		length *= 2;
	*ret = (uint32_t)length;
	return NULL;
}

struct arenas_search {
	const struct python *python;
	struct witness witnesses[POOLS_ASKED];
	size_t witness_count;
	uint64_t found, word; /* the array, and what leads to it */
	uint64_t *words;      /* SEGMENT_CHUNK bytes */
};

/* Is ADDRESS in the interpreter's own file, as it is mapped? */
static bool image_holds(const struct python *python, uint64_t address)
{
	for (size_t i = 0; i < python->image->segment_count; i++) {
		const struct image_segment *segment = &python->image->segments[i];

		if (address - python->bias - segment->address < segment->memory_size)
			return true;
	}
	return false;
}

/* Does WORD, which lies at ADDRESS, lead to the array? Then it is the one that was searched for. */
static bool word_try(struct arenas_search *search, uint64_t address, uint64_t word)
{
	if (!word || word % 16 || word >= ADDRESS_MAX ||
	    !arenas_fit(search->python, word, search->witnesses, search->witness_count))
		return false;
	search->found = word;
	search->word = address;
	return true;
}

/* Looks for it in SEGMENT, among words that lead into the image (INSIDE) or among all others. */
static struct error *segment_search(struct arenas_search *search,
				    const struct image_segment *segment, bool inside)
{
	const struct python *python = search->python;
	uint64_t start, size;

	if (!python_segment_words(python, segment, &start, &size))
		return NULL;
	for (uint64_t at = 0; at < size; at += SEGMENT_CHUNK) {
		uint64_t length = size - at < SEGMENT_CHUNK ? size - at : SEGMENT_CHUNK;
		uint64_t address = start + at;

		try(memory_read(&python->process->memory, address, search->words, length));
		for (uint64_t i = 0; i < length / 8; i++)
			if (image_holds(python, search->words[i]) == inside &&
			    word_try(search, address + 8 * i, search->words[i]))
				return NULL;
	}
	return NULL;
}

/*
 * The array comes from malloc. Most words lead to functions, types and strings of the image, and to
 * try one costs a read. So these are tried after all others; a malloc may have its memory there.
 */
static struct error *segments_search(struct arenas_search *search)
{
	const struct image *image = search->python->image;

	for (int inside = 0; inside < 2; inside++) {
		for (size_t i = 0; i < image->segment_count && !search->found; i++)
			try(segment_search(search, &image->segments[i], inside));
	}
	return NULL;
}

/*
 * Up to 3.11 `arenas` is a static variable: the word that leads to the array whose arenas the used
 * pools name. 0 where no pool has room: with PYTHONMALLOC=malloc nothing was ever taken from
 * pymalloc. A pymalloc in use whose classes are all full at the same moment is not to be expected.
 * Where the word was found it is looked for first when the heap is read again.
 */
static struct error *arenas_search(const struct python *python, uint64_t *ret)
{
	cleanup_free uint64_t *words = malloc(SEGMENT_CHUNK);
	struct arenas_search search = {.python = python, .words = words};
	uint64_t known;
	bool empty;

	if (!words)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the search for pymalloc");
	try(witnesses_read(python, search.witnesses, &search.witness_count, &empty));
	if (empty) {
		*ret = 0;
		return NULL;
	}
	if (!search.witness_count)
		return error_create(ERROR_FAILED,
				    "%s: pymalloc's arenas are not found: its pools do not hold "
				    "together",
				    python->image->path);
	if (python->heaps_word && *python->heaps_word) {
		try(memory_read_u64(&python->process->memory, *python->heaps_word, &known));
		word_try(&search, *python->heaps_word, known);
	}
	if (!search.found)
		try(segments_search(&search));
	if (!search.found)
		return error_create(ERROR_FAILED,
				    "%s: pymalloc's arenas are not found: nothing leads to those "
				    "that its pools name",
				    python->image->path);
	if (python->heaps_word)
		*python->heaps_word = search.word;
	*ret = search.found;
	return NULL;
}

/*
 * Up to 3.11: _Py_GetAllocatedBlocks() adds up what arenas hold and raw_allocated_blocks, and so
 * loads two words, `arenas` and that; before 3.9 it returns one that counts all blocks.
 */
static struct error *counter_read(const struct python *python, uint64_t arenas,
				  struct python_arenas *heap)
{
	const struct image_symbol *function = image_symbol(python->image, "_Py_GetAllocatedBlocks");
	uint64_t addresses[4], words[2];
	size_t count = 0;

	if (function)
		count = x86_words_loaded(python->image, function->address, addresses,
					 array_size(addresses));
	for (size_t i = 0; i < count && i < array_size(words); i++)
		try(memory_read_u64(&python->process->memory, addresses[i] + python->bias,
				    &words[i]));
	if (count == 1) {
		heap->blocks = words[0];
		heap->counted = PYTHON_COUNTED_ALL;
	} else if (count == 2 && (words[0] == arenas) != (words[1] == arenas)) {
		heap->blocks = words[0] == arenas ? words[1] : words[0];
		heap->counted = PYTHON_COUNTED_RAW;
	}
	return NULL;
}

static struct error *arenas_read(const struct python *python, uint64_t address, uint32_t length,
				 struct python_arenas *heap)
{
	cleanup_free struct arena_object *objects = reallocarray(NULL, length, sizeof(*objects));

	heap->list = reallocarray(NULL, length, sizeof(*heap->list));
	if (!objects || !heap->list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "%u arenas", length);
	try(memory_read(&python->process->memory, address, objects, length * sizeof(*objects)));
	for (uint32_t i = 0; i < length; i++) {
		const struct arena_object *object = &objects[i];

		if (!object->address)
			continue;
		if (object->pool_address < object->address ||
		    object->pool_address > object->address + arena_size(python) ||
		    object->nfreepools > object->ntotalpools)
			return error_create(ERROR_FAILED,
					    "%s: arena %u of the array at 0x%" PRIx64
					    " does not hold together",
					    python->image->path, i, address);
		heap->list[heap->count++] =
			(struct python_arena){object->address, object->pool_address,
					      object->nfreepools, object->ntotalpools};
	}
	return NULL;
}

static struct error *heap_add(struct python_heaps *heaps, uint64_t state,
			      struct python_arenas **ret)
{
	struct python_arenas *list =
		reallocarray(heaps->list, heaps->count + 1, sizeof(*heaps->list));

	if (!list)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the heaps of interpreters");
	heaps->list = list;
	*ret = &list[heaps->count++];
	**ret = (struct python_arenas){.state = state};
	return NULL;
}

/* From 3.12: the state at STATE, unless it is there already or unused. */
static struct error *state_add(const struct python *python, uint64_t state,
			       struct python_heaps *heaps)
{
	struct memory *memory = &python->process->memory;
	uint64_t field = state + python->heap.obmalloc_usable_arenas, arenas;
	struct python_arenas *heap;
	uint32_t length;

	for (size_t i = 0; i < heaps->count; i++) {
		if (heaps->list[i].state == state)
			return NULL;
	}
	try(memory_read_u64(memory, field + MGMT_ARENAS, &arenas));
	try(memory_read_u32(memory, field + MGMT_MAXARENAS, &length));
	if (!arenas || !length)
		return NULL;
	if (length > ARENAS_MAX)
		return error_create(ERROR_FAILED,
				    "%s: pymalloc's state at 0x%" PRIx64 " has %u arenas",
				    python->image->path, state, length);
	try(heap_add(heaps, state, &heap));
	try(memory_read_u64(memory, field + MGMT_RAW_BLOCKS, &heap->blocks));
	heap->counted = PYTHON_COUNTED_RAW;
	return arenas_read(python, arenas, length, heap);
}

static struct error *states_add(const struct python *python, struct python_heaps *heaps)
{
	struct python_thread_states states = {0};
	struct error *error;

	try(python_thread_states_read(python, &states));
	for (size_t i = 0; i < states.interpreter_count; i++) {
		uint64_t state = states.interpreters[i] + python->heap.interp_obmalloc;

		error = NULL;
		if (python->heap.obmalloc_is_pointer)
			error = memory_read_u64(&python->process->memory, state, &state);
		if (!error && state)
			error = state_add(python, state, heaps);
		if (error) {
			python_thread_states_deinit(&states);
			return error;
		}
	}
	python_thread_states_deinit(&states);
	return NULL;
}

static struct error *heaps_read_once(const struct python *python, struct python_heaps *heaps)
{
	struct python_arenas *heap;
	uint64_t arenas;
	uint32_t length;

	if (!python->heap.usedpools)
		return NULL;
	if (python->heap.interp_obmalloc != PYTHON_NO_OFFSET)
		return states_add(python, heaps);
	try(arenas_search(python, &arenas));
	if (!arenas)
		return NULL;
	try(arenas_length(python, arenas, &length));
	try(heap_add(heaps, arenas, &heap));
	try(counter_read(python, arenas, heap));
	return arenas_read(python, arenas, length, heap);
}

/* Fails where arenas overlap: an array that was read while it changed, or a forged one. */
static struct error *heaps_disjoint(const struct python *python, const struct python_heaps *heaps)
{
	cleanup_free uint64_t *addresses = NULL;
	size_t count = 0;

	for (size_t i = 0; i < heaps->count; i++)
		count += heaps->list[i].count;
	addresses = reallocarray(NULL, count + 1, sizeof(*addresses));
	if (!addresses)
		return error_create_errno(ERROR_FAILED, ENOMEM, "%zu arenas", count);
	count = 0;
	for (size_t i = 0; i < heaps->count; i++)
		for (size_t j = 0; j < heaps->list[i].count; j++)
			addresses[count++] = heaps->list[i].list[j].address;
	qsort(addresses, count, sizeof(*addresses), address_compare);
	for (size_t i = 1; i < count; i++)
		if (addresses[i] - addresses[i - 1] < arena_size(python))
			return error_create(ERROR_FAILED,
					    "%s: pymalloc's arenas at 0x%" PRIx64 " and 0x%" PRIx64
					    " overlap",
					    python->image->path, addresses[i - 1], addresses[i]);
	return NULL;
}

struct error *python_heaps_read(const struct python *python, struct python_heaps *ret)
{
	unsigned tries = 0;

	for (;;) {
		struct python_heaps heaps = {0};
		struct error *error = heaps_read_once(python, &heaps);

		if (!error)
			error = heaps_disjoint(python, &heaps);
		if (!error) {
			*ret = heaps;
			return NULL;
		}
		python_heaps_deinit(&heaps);
		if (!python_worth_trying(error) || !python_try_again(&tries))
			return error;
		error_destroy(error);
	}
}

void python_heaps_deinit(struct python_heaps *heaps)
{
	for (size_t i = 0; i < heaps->count; i++)
		free(heaps->list[i].list);
	free(heaps->list);
	*heaps = (struct python_heaps){0};
}

struct error *python_heaps_each(const struct python_heaps *heaps,
				struct error *(*visit)(void *context,
						       const struct python_arena *arena),
				void *context)
{
	for (size_t i = 0; i < heaps->count; i++)
		for (size_t j = 0; j < heaps->list[i].count; j++)
			try(visit(context, &heaps->list[i].list[j]));
	return NULL;
}
