/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * tracemalloc's filters, with its meaning: Filter, DomainFilter and Snapshot.filter_traces() of
 * CPython's Lib/tracemalloc.py (the same from 3.6 to 3.15).
 */
#ifndef TMBPF_SNAPSHOT_FILTER_H
#define TMBPF_SNAPSHOT_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct tables;
struct trace;

struct filter {
	bool inclusive;
	char *pattern; /* of file names, NULL: a DomainFilter */
	uint32_t lineno;
	bool has_lineno;
	bool all_frames; /* any frame counts, else the most recent one alone */
	uint32_t domain;
	bool has_domain; /* always with a DomainFilter */
};

/*
 * FILTERS made ready for the traces of one snapshot: a pattern is matched once with each file
 * name. FILTERS and TABLES are borrowed.
 */
struct matcher;

struct error *matcher_create(const struct filter *filters, size_t count,
			     const struct tables *tables, struct matcher **ret);
/* NULL is accepted. */
void matcher_destroy(struct matcher *matcher);

static inline void matcher_cleanup(struct matcher **matcher)
{
	matcher_destroy(*matcher);
}

/*
 * Whether TRACE is among what filter_traces(FILTERS) leaves: it passes one of the inclusive
 * filters, where there are any, and each of the others.
 */
bool matcher_passes(const struct matcher *matcher, const struct trace *trace);

/*
 * Python's fnmatch.fnmatchcase(): '*', '?', '[abc]', '[a-z]', '[!abc]'; no character is special
 * to a '*', nor is a backslash. By code points.
 */
bool pattern_match(const char *pattern, const char *text);

#endif
