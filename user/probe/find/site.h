/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sites of an interpreter's file, and the plan that they make up: what the finders give.
 * Addresses are the file's own (virtual addresses less the process's bias).
 *
 * Kinds of sites:
 *  - GUARD: the conditional jump after `cmp table-slot, implementation` of a promoted call; acts
 *    only when ZF=1. Object domain only (mem and obj tables hold the same functions).
 *  - ENTRY: an implementation's (_PyObject_Malloc, ...) first emulated instruction, at which the
 *    arguments can still be named.
 *  - RAW: a `call` or `jmp` to libc's malloc, calloc, realloc, free that stands in an inlined copy
 *    of _PyMem_Raw* (reached from a raw guard's fast edge) or in its out-of-line function: there
 *    the C ABI's registers hold the arguments (rdi, rsi). The result arrives at the return
 *    address: `returns` of a call, [rsp] for a tail jump.
 *  - RESULT: the first emulated instruction after the return from such a call at which the pointer
 *    can be named. Found also behind calls of functions that may leave by a tail jump to libc
 *    (PyMem_RawMalloc, PyObject_Realloc, ...), in this file and in the other modules of the
 *    process (plan_module_results()).
 *  - REFILL: the entry of allocate_from_new_pool. Counts what share of refills was announced by a
 *    probed allocation.
 *  - FREELIST_POP: where an object was taken from a free list, which no allocator sees. a[0] is the
 *    object.
 *  - TRACK: the entry of PyTraceMalloc_Track (operation malloc) and _Untrack (free), by which
 *    extensions tell of blocks of domains of their own, whether tracemalloc is on or off.
 *
 * One case cannot be told from files: a function that returns by a tail jump to libc may be called
 * through a pointer, from another module (zlib's zalloc is a pointer to such a function). Such a
 * return address has no RESULT.
 */
#ifndef TMBPF_PROBE_FIND_SITE_H
#define TMBPF_PROBE_FIND_SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/code/site_value.h"

#define PLAN_SITES_MAX    65536
#define PLAN_WARNINGS_MAX 200

enum site_kind {
	SITE_GUARD,
	SITE_ENTRY,
	SITE_RAW,
	SITE_RESULT,
	SITE_REFILL,
	SITE_FREELIST_POP,
	SITE_TRACK
};
enum site_operation { SITE_MALLOC, SITE_CALLOC, SITE_REALLOC, SITE_FREE };

struct site {
	uint64_t offset;  /* in the file: what the probe is attached to */
	uint64_t address; /* the image's own virtual address */
	enum site_kind kind;
	enum site_operation operation; /* of GUARD, ENTRY, RAW */
	bool raw;                      /* raw domain: of RAW */
	bool single_step;              /* no emulated instruction could be had: costs more */
	bool tail;                     /* RAW: a jump; the return address is at [rsp] */
	/*
	 * RESULT: libc returns here only where the tables hold other functions than at first
	 * (PYTHONMALLOC=malloc). Not needed otherwise, and passed often.
	 */
	bool malloc_only;
	/*
	 * GUARD and ENTRY: malloc size; calloc nelem, elsize; realloc pointer, size; free pointer.
	 * RAW: rdi, rsi likewise. RESULT: a[0] is the pointer. TRACK: pointer, size (of a malloc),
	 * and in a[2] the domain, in its low 32 bits.
	 */
	struct site_value a[3];
	/*
	 * RAW call, RESULT: the return address that links the two. 0 for a RESULT that several
	 * returns share: then only the stack pointer links them. (No interpreter looked at has
	 * one.)
	 */
	uint64_t returns;
	int32_t stack_delta; /* RESULT: rsp at the site minus rsp right after the return, bytes */
	uint8_t length;      /* of the instruction */
	uint8_t bytes[15];   /* the instruction, as in the file */
};

struct plan_audit {
	uint32_t guards[2][4]; /* [raw][operation] promoted sites found */
	uint32_t entries[2][4];
	uint32_t rejected_compares; /* compares with an implementation that are no sites */
	uint32_t raw_calls, raw_tails;
	uint32_t raw_guards_lost; /* raw guards behind which no call of libc's was found */
	uint32_t raw_shared;      /* RAW sites that other code may share */
	uint32_t results;
	uint32_t results_single_step;
	uint32_t results_hot;     /* RESULT sites that other, frequent paths pass as well */
	uint32_t results_shared;  /* returns that share another's site */
	uint32_t results_missing; /* returns without a site */
	/*
	 * Exported functions that may leave to libc and that plan_module_results() does not know.
	 */
	uint32_t exports_unknown;
	uint32_t refill_callers;    /* calls of allocate_from_new_pool */
	uint32_t refill_attributed; /* of them, where a probed place leads to */
	/*
	 * Of those, the ones in a malloc inlined into realloc's fast path: realloc's probe
	 * announces them.
	 */
	uint32_t refill_in_realloc;
	uint32_t freelist_checks; /* places that tell tracemalloc of a new reference */
	uint32_t freelist_pops;   /* objects taken from free lists before that */
	uint32_t freelist_sites;  /* of them, those that can be probed apart from new objects */
	uint32_t bad_instructions;
	uint32_t warnings; /* also those that did not fit in plan->warnings */
};

struct plan {
	struct site *sites; /* sorted by offset, unique */
	size_t site_count;
	uint64_t functions[2][4]; /* [raw][operation] the implementations */
	uint64_t tables[3];       /* the raw, mem and obj allocator tables; 0 unknown */
	uint64_t refill;          /* allocate_from_new_pool, 0: inlined or not found */
	uint64_t usedpools;       /* up to 3.11; 0 unknown */
	uint64_t usable_arenas;   /* up to 3.11, the variable's address; 0 unknown */
	struct plan_audit audit;
	char **warnings; /* what was not understood, a line each */
	size_t warning_count;
};

#endif
