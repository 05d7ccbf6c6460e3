/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plan: every instruction of an interpreter's file that is to be probed, and what it tells.
 * Made from the file alone and from what a layout knows of it, so it can be kept by build-id.
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
 *  - REFILL: the entry of allocate_from_new_pool: counts what share of refills was announced by a
 *    probed allocation.
 *  - REUSE: where an object was taken from a free list, which no allocator sees: a[0] is the object.
 *  - TRACK: the entry of PyTraceMalloc_Track (operation malloc) and _Untrack (free), by which
 *    extensions tell of blocks of domains of their own, whether tracemalloc is on or off.
 *
 * What no file tells: a function that returns by a tail jump to libc may be called through a
 * pointer, from another module (zlib's zalloc is a pointer to such a function). Such a return
 * address has no RESULT.
 */
#ifndef TMBPF_PROBE_PLAN_H
#define TMBPF_PROBE_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "python/python.h"
#include "target/elf/image.h"

struct error;

enum site_kind {
	SITE_GUARD,
	SITE_ENTRY,
	SITE_RAW,
	SITE_RESULT,
	SITE_REFILL,
	SITE_REUSE,
	SITE_TRACK
};
enum site_operation { SITE_MALLOC, SITE_CALLOC, SITE_REALLOC, SITE_FREE };

/*
 * (has_base ? R[base] << shift : 0) + displacement; where DEREFERENCE, the 8 bytes at that address
 * instead.
 */
struct site_value {
	bool has_base, dereference;
	/*
	 * Hardware number: 0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, 5 rbp, 6 rsi, 7 rdi, 8 to 15 r8 to
	 * r15.
	 */
	uint8_t base;
	uint8_t shift; /* 0 to 3 */
	int64_t displacement;
};

struct site {
	uint64_t offset;  /* in the file: what the probe is attached to */
	uint64_t address; /* the image's own virtual address */
	enum site_kind kind;
	enum site_operation operation; /* of GUARD, ENTRY, RAW */
	bool raw;                      /* raw domain: of RAW */
	bool single_step;              /* no emulated instruction could be had: costs more */
	bool tail;                     /* RAW: a jump; the return address is at [rsp] */
	/*
	 * RESULT: reached from libc only where the tables do not hold the functions that they held
	 * at first (PYTHONMALLOC=malloc): not needed otherwise, and passed often.
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
	 * returns share: then the stack pointer alone links them. (It happens in no interpreter
	 * looked at.)
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
	/* Of those, in a malloc inlined into realloc's fast path: it is not announced by itself. */
	uint32_t refill_in_realloc;
	uint32_t reuse_checks;   /* places that tell tracemalloc of a new reference */
	uint32_t reuse_taken;    /* objects taken from free lists before that */
	uint32_t freelist_sites; /* of them, those that can be probed apart from new objects */
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

/*
 * Makes the plan for PYTHON. Fails where the implementations cannot be found or identified. Bounded
 * time and memory whatever the file holds.
 */
struct error *plan_create(const struct python *python, struct plan **ret);
void plan_destroy(struct plan *plan);

static inline void plan_cleanup(struct plan **plan)
{
	plan_destroy(*plan);
}

/* What a plan depends on besides the file. */
struct plan_input {
	uint32_t version;
	uint64_t runtime; /* address of _PyRuntime; 0 unknown */
	uint64_t live[3]; /* of the raw, mem and obj tables, where a layout tells; else 0 */
};

struct plan_input plan_input(const struct python *python);

/* The same as plan_create(), from a file and INPUT alone. */
struct error *plan_create_image(const struct image *image, const struct plan_input *input,
				struct plan **ret);

/*
 * The RESULT sites of another module of the process (an extension, a library), behind its calls of
 * exported functions that may leave by a tail jump (PyMem_RawMalloc, PyMem_RawCalloc,
 * PyMem_RawRealloc, PyMem_Realloc, PyObject_Realloc, ...). Sites refer to IMAGE's file. COUNT may
 * come out 0. The array is to be freed.
 */
struct error *plan_module_results(const struct image *image, struct site **ret, size_t *ret_count);

/*
 * The further RESULT sites that are needed where hooks stand in the allocator tables: behind the
 * calls that COUNT functions of the hooks (image addresses, from the live tables) make of what they
 * stand before. What PLAN has at the same place already is left out. The array is to be freed.
 */
struct error *plan_hook_results(const struct image *image, const struct plan *plan,
				const uint64_t *functions, size_t count, struct site **ret,
				size_t *ret_count);

/*
 * The entries of a hook's own FUNCTIONS (malloc, calloc, realloc, free; image addresses, 0: left
 * out), which a raw allocation passes before the implementation. The array is to be freed.
 */
struct error *plan_hook_entries(const struct image *image, const uint64_t functions[4],
				struct site **ret, size_t *ret_count);

/*
 * plan_create(), or a plan kept from before: below $TMBPF_CACHE or /var/cache/tmbpf, by build-id
 * and content. A stale or damaged one is made anew. Only root has plans kept.
 */
struct error *plan_load(const struct python *python, struct plan **ret);

/* A table of the sites, a line each, and the audit. */
void plan_print(const struct plan *plan, FILE *out);

#endif
