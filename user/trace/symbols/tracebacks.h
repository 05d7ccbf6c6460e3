/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tracebacks by an index, for what is tracked. The table holds all of them (symbols.h). */
#ifndef TMBPF_TRACE_SYMBOLS_TRACEBACKS_H
#define TMBPF_TRACE_SYMBOLS_TRACEBACKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/lookup.h"
#include "trace/symbols/symbols.h"

struct error;

struct tracebacks { /* empty if all but SYMBOLS is zero */
	struct symbols *symbols;
	struct symbols_traceback **list;
	size_t count, capacity;
	struct lookup lookup;
};

/*
 * Finds or adds TRACEBACK, and sets its index. NULL: none is known. TRACEBACK is taken over, also
 * if this fails.
 */
struct error *tracebacks_index(struct tracebacks *tracebacks, struct symbols_traceback *traceback,
			       uint32_t *ret);
/* NULL if no traceback has that index. */
const struct symbols_traceback *tracebacks_get(const struct tracebacks *tracebacks, uint32_t index);
/*
 * For each index the lowest index of the same line (symbols_traceback_line()). Malloc'd, with room
 * for one more.
 */
struct error *tracebacks_lines(const struct tracebacks *tracebacks, uint32_t **ret);
/*
 * Keeps those whose MAP is not 0 and sets MAP to their new index; releases the others. If it fails
 * nothing has changed.
 */
struct error *tracebacks_keep(struct tracebacks *tracebacks, uint32_t *map);
/* Releases all. The table is empty then. */
void tracebacks_clear(struct tracebacks *tracebacks);
void tracebacks_deinit(struct tracebacks *tracebacks);

#endif
