/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where libc's malloc, calloc and realloc, called for the raw domain, may return to: behind their
 * calls, and, as tail jumps return to a caller's caller, behind the calls of every function that
 * may leave by one.
 */
#ifndef TMBPF_PROBE_FIND_RETURNS_H
#define TMBPF_PROBE_FIND_RETURNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct builder;
struct error;

struct return_point {
	uint64_t address;
	bool malloc_only; /* see struct site */
	/*
	 * Behind a guard's slow edge: taken only with something else in the tables than at first,
	 * but that may be a hook before pymalloc. Costs nothing while it is not taken.
	 */
	bool slow;
};

/* COUNT points in RET, sorted by address, unique; to be freed. */
struct error *returns_collect(struct builder *builder, struct return_point **ret,
			      size_t *ret_count);

/*
 * How many functions of the Python API may leave by a tail jump; the name of each, and whether
 * malloc_only.
 */
extern const struct return_export {
	const char *name;
	bool malloc_only;
} return_exports[];
extern const unsigned return_export_count;

#endif
