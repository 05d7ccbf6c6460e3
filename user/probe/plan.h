/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The plan: every instruction of an interpreter's file that is to be probed, and what it tells.
 * Made from the file alone and from what a layout knows of it, so it can be kept by build-id.
 * What it consists of: probe/find/site.h.
 */
#ifndef TMBPF_PROBE_PLAN_H
#define TMBPF_PROBE_PLAN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "probe/find/site.h"
#include "python/python.h"
#include "target/elf/image.h"

struct error;

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
 * calls that the hooks' COUNT FUNCTIONS (image addresses, from the live tables) make of what they
 * stand before. Places that PLAN has already are left out. The array is to be freed.
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
