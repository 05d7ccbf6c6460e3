// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Finds types by address, checks them, and tells what object a block holds. */
#include "python/heap/types.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/lookup.h"
#include "python/allocators.h"
#include "python/code.h"
#include "python/heap/dict.h"
#include "python/heap/space.h"
#include "python/python_internal.h"

/* Py_TPFLAGS_... of Include/object.h. */
#define FLAG_INLINE_VALUES   (1u << 2) /* 3.13 on */
#define FLAG_MANAGED_WEAKREF (1u << 3) /* 3.12 on */
#define FLAG_MANAGED_DICT    (1u << 4) /* 3.11 on */
#define FLAG_HEAPTYPE        (1u << 9)
#define FLAG_READY           (1u << 12)
#define FLAG_HAVE_GC         (1u << 14)

#define ADDRESS_MIN    65536 /* vm.mmap_min_addr's default */
#define ADDRESS_MAX    (1ULL << 47)
#define BASICSIZE_MAX  (1 << 20)
#define ITEMSIZE_MAX   (1 << 16)
#define NAME_MAX_BYTES 512
#define METATYPES_MAX  8
#define KNOWN_MAX      (1u << 20) /* addresses that were looked at; then they are forgotten */
#define TYPES_MAX      (1u << 20)
#define RECENT         4096 /* a power of two */
#define TYPE_BYTES     1024 /* more than any PyHeapTypeObject needs */
#define PREHEADER      16   /* bytes of a GC head; of a managed dict and weakref */

/* An address that was looked at. */
struct known {
	uint64_t address;
	uint32_t type;
};

struct python_types {
	const struct python *python;
	uint64_t type_type, unicode_type, dict_type; /* PyType_Type, PyUnicode_Type, PyDict_Type */
	const struct python_space *space;
	bool unqualified; /* see python_types_unqualified() */
	/* What was asked for last, by bits of the address: a cache. A collision costs a look-up. */
	struct known recent[RECENT];
	struct python_type *list;
	size_t count, capacity;
	struct known *known;
	size_t known_count, known_capacity;
	struct lookup known_lookup;
};

struct error *python_types_create(const struct python *python, const struct python_space *space,
				  struct python_types **ret)
{
	struct python_types *types = calloc(1, sizeof(*types));

	if (!types)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the types of a process");
	types->python = python;
	types->type_type = python_symbol(python, "PyType_Type");
	types->unicode_type = python_symbol(python, "PyUnicode_Type");
	types->dict_type = python_symbol(python, "PyDict_Type");
	types->space = space;
	if (!types->type_type || !types->unicode_type || !types->dict_type) {
		python_types_destroy(types);
		return error_create(
			ERROR_FAILED,
			"%s: PyType_Type, PyUnicode_Type or PyDict_Type is not among its "
			"dynamic symbols",
			python->image->path);
	}
	*ret = types;
	return NULL;
}

void python_types_unqualified(struct python_types *types)
{
	types->unqualified = true;
}

void python_types_space(struct python_types *types, const struct python_space *space)
{
	types->space = space;
}

void python_types_destroy(struct python_types *types)
{
	if (!types)
		return;
	for (size_t i = 0; i < types->count; i++)
		free(types->list[i].name);
	free(types->list);
	free(types->known);
	lookup_deinit(&types->known_lookup);
	free(types);
}

size_t python_types_count(const struct python_types *types)
{
	return types->count;
}

const struct python_type *python_types_get(const struct python_types *types, uint32_t type)
{
	return &types->list[type];
}

static uint64_t word_at(const uint8_t *data, uint32_t offset)
{
	uint64_t word;

	memcpy(&word, data + offset, sizeof(word));
	return word;
}

/*
 * Is ADDRESS, whose type is METATYPE, a class? The types of types end in PyType_Type. ERROR says
 * that memory could not be read, which is no class either.
 */
static struct error *metatype_check(const struct python_types *types, uint64_t metatype, bool *ret)
{
	*ret = false;
	for (unsigned i = 0; i < METATYPES_MAX; i++) {
		if (metatype == types->type_type) {
			*ret = true;
			return NULL;
		}
		if (!metatype || metatype % 8 || metatype >= ADDRESS_MAX)
			return NULL;
		try(memory_read_u64(&types->python->process->memory, metatype + 8, &metatype));
	}
	return NULL;
}

/* The C string at ADDRESS, if it is a name; else NULL. The caller's to free. */
static struct error *name_read(const struct python_types *types, uint64_t address, char **ret)
{
	char text[NAME_MAX_BYTES + 1] = "";
	uint64_t left = 4096 - (address & 4095);
	size_t size = left < NAME_MAX_BYTES ? left : NAME_MAX_BYTES;
	size_t length;

	*ret = NULL;
	if (!address || address >= ADDRESS_MAX)
		return NULL;
	try(memory_read(&types->python->process->memory, address, text, size));
	/* It may go on in the next page. */
	if (strnlen(text, size) == size && size < NAME_MAX_BYTES)
		try(memory_read(&types->python->process->memory, address + size, text + size,
				NAME_MAX_BYTES - size));
	length = strlen(text);
	if (length == 0 || length == NAME_MAX_BYTES)
		return NULL;
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return NULL;
	}
	*ret = strdup(text);
	return *ret ? NULL : error_create_errno(ERROR_FAILED, ENOMEM, "the name of a type");
}

