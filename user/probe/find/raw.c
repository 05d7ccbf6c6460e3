// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Finds the raw domain's calls of libc's functions: where _PyMem_Raw* was inlined, which is on the
 * fast edges of raw guards, and in its out-of-line functions.
 */
#include "probe/find/raw.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "probe/code/paths.h"
#include "probe/find/builder.h"
#include "probe/find/guards.h"

/* Instructions of an inlined _PyMem_Raw*; those of calloc, the longest, are some 15. */
#define INLINED_MAX 48
#define PENDING_MAX 8
/*
 * Instructions of a walk back from a call to its guards. Code that several guards share is longer.
 */
#define BACKWARD_MAX 200

/* By operation. */
static const char *const libc_names[] = {"malloc", "calloc", "realloc", "free"};

/* A call of libc's OPERATION at ADDRESS, as found from a guard or a function. */
static struct error *raw_add(struct builder *builder, const struct x86_instruction *instruction,
			     enum site_operation operation)
{
	bool tail = instruction->kind == X86_JUMP || instruction->kind == X86_JUMP_INDIRECT;
	struct site site = {
		.address = instruction->address,
		.kind = SITE_RAW,
		.operation = operation,
		.raw = true,
		.tail = tail,
		.single_step = !instruction->emulated,
		.a = {{.has_base = true, .base = X86_RDI}},
		.returns = tail ? 0 : instruction->address + instruction->length,
	};

	if (operation == SITE_CALLOC || operation == SITE_REALLOC)
		site.a[1] = (struct site_value){.has_base = true, .base = X86_RSI};
	if (builder_site_at(builder, site.address))
		return NULL;
	if (tail)
		builder->plan->audit.raw_tails++;
	else
		builder->plan->audit.raw_calls++;
	return builder_site(builder, &site);
}

enum reached { REACHED_NOTHING, REACHED_CALL, REACHED_FUNCTION };

/*
 * Follows the paths from START, the inlined or out-of-line body of the raw domain's OPERATION, to
 * their calls of libc. RET_REACHED: CALL where every path comes to one, FUNCTION where one comes to
 * a call of the out-of-line function, NOTHING where one ends otherwise.
 */
static struct error *body_follow(struct builder *builder, uint64_t start,
				 enum site_operation operation, enum reached *ret_reached)
{
	uint64_t pending[PENDING_MAX] = {start};
	unsigned pending_count = 1, left = INLINED_MAX;
	enum reached reached = REACHED_CALL;

	while (pending_count && left) {
		uint64_t address = pending[--pending_count];
		struct x86_instruction instruction;
		unsigned called;

		for (; left; left--) {
			if (!listing_decode(builder->listing, address, &instruction)) {
				reached = REACHED_NOTHING;
				break;
			}
			if (imports_target(&builder->libc, builder->listing, &instruction,
					   &called)) {
				if (called == operation)
					try(raw_add(builder, &instruction, operation));
				else
					reached = REACHED_NOTHING;
				break;
			}
			if ((instruction.kind == X86_CALL || instruction.kind == X86_JUMP) &&
			    instruction.target == builder->tables.functions[1][operation] &&
			    start != instruction.target) {
				if (reached == REACHED_CALL)
					reached = REACHED_FUNCTION;
				break;
			}
			if (instruction.kind == X86_CALL || instruction.kind == X86_CALL_INDIRECT ||
			    (!path_flows(&instruction) && instruction.kind != X86_JUMP)) {
				reached = REACHED_NOTHING;
				break;
			}
			if (instruction.kind == X86_BRANCH && pending_count < PENDING_MAX)
				pending[pending_count++] = instruction.target;
			address = instruction.kind == X86_JUMP ? instruction.target
							       : address + instruction.length;
		}
	}
	*ret_reached = left ? reached : REACHED_NOTHING;
	return NULL;
}

struct origin { /* what a walk back from a RAW site may come to */
	struct builder *builder;
	enum site_operation operation;
};

static enum path_verdict origin_judge(void *context, const struct x86_instruction *before,
				      uint64_t address)
{
	struct origin *origin = context;
	const struct guard *guard;

	if (!before)
		return address == origin->builder->tables.functions[1][origin->operation]
			       ? PATH_ENDS
			       : PATH_FAILS;
	if (before->kind == X86_CALL || before->kind == X86_CALL_INDIRECT)
		return PATH_FAILS;
	guard = before->kind == X86_BRANCH ? guard_at(origin->builder, before->address) : NULL;
	if (!guard)
		return PATH_ON;
	return guard->raw && guard->operation == origin->operation && guard->fast == address
		       ? PATH_ENDS
		       : PATH_FAILS;
}

/* A site that other code shares would count what is not the raw domain's. */
static void sharing_check(struct builder *builder)
{
	for (size_t i = 0; i < builder->plan->site_count; i++) {
		struct site *site = &builder->plan->sites[i];
		struct origin origin = {builder, site->operation};

		if (site->kind != SITE_RAW || paths_backward(builder->listing, site->address,
							     BACKWARD_MAX, origin_judge, &origin))
			continue;
		builder->plan->audit.raw_shared++;
		builder_warn(builder,
			     "%#llx: a call of %s that other code than the raw domain's may share",
			     (unsigned long long)site->address, libc_names[site->operation]);
	}
}

struct error *raw_sites(struct builder *builder)
{
	struct plan_audit *audit = &builder->plan->audit;
	enum reached reached;

	for (unsigned i = 0; i < array_size(libc_names); i++)
		imports_add(&builder->libc, builder->image, libc_names[i], i);
	for (unsigned operation = 0; operation < 4; operation++) {
		uint64_t function = builder->tables.functions[1][operation];

		try(body_follow(builder, function, operation, &reached));
		if (reached != REACHED_CALL)
			builder_warn(builder, "%#llx: the raw domain's %s does not come to libc's",
				     (unsigned long long)function, libc_names[operation]);
		else
			audit->entries[1][operation]++;
	}
	for (size_t i = 0; i < builder->guard_count; i++) {
		const struct guard *guard = &builder->guards[i];

		if (!guard->raw)
			continue;
		try(body_follow(builder, guard->fast, guard->operation, &reached));
		if (reached != REACHED_NOTHING)
			continue;
		audit->raw_guards_lost++;
		builder_warn(builder, "%#llx: a guarded raw %s that does not come to libc's",
			     (unsigned long long)guard->jump, libc_names[guard->operation]);
	}
	sharing_check(builder);
	return NULL;
}
