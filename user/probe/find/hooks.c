// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Finds where libc returns to hooks in the allocator tables (PYTHONMALLOC=debug, tracemalloc). A
 * hook calls the allocator that it stands before through its context, which is a PyMemAllocatorEx,
 * or a structure with a word before one: `call *0x8(%rbx)`. libc returns behind those calls.
 */
#include "probe/find/hooks.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "probe/code/paths.h"
#include "probe/find/builder.h"
#include "probe/find/results.h"

#define INSTRUCTIONS_MAX 20000
#define FUNCTIONS_MAX    256
#define POINTS_MAX       256
/* tracemalloc_raw_malloc() calls tracemalloc_raw_alloc(), that tracemalloc_alloc(), and so on. */
#define DEPTH_MAX 3

struct hooks { /* the code that is reached from the hooks' functions */
	struct builder *builder;
	uint64_t functions[FUNCTIONS_MAX]; /* in the order in which they are come upon */
	uint8_t depths[FUNCTIONS_MAX];
	unsigned function_count;
	uint64_t pending[256]; /* in the function at hand */
	unsigned pending_count, instruction_count;
	uint8_t *seen; /* by offset in the listing */
	struct return_point points[POINTS_MAX];
	unsigned point_count;
};

static void hooks_push(struct hooks *hooks, uint64_t address)
{
	const struct listing *listing = hooks->builder->listing;

	if (!listing_contains(listing, address) || hooks->seen[address - listing->start] ||
	    hooks->pending_count == array_size(hooks->pending))
		return;
	hooks->seen[address - listing->start] = 1;
	hooks->pending[hooks->pending_count++] = address;
}

static void hooks_call(struct hooks *hooks, uint64_t function, unsigned depth)
{
	if (depth > DEPTH_MAX || hooks->function_count == FUNCTIONS_MAX ||
	    !listing_contains(hooks->builder->listing, function))
		return;
	hooks->depths[hooks->function_count] = depth;
	hooks->functions[hooks->function_count++] = function;
}

/*
 * Whether a call goes through a member of a structure: PyMemAllocatorEx, at 0 or at 8 of a context,
 * or further within (tracemalloc's state holds the allocators that it took the place of).
 */
static bool is_member_call(const struct x86_operand *operand)
{
	if (operand->kind == X86_REGISTER)
		return true;
	return operand->kind == X86_MEMORY && operand->index == X86_NONE && !operand->segment;
}

static void hooks_instruction(struct hooks *hooks, const struct x86_instruction *instruction,
			      unsigned depth)
{
	uint64_t next = instruction->address + instruction->length;

	switch (instruction->kind) {
	case X86_CALL:
		hooks_call(hooks, instruction->target, depth + 1);
		break;
	case X86_CALL_INDIRECT:
		if (is_member_call(&instruction->operands[0]) && hooks->point_count < POINTS_MAX)
			hooks->points[hooks->point_count++] =
				(struct return_point){.address = next};
		break;
	case X86_JUMP:
	case X86_BRANCH:
		hooks_push(hooks, instruction->target);
		break;
	default:
		break;
	}
	if (path_flows(instruction))
		hooks_push(hooks, next);
}

static void hooks_function(struct hooks *hooks, uint64_t function, unsigned depth)
{
	hooks_push(hooks, function);
	while (hooks->pending_count) {
		uint64_t address = hooks->pending[--hooks->pending_count];
		struct x86_instruction instruction;

		if (hooks->instruction_count++ < INSTRUCTIONS_MAX &&
		    listing_decode(hooks->builder->listing, address, &instruction))
			hooks_instruction(hooks, &instruction, depth);
	}
}

static int point_compare(const void *a, const void *b)
{
	const struct return_point *left = a, *right = b;

	return left->address < right->address ? -1 : left->address > right->address;
}

static bool plan_has(const struct plan *plan, const struct site *site)
{
	for (size_t i = 0; i < plan->site_count; i++) {
		if (plan->sites[i].address == site->address)
			return true;
	}
	return false;
}

struct error *hooks_results(struct builder *builder, const uint64_t *functions, size_t count)
{
	cleanup_free struct hooks *hooks = calloc(1, sizeof(*hooks));
	cleanup_free uint8_t *seen = calloc(builder->listing->end - builder->listing->start, 1);

	if (!hooks || !seen)
		return error_create(ERROR_FAILED, "%s: no memory to look through it",
				    builder->image->path);
	hooks->builder = builder;
	hooks->seen = seen;
	for (size_t i = 0; i < count; i++)
		hooks_call(hooks, functions[i], 0);
	for (unsigned i = 0; i < hooks->function_count; i++)
		hooks_function(hooks, hooks->functions[i], hooks->depths[i]);
	if (hooks->point_count)
		qsort(hooks->points, hooks->point_count, sizeof(*hooks->points), point_compare);
	return results_add(builder, hooks->points, hooks->point_count);
}

void hooks_subtract(struct plan *found, const struct plan *plan)
{
	size_t kept = 0;

	for (size_t i = 0; i < found->site_count; i++) {
		if (!plan_has(plan, &found->sites[i]))
			found->sites[kept++] = found->sites[i];
	}
	found->site_count = kept;
}
