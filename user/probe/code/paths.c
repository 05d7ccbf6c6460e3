// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Walks backwards over control flow, by the listing's index of jumps. */
#include "probe/code/paths.h"

struct walk {
	struct listing *listing;
	uint64_t seen
		[PATHS_MAX]; /* instructions reached; those from DONE on still to be looked at */
	unsigned seen_count, done, limit;
};

bool path_flows(const struct x86_instruction *instruction)
{
	return instruction->kind != X86_JUMP && instruction->kind != X86_JUMP_INDIRECT &&
	       instruction->kind != X86_RETURN && instruction->kind != X86_STOP;
}

static bool walk_add(struct walk *walk, uint64_t address)
{
	for (unsigned i = 0; i < walk->seen_count; i++) {
		if (walk->seen[i] == address)
			return true;
	}
	if (walk->seen_count == walk->limit)
		return false;
	walk->seen[walk->seen_count++] = address;
	return true;
}

static bool walk_edge(struct walk *walk, uint64_t source, uint64_t address, path_judge judge,
		      void *context)
{
	struct x86_instruction before;

	if (!listing_decode(walk->listing, source, &before))
		return false;
	switch (judge(context, &before, address)) {
	case PATH_ON:
		return walk_add(walk, source);
	case PATH_ENDS:
		return true;
	default:
		return false;
	}
}

/* A function begins there: it is called, or nothing in its image jumps to it. */
static bool is_entry(struct listing *listing, uint64_t address, size_t jump_count)
{
	const struct listing_function *function = listing_function_at(listing, address);
	size_t calls;

	listing_calls_to(listing, address, &calls);
	return calls || (function && function->start == address && !jump_count);
}

bool path_flows_into(struct listing *listing, uint64_t address, struct x86_instruction *ret)
{
	const struct listing_function *function = listing_function_at(listing, address);
	struct x86_instruction first, before;
	uint64_t start = function ? function->start : listing->start;
	bool found = false;
	size_t jumps;

	while (address > start && listing_previous(listing, address, &address) &&
	       listing_decode(listing, address, &before) && path_flows(&before)) {
		if (!found)
			first = before;
		found = true;
		listing_jumps_to(listing, address, &jumps);
		if (before.kind != X86_NOP || jumps || address == start) {
			*ret = first;
			return true;
		}
	}
	return false;
}

static bool walk_step(struct walk *walk, uint64_t address, path_judge judge, void *context)
{
	const struct listing_edge *jumps;
	struct x86_instruction before;
	size_t count;
	bool entry, reached = false;

	jumps = listing_jumps_to(walk->listing, address, &count);
	entry = is_entry(walk->listing, address, count);
	if (entry && judge(context, NULL, address) != PATH_ENDS)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (!walk_edge(walk, walk->listing->start + jumps[i].source, address, judge,
			       context))
			return false;
	}
	if (path_flows_into(walk->listing, address, &before)) {
		if (!walk_edge(walk, before.address, address, judge, context))
			return false;
		reached = true;
	}
	return entry || reached || count || judge(context, NULL, address) == PATH_ENDS;
}

bool paths_backward(struct listing *listing, uint64_t address, unsigned limit, path_judge judge,
		    void *context)
{
	struct walk walk = {.listing = listing, .limit = limit < PATHS_MAX ? limit : PATHS_MAX};

	if (!walk_add(&walk, address))
		return false;
	while (walk.done < walk.seen_count) {
		if (!walk_step(&walk, walk.seen[walk.done++], judge, context))
			return false;
	}
	return true;
}
