/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The allocator tables (PyMemAllocatorEx: ctx, malloc, calloc, realloc, free; Objects/obmalloc.c)
 * in an image, and through them the eight implementations that have no symbol: pymalloc's
 * (_PyObject_Malloc, ...) and the raw domain's (_PyMem_RawMalloc, ...).
 */
#ifndef TMBPF_PROBE_FIND_ALLOCATORS_H
#define TMBPF_PROBE_FIND_ALLOCATORS_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/code/listing.h"
#include "target/elf/image.h"

struct error;

#define TABLES_COPIES_MAX 32
#define TABLE_WORDS       5

enum tables_domain { TABLES_RAW, TABLES_MEM, TABLES_OBJ };

struct tables {
	uint64_t functions[2][4]; /* [raw][operation] */
	/* Where tables that hold these functions stand: the live ones and constant copies. */
	uint64_t copies[2][TABLES_COPIES_MAX];
	unsigned copy_count[2];
	/*
	 * The live tables (raw, mem, obj), image addresses; 0 unknown. tables_settle() finds them.
	 */
	uint64_t live[3];
};

/*
 * Finds the implementations by structure: of the tuples {0, four functions} in IMAGE's variables
 * the most repeated is pymalloc's, and the repeated one nearby is the raw domain's. Constants do
 * not count: a table that allocators are set in can be written to, and other libraries, linked in,
 * have the like of it. Where LIVE is not NULL it gives the live tables' addresses, known by layout
 * (3.12 on), and what they hold initially must agree; where it is NULL they are looked for in
 * _PyRuntime. Fails where that is not unique or does not agree.
 */
struct error *tables_find(const struct image *image, const uint64_t *live, struct tables *ret);

/*
 * Up to 3.11 the live tables are static variables: the ones that the exported functions
 * (PyMem_RawMalloc, PyMem_Malloc, PyObject_Malloc, ...) load from. Leaves 0 what those do not tell.
 */
void tables_settle(struct tables *tables, struct listing *listing);

/* Whether ADDRESS is a table's slot of OPERATION; RET_DOMAIN: which live table. */
bool tables_slot(const struct tables *tables, uint64_t address, unsigned *ret_domain,
		 unsigned *ret_operation);

/*
 * The 8-byte word at ADDRESS as the loader leaves it (less the bias); false if it is not in the
 * file.
 */
bool tables_word(const struct image *image, uint64_t address, uint64_t *ret);

#endif
