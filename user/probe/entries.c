// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Entries of functions: the first emulated instruction in the straight line from a function's
 * first byte, at which the arguments can still be named. A conditional jump ends the line, and is
 * itself emulated: where it is reached its site has been found.
 */
#include "base/cleanup.h"
#include "base/error.h"
#include "probe/builder.h"
#include "probe/entries.h"
#include "probe/symbolic.h"

#define LINE_MAX_INSTRUCTIONS 64

/*
 * The straight line from FUNCTION on; the first emulated instruction where ARGUMENTS can be named.
 */
static bool entry_walk(struct listing *listing, uint64_t function, unsigned arguments,
		       struct site *ret)
{
	static const uint8_t registers[2] = {X86_RSI, X86_RDX};
	uint64_t address = function;
	struct state state;

	state_init(&state);
	for (unsigned i = 0; i < LINE_MAX_INSTRUCTIONS; i++) {
		struct x86_instruction instruction;
		struct site site = *ret;
		bool named = true;

		if (!listing_decode(listing, address, &instruction))
			return false;
		for (unsigned j = 0; j < arguments; j++)
			named = named && state_whereabouts(&state, registers[j], &site.a[j]);
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

bool entry_find(struct listing *listing, uint64_t function, enum site_operation operation, bool raw,
		struct site *ret)
{
	unsigned arguments = operation == SITE_CALLOC || operation == SITE_REALLOC ? 2 : 1;
	struct site site = {.kind = SITE_ENTRY, .operation = operation, .raw = raw};
	struct x86_instruction first;

	if (entry_walk(listing, function, arguments, &site)) {
		*ret = site;
		return true;
	}
	if (!listing_decode(listing, function, &first))
		return false;
	site.address = function;
	site.single_step = true;
	site.a[0] = (struct site_value){.has_base = true, .base = X86_RSI};
	site.a[1] = (struct site_value){.has_base = arguments == 2, .base = X86_RDX};
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
