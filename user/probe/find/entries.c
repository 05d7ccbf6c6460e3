// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Finds entries of functions: the first emulated instruction in the straight line from a function's
 * first byte, at which the arguments can still be named. A conditional jump ends the line; as it is
 * emulated itself, it is the site where no earlier instruction is.
 */
#include "probe/find/entries.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "probe/code/symbolic.h"
#include "probe/find/builder.h"

#define LINE_MAX_INSTRUCTIONS 64

#define ARGUMENTS 3

/* Which registers hold the arguments, as a site has them; X86_NONE: there is none. */
struct arguments {
	uint8_t registers[ARGUMENTS];
};

/*
 * Walks the straight line from FUNCTION on to the first emulated instruction where all of ARGUMENTS
 * can be named.
 */
static bool entry_walk(struct listing *listing, uint64_t function,
		       const struct arguments *arguments, struct site *ret)
{
	uint64_t address = function;
	struct state state;

	state_init(&state);
	for (unsigned i = 0; i < LINE_MAX_INSTRUCTIONS; i++) {
		struct x86_instruction instruction;
		struct site site = *ret;
		bool named = true;

		if (!listing_decode(listing, address, &instruction))
			return false;
		for (unsigned j = 0; j < ARGUMENTS; j++)
			named = named &&
				(arguments->registers[j] == X86_NONE ||
				 state_whereabouts(&state, arguments->registers[j], &site.a[j]));
		if (!named)
			return false;
		if (instruction.emulated) {
			site.address = address;
			*ret = site;
			return true;
		}
		if (instruction.kind == X86_RETURN || instruction.kind == X86_STOP ||
		    instruction.kind == X86_JUMP_INDIRECT || instruction.kind == X86_BRANCH)
			return false;
		state_step(&state, &instruction);
		address += instruction.length;
	}
	return false;
}

/* SITE's place and its arguments; where no emulated instruction will do, at FUNCTION itself. */
static bool entry_complete(struct listing *listing, uint64_t function,
			   const struct arguments *arguments, struct site *site)
{
	struct x86_instruction first;

	if (entry_walk(listing, function, arguments, site))
		return true;
	if (!listing_decode(listing, function, &first))
		return false;
	site->address = function;
	site->single_step = true;
	for (unsigned i = 0; i < ARGUMENTS; i++)
		if (arguments->registers[i] != X86_NONE)
			site->a[i] = (struct site_value){.has_base = true,
							 .base = arguments->registers[i]};
	return true;
}

bool entry_find(struct listing *listing, uint64_t function, enum site_operation operation, bool raw,
		struct site *ret)
{
	bool two = operation == SITE_CALLOC || operation == SITE_REALLOC;
	const struct arguments arguments = {{X86_RSI, two ? X86_RDX : X86_NONE, X86_NONE}};
	struct site site = {.kind = SITE_ENTRY, .operation = operation, .raw = raw};

	if (!entry_complete(listing, function, &arguments, &site))
		return false;
	*ret = site;
	return true;
}

/*
 * The same of PyTraceMalloc_Track (ALLOCATES) and PyTraceMalloc_Untrack, which take (domain,
 * pointer, size) and (domain, pointer).
 */
static bool entry_find_track(struct listing *listing, uint64_t function, bool allocates,
			     struct site *ret)
{
	const struct arguments arguments = {{X86_RSI, allocates ? X86_RDX : X86_NONE, X86_RDI}};
	struct site site = {.kind = SITE_TRACK, .operation = allocates ? SITE_MALLOC : SITE_FREE};

	if (!entry_complete(listing, function, &arguments, &site))
		return false;
	*ret = site;
	return true;
}

struct error *entries_sites(struct builder *builder)
{
	for (unsigned operation = 0; operation < 4; operation++) {
		uint64_t function = builder->tables.functions[0][operation];
		struct site site;

		if (!entry_find(builder->listing, function, operation, false, &site))
			return error_create(ERROR_FAILED, "%s: pymalloc's %s at %#llx is no code",
					    builder->image->path, operation_name(operation),
					    (unsigned long long)function);
		if (site.single_step)
			builder_warn(
				builder,
				"%#llx: pymalloc's %s has no emulated instruction at its start; "
				"its probe is single-stepped",
				(unsigned long long)function, operation_name(operation));
		builder->plan->audit.entries[0][operation]++;
		try(builder_site(builder, &site));
	}
	return NULL;
}

/* Python/tracemalloc.c, Modules/_tracemalloc.c; in 3.6 the names began with an underscore. */
struct error *track_sites(struct builder *builder)
{
	static const char *const names[2][2] = {
		{"PyTraceMalloc_Track", "_PyTraceMalloc_Track"},
		{"PyTraceMalloc_Untrack", "_PyTraceMalloc_Untrack"},
	};

	for (unsigned i = 0; i < 2; i++) {
		const struct image_symbol *symbol = image_symbol(builder->image, names[i][0]);
		struct site site;

		if (!symbol)
			symbol = image_symbol(builder->image, names[i][1]);
		if (!symbol || !entry_find_track(builder->listing, symbol->address, !i, &site)) {
			builder_warn(builder,
				     "%s was not found: what extensions tell tracemalloc of is not "
				     "seen",
				     names[i][0]);
			continue;
		}
		if (site.single_step)
			builder_warn(
				builder,
				"%#llx: %s has no emulated instruction at its start; its probe "
				"is single-stepped",
				(unsigned long long)symbol->address, names[i][0]);
		try(builder_site(builder, &site));
	}
	return NULL;
}
