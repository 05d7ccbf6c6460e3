/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Type objects of a target, and which of them a block of memory is an instance of
 * (PyTypeObject of Include/cpython/object.h; the pre-header of Objects/typeobject.c and
 * Modules/gcmodule.c). What is taken for a type has to be one in every respect that can be
 * checked: the target's memory is full of words that look like pointers.
 */
#ifndef TMBPF_PYTHON_HEAP_TYPES_H
#define TMBPF_PYTHON_HEAP_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct python;
struct python_space;

#define PYTHON_NO_TYPE UINT32_MAX

struct python_type {
	uint64_t address;
	char *name;         /* "module.qualname"; as Python prints it: without "builtins." */
	uint32_t basicsize; /* bytes */
	uint32_t presize;   /* bytes of an instance's block before the instance */
	uint32_t itemsize;  /* bytes; 0: all instances are of one size */
	uint64_t flags;     /* tp_flags */
	bool is_str;
	/* Made while the program runs (Py_TPFLAGS_HEAPTYPE): its name may be another one's too. */
	bool made;
	bool has_inline_values; /* 3.13 on: an instance's attributes follow it */
};

struct python_types;

/* SPACE is borrowed: no type lies in it, as each is larger than pymalloc's blocks. */
struct error *python_types_create(const struct python *python, const struct python_space *space,
				  struct python_types **ret);
/*
 * From now on types that class statements made are called what tp_name says, without their module.
 * To read the module takes ten times as long.
 */
void python_types_unqualified(struct python_types *types);
/* From now on SPACE is: the arenas that there are by now. */
void python_types_space(struct python_types *types, const struct python_space *space);
/* NULL is accepted. */
void python_types_destroy(struct python_types *types);

size_t python_types_count(const struct python_types *types);
const struct python_type *python_types_get(const struct python_types *types, uint32_t type);

/*
 * The value of the key NAME in the dict at the address DICT, if both are str; NULL where there is
 * none. The caller's to free.
 */
struct error *python_dict_string(const struct python_types *types, uint64_t dict, const char *name,
				 char **ret);

/* An object as it lies in a block. */
struct python_object {
	uint32_t type;   /* PYTHON_NO_TYPE: the block is no object's */
	uint32_t offset; /* of the object in the block */
	/* Its reference count is 0: it waits on a free list, or is not an object any more. */
	bool unreferenced;
};

/*
 * What lies in BLOCK, of SIZE bytes: an object behind its pre-header and, with debug hooks,
 * behind what these put there.
 */
struct error *python_types_object(struct python_types *types, const uint8_t *block, uint32_t size,
				  struct python_object *ret);

#endif
