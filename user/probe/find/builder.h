/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A plan in the making: what the finders share, and how they add to it. Below all of them. */
#ifndef TMBPF_PROBE_FIND_BUILDER_H
#define TMBPF_PROBE_FIND_BUILDER_H

#include "base/lookup.h"
#include "probe/code/imports.h"
#include "probe/code/listing.h"
#include "probe/find/allocators.h"
#include "probe/find/freelist_word.h"
#include "probe/find/site.h"

struct error;

/* A guard: `cmp table-slot, implementation` and the conditional jump behind it. */
struct guard {
	uint64_t compare, jump;
	uint64_t fast,
		slow;  /* where the jump's two edges lead: the implementation inlined; the call */
	uint64_t call; /* the indirect call or jump that the slow edge ends in */
	uint64_t returns; /* the address behind it; 0 for a jump */
	bool raw;
	enum site_operation operation;
	struct site_value a[2];
};

struct builder {
	const struct image *image;
	struct listing *listing;
	struct tables tables;
	struct imports libc;
	struct imports exports;       /* return_exports, by its indices */
	struct imports runtime_words; /* GOT words that hold the address of _PyRuntime */
	struct freelist_word freelist_word;
	uint32_t version;
	uint64_t runtime;     /* image address of _PyRuntime; 0 unknown */
	bool runtime_tables;  /* the live tables stand in it */
	struct guard *guards; /* sorted by jump, unique */
	size_t guard_count, guard_capacity;
	struct plan *plan;
	struct lookup by_address; /* plan->sites */
	size_t site_capacity;
};

/* Frees what the builder owns: all but the image and the plan. */
void builder_deinit(struct builder *builder);

/* Fails once more code was decoded than is decoded for one image. */
struct error *builder_check(const struct builder *builder);

/* A line for plan->warnings; where it does not fit or there is no memory it is only counted. */
void builder_warn(struct builder *builder, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Adds a site of KIND at ADDRESS; its bytes, offset and length are filled in. Fails without memory
 * or where ADDRESS is no instruction of the file.
 */
struct error *builder_site(struct builder *builder, const struct site *site);

/* The site at ADDRESS so far, or NULL. */
struct site *builder_site_at(struct builder *builder, uint64_t address);

/* "malloc", "calloc", "realloc", "free". */
const char *operation_name(enum site_operation operation);

#endif