/* A place that cannot be read holds nothing; other errors are the caller's. */
static struct error *unreadable(struct error *error)
{
	if (!error || error_number(error) != EFAULT)
		return error;
	error_destroy(error);
	return NULL;
}

/* A str object's text; NULL where it is none. */
static struct error *str_read(const struct python_types *types, uint64_t address, char **ret)
{
	struct error *error;
	uint64_t type = 0;

	*ret = NULL;
	if (!address || address % 8 || address >= ADDRESS_MAX)
		return NULL;
	try(unreadable(memory_read_u64(&types->python->process->memory, address + 8, &type)));
	if (type != types->unicode_type)
		return NULL;
	error = python_string_read(&types->python->process->memory, &types->python->layout, address,
				   ret);
	if (error && error_number(error) == ENOMEM)
		return error;
	error_destroy(error);
	return NULL;
}

struct error *python_dict_string(const struct python_types *types, uint64_t dict, const char *name,
				 char **ret)
{
	cleanup(python_dict_deinit) struct python_dict read = {0};

	*ret = NULL;
	try(python_dict_read(types->python, types->space, types->dict_type, dict, &read));
	for (uint32_t i = 0; i < read.count; i++) {
		cleanup_free char *key = NULL;

		try(str_read(types, read.entries[i].key, &key));
		if (key && strcmp(key, name) == 0)
			return str_read(types, read.entries[i].value, ret);
	}
	return NULL;
}

/* Of a class made by a class statement: its module and qualified name, where they can be read. */
static struct error *qualified_name(const struct python_types *types, const uint8_t *type,
				    char **name)
{
	const struct python_layout *layout = &types->python->layout;
	cleanup_free char *qualname = NULL;
	cleanup_free char *module = NULL;
	char *full;

	try(str_read(types, word_at(type, layout->type.qualname), &qualname));
	try(python_dict_string(types, word_at(type, layout->type.dict), "__module__", &module));
	/* tp_name of what C made with PyType_FromSpec() has the module in it. */
	if (!qualname || (!module && strchr(*name, '.')))
		return NULL;
	if (!module || strcmp(module, "builtins") == 0) {
		free(*name);
		*name = take(qualname);
		return NULL;
	}
	if (asprintf(&full, "%s.%s", module, qualname) < 0)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the name of a type");
	free(*name);
	*name = full;
	return NULL;
}

static uint32_t presize_of(const struct python *python, uint64_t flags)
{
	uint32_t presize = 0, preheader = 0;

	if (python->version >= 0x030c0000)
		preheader = FLAG_MANAGED_DICT | FLAG_MANAGED_WEAKREF;
	else if (python->version >= 0x030b0000)
		preheader = FLAG_MANAGED_DICT;
	/* Up to 3.7 PyGC_Head is as long as it takes to align a long double behind three words. */
	if (flags & FLAG_HAVE_GC)
		presize += python->version < 0x03080000 ? 2 * PREHEADER : PREHEADER;
	if (flags & preheader)
		presize += PREHEADER;
	return presize;
}

/* Reads the type at ADDRESS into RET, whose name stays NULL where it is none. */
static struct error *type_read(const struct python_types *types, uint64_t address,
			       struct python_type *ret)
{
	const struct python_layout *layout = &types->python->layout;
	struct memory *memory = &types->python->process->memory;
	uint8_t type[TYPE_BYTES];
	int64_t basicsize, itemsize;
	uint64_t flags;
	bool good;

	try(memory_read(memory, address, type, layout->type.flags + 8));
	basicsize = (int64_t)word_at(type, layout->type.basicsize);
	itemsize = (int64_t)word_at(type, layout->type.itemsize);
	flags = word_at(type, layout->type.flags);
	if (basicsize < 16 || basicsize > BASICSIZE_MAX || itemsize < 0 ||
	    itemsize > ITEMSIZE_MAX || !(flags & FLAG_READY))
		return NULL;
	try(metatype_check(types, word_at(type, 8), &good));
	if (!good)
		return NULL;
	try(name_read(types, word_at(type, layout->type.name), &ret->name));
	if (!ret->name)
		return NULL;
	ret->address = address;
	ret->basicsize = (uint32_t)basicsize;
	ret->presize = presize_of(types->python, flags);
	ret->flags = flags;
	ret->itemsize = (uint32_t)itemsize;
	ret->has_inline_values = types->python->version >= 0x030d0000 &&
				 (flags & FLAG_INLINE_VALUES);
	ret->is_str = address == types->unicode_type;
	ret->made = flags & FLAG_HEAPTYPE;
	if (!ret->made || types->unqualified)
		return NULL;
	try(memory_read(memory, address, type, layout->type.qualname + 8));
	return qualified_name(types, type, &ret->name);
}

