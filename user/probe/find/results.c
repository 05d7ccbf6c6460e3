// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Finds where the pointer that libc returned can be seen: the first emulated instruction behind the
 * return at which a register or a stack slot holds it.
 *
 * Code is often merged: the jump that tests the pointer of a raw allocation may test those of
 * pymalloc's fast path as well. A probe there would cost a trap for every small allocation, so an
 * instruction that only the return leads to is taken, or one that is otherwise reached only by rare
 * paths.
 */
#include "probe/find/results.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "probe/code/paths.h"
#include "probe/code/symbolic.h"
#include "probe/find/builder.h"
#include "probe/find/guards.h"

/* Instructions from a return to its site. */
#define LINE_MAX_INSTRUCTIONS 64
/* Instructions of a walk back from where paths join. */
#define JOIN_MAX 120

struct results {
	struct builder *builder;
	struct return_point *points; /* sorted */
	size_t count;
};

static int point_compare(const void *a, const void *b)
{
	const struct return_point *left = a, *right = b;

	return left->address < right->address ? -1 : left->address > right->address;
}

static bool is_return(const struct results *results, uint64_t address)
{
	struct return_point key = {.address = address};

	return results->count && bsearch(&key, results->points, results->count,
					 sizeof(*results->points), point_compare);
}

/*
 * A path that comes from another such return, from an indirect call (a guard's slow edge) or from
 * the refill function is rare enough. pymalloc's fast path calls nothing.
 */
static enum path_verdict join_judge(void *context, const struct x86_instruction *before,
				    uint64_t address)
{
	const struct results *results = context;
	const struct builder *builder = results->builder;
	const struct guard *guard;

	if (!before)
		return PATH_FAILS;
	switch (before->kind) {
	case X86_CALL_INDIRECT:
		return PATH_ENDS;
	case X86_CALL:
		return before->target == builder->plan->refill ||
				       is_return(results, before->address + before->length)
			       ? PATH_ENDS
			       : PATH_FAILS;
	case X86_BRANCH:
		guard = guard_at(builder, before->address);
		return guard && guard->fast == address ? PATH_FAILS : PATH_ON;
	default:
		return PATH_ON;
	}
}

enum join { JOIN_NONE, JOIN_RARE, JOIN_HOT };

static enum join join_classify(struct results *results, uint64_t address)
{
	size_t count;

	listing_jumps_to(results->builder->listing, address, &count);
	if (!count)
		return JOIN_NONE;
	return paths_backward(results->builder->listing, address, JOIN_MAX, join_judge, results)
		       ? JOIN_RARE
		       : JOIN_HOT;
}

/* Whether SITE can be at its address beside what is there already. */
static bool site_fits(struct builder *builder, const struct site *site)
{
	const struct site *other = builder_site_at(builder, site->address);

	return !other || (other->kind == SITE_RESULT && !other->single_step && !site->single_step &&
			  other->stack_delta == site->stack_delta &&
			  site_value_equal(&other->a[0], &site->a[0]));
}

/* The line from the return POINT on. False where it has no emulated instruction that serves. */
static bool line_walk(struct results *results, const struct return_point *point, struct site *ret,
		      enum join *ret_join)
{
	struct builder *builder = results->builder;
	uint64_t address = point->address;
	enum join join = JOIN_NONE;
	struct state state;
	bool found = false;

	state_init(&state);
	for (unsigned i = 0; i < LINE_MAX_INSTRUCTIONS; i++) {
		struct site site = {.kind = SITE_RESULT,
				    .address = address,
				    .returns = point->address,
				    .malloc_only = point->malloc_only};
		struct x86_instruction instruction;
		int64_t delta;

		if (join < JOIN_HOT) {
			enum join here = join_classify(results, address);

			join = here > join ? here : join;
		}
		if (!listing_decode(builder->listing, address, &instruction) ||
		    !state_whereabouts(&state, X86_RAX, &site.a[0]) ||
		    !state_stack_delta(&state, &delta) || delta != (int32_t)delta)
			break;
		site.stack_delta = delta;
		if (instruction.emulated && site_fits(builder, &site)) {
			*ret = site;
			*ret_join = join;
			found = true;
			break;
		}
		if (instruction.kind == X86_CALL || instruction.kind == X86_CALL_INDIRECT ||
		    instruction.kind == X86_BRANCH ||
		    (!path_flows(&instruction) && instruction.kind != X86_JUMP))
			break;
		state_step(&state, &instruction);
		address = instruction.kind == X86_JUMP ? instruction.target
						       : address + instruction.length;
	}
	return found;
}

static struct error *result_share(struct builder *builder, struct site *site,
				  const struct return_point *point)
{
	site->returns = 0;
	site->malloc_only = site->malloc_only && point->malloc_only;
	builder->plan->audit.results_shared++;
	return NULL;
}

static struct error *result_add(struct results *results, const struct return_point *point)
{
	struct builder *builder = results->builder;
	struct plan_audit *audit = &builder->plan->audit;
	enum join join = JOIN_NONE, first = join_classify(results, point->address);
	struct site site = {0}, single = {
					.kind = SITE_RESULT,
					.address = point->address,
					.returns = point->address,
					.malloc_only = point->malloc_only,
					.single_step = true,
					.a = {{.has_base = true, .base = X86_RAX}},
				};
	bool found = line_walk(results, point, &site, &join);

	/*
	 * A single-stepped site that only the return leads to is better than an emulated one that
	 * every allocation passes.
	 */
	if ((!found || join == JOIN_HOT) && first != JOIN_HOT && site_fits(builder, &single)) {
		site = single;
		found = true;
		audit->results_single_step++;
	} else if (found && join == JOIN_HOT) {
		audit->results_hot++;
		if (!site.malloc_only && !point->slow)
			builder_warn(
				builder,
				"%#llx: the place to see what the call before %#llx allocated is "
				"passed often",
				(unsigned long long)site.address,
				(unsigned long long)point->address);
	}
	site.malloc_only |= point->slow && join == JOIN_HOT && !site.single_step;
	if (!found) {
		audit->results_missing++;
		builder_warn(builder,
			     "%#llx: no place to see what was allocated by the call before",
			     (unsigned long long)point->address);
		return NULL;
	}
	if (builder_site_at(builder, site.address))
		return result_share(builder, builder_site_at(builder, site.address), point);
	audit->results++;
	return builder_site(builder, &site);
}

struct error *results_add(struct builder *builder, struct return_point *points, size_t count)
{
	struct results results = {.builder = builder, .points = points, .count = count};

	for (size_t i = 0; i < count; i++)
		try(result_add(&results, &points[i]));
	return NULL;
}

struct error *results_sites(struct builder *builder)
{
	cleanup_free struct return_point *points = NULL;
	size_t count;

	try(returns_collect(builder, &points, &count));
	return results_add(builder, points, count);
}