static bool known_equal(const void *context, uint32_t position, const void *key)
{
	return ((const struct python_types *)context)->known[position].address ==
	       *(const uint64_t *)key;
}

static struct error *known_add(struct python_types *types, uint64_t address, uint32_t type)
{
	/* What a target made of its memory must not make ours grow; types are found again. */
	if (types->known_count >= KNOWN_MAX) {
		lookup_deinit(&types->known_lookup);
		types->known_count = 0;
		for (uint32_t i = 0; i < types->count; i++)
			try(known_add(types, types->list[i].address, i));
	}
	try(array_reserve(&types->known, &types->known_capacity, types->known_count, 1,
			  sizeof(*types->known)));
	try(lookup_add(&types->known_lookup, lookup_hash_number(0, address),
		       (uint32_t)types->known_count));
	types->known[types->known_count++] = (struct known){address, type};
	return NULL;
}

/* What is not among the recent ones. */
static struct error *type_look(struct python_types *types, uint64_t address, uint32_t *ret)
{
	struct python_type type = {0};
	struct error *error;
	uint32_t found;

	found = lookup_find(&types->known_lookup, lookup_hash_number(0, address), known_equal,
			    types, &address);
	if (found != LOOKUP_NONE) {
		*ret = types->known[found].type;
		return NULL;
	}
	*ret = PYTHON_NO_TYPE;
	error = unreadable(type_read(types, address, &type));
	if (!error && type.name && types->count < TYPES_MAX)
		error = array_reserve(&types->list, &types->capacity, types->count, 1,
				      sizeof(*types->list));
	if (error) {
		free(type.name);
		return error;
	}
	if (type.name && types->count < TYPES_MAX) {
		types->list[types->count] = type;
		*ret = (uint32_t)types->count++;
	} else {
		free(type.name);
	}
	return known_add(types, address, *ret);
}

/* The type at ADDRESS, PYTHON_NO_TYPE if there is none. Fails when the process has gone. */
static struct error *types_find(struct python_types *types, uint64_t address, uint32_t *ret)
{
	struct known *recent = &types->recent[(address >> 4 ^ address >> 16) & (RECENT - 1)];

	*ret = PYTHON_NO_TYPE;
	if (address < ADDRESS_MIN || address % 8 || address >= ADDRESS_MAX)
		return NULL;
	if (recent->address == address) {
		*ret = recent->type;
		return NULL;
	}
	if (python_space_arena(types->space, address) != PYTHON_NO_ARENA)
		return NULL;
	try(type_look(types, address, ret));
	*recent = (struct known){address, *ret};
	return NULL;
}

/*
 * A reference count, not a pointer: 32 bits; from 3.12 on immortal objects have all of these, or
 * the top two, set. In 3.14 the upper half holds an overflow, which is 0, and flags.
 */
static bool refcount_fits(const struct python_types *types, uint64_t refcount)
{
	if (types->python->version >= 0x030e0000)
		return (refcount >> 32 & 0xffff) == 0;
	return refcount >> 32 == 0 || refcount == UINT64_MAX >> 2;
}

static bool object_fits(const struct python_types *types, const struct python_type *type,
			const uint8_t *object, uint32_t room)
{
	uint32_t least = type->is_str ? types->python->layout.unicode.ascii_data : type->basicsize;

	return least <= room && refcount_fits(types, word_at(object, 0));
}

/*
 * Where what was asked for begins in a block of SIZE bytes: behind the header of debug hooks, if
 * they are there. Around what pymalloc took from the raw domain there are that domain's as well.
 */
static uint32_t request_start(const uint8_t *block, uint32_t size)
{
	uint32_t start = 0;
	char domain;

	if (size <= PYTHON_DEBUG_HEADER)
		return 0;
	domain = python_debug_header(block);
	if (domain == 'r' && size > 2 * PYTHON_DEBUG_HEADER) {
		start = PYTHON_DEBUG_HEADER;
		domain = python_debug_header(block + start);
	}
	return domain == 'o' || domain == 'm' ? start + PYTHON_DEBUG_HEADER : 0;
}

struct error *python_types_object(struct python_types *types, const uint8_t *block, uint32_t size,
				  struct python_object *ret)
{
	uint32_t start = request_start(block, size);

	*ret = (struct python_object){.type = PYTHON_NO_TYPE};
	for (uint32_t presize = 0; presize <= 2 * PREHEADER; presize += PREHEADER) {
		uint32_t offset = start + presize, type;

		if (offset + 16 > size)
			return NULL;
		try(types_find(types, word_at(block, offset + 8), &type));
		if (type == PYTHON_NO_TYPE || types->list[type].presize != presize ||
		    !object_fits(types, &types->list[type], block + offset, size - offset))
			continue;
		/*
		 * Before 3.8 what stands before an object that the collector does not look at is
		 * what was there before: maybe the start of an object that is dead.
		 */
		if ((uint32_t)word_at(block, offset) != 0) {
			*ret = (struct python_object){type, offset, false};
			return NULL;
		}
		if (ret->type == PYTHON_NO_TYPE)
			*ret = (struct python_object){type, offset, true};
	}
	return NULL;
}
