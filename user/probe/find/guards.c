// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Finds GCC's promoted calls: `cmp table-slot, implementation; jne slow`. The slow edge puts the
 * arguments in their registers before its indirect call. From that is told where they are at the
 * jump.
 */
#include "probe/find/guards.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "probe/code/symbolic.h"
#include "probe/find/builder.h"

/*
 * Instructions between a compare and its jump; on a slow edge. More were never seen than 3 and 12.
 */
#define BETWEEN_MAX 12
#define SLOW_MAX    48
/* Instructions followed from where a function's address is put in a register. */
#define REACH_MAX 400

/* What a compare compares the implementation with: the slot's content. */
struct subject {
	struct x86_operand operand;
	uint16_t registers; /* at the jump: those that hold it */
};

static unsigned operation_arguments(enum site_operation operation)
{
	return operation == SITE_CALLOC || operation == SITE_REALLOC ? 2 : 1;
}

/*
 * From the compare on to the conditional jump, over what leaves the flags alone. RET_SUBJECT's
 * registers are those that hold what was compared when the jump is reached.
 */
static bool jump_find(struct listing *listing, const struct x86_instruction *compare,
		      struct subject *subject, struct x86_instruction *ret)
{
	uint64_t address = compare->address + compare->length;
	struct x86_instruction instruction;
	struct state state;

	state_init(&state);
	for (unsigned i = 0; i < BETWEEN_MAX; i++) {
		if (!listing_decode(listing, address, &instruction))
			return false;
		if (instruction.kind == X86_BRANCH)
			break;
		if (instruction.writes_flags || instruction.kind == X86_CALL ||
		    instruction.kind == X86_CALL_INDIRECT || instruction.kind == X86_RETURN ||
		    instruction.kind == X86_STOP || instruction.kind == X86_JUMP_INDIRECT)
			return false;
		state_step(&state, &instruction);
		address = instruction.kind == X86_JUMP ? instruction.target
						       : address + instruction.length;
	}
	if (instruction.kind != X86_BRANCH ||
	    (!instruction.tests_equal && !instruction.tests_unequal))
		return false;
	for (uint8_t i = 0; i < X86_REGISTERS; i++) {
		if (subject->operand.kind == X86_REGISTER &&
		    value_is_register(&state.registers[i], subject->operand.number))
			subject->registers |= 1u << i;
	}
	*ret = instruction;
	return true;
}

/* Whether an indirect call calls what was compared. */
static bool is_subject(const struct builder *builder, const struct subject *subject,
		       const struct state *state, const struct x86_instruction *call,
		       enum site_operation operation)
{
	struct value callee = state_operand(state, &call->operands[0]);
	unsigned domain, slot;

	for (uint8_t i = 0; i < X86_REGISTERS; i++) {
		if ((subject->registers >> i & 1) && value_is_register(&callee, i))
			return true;
	}
	if (!callee.known || !callee.is.dereference)
		return false;
	if (!callee.is.has_base &&
	    tables_slot(&builder->tables, callee.is.displacement, &domain, &slot))
		return slot == operation;
	/* The same memory operand in both. */
	return subject->operand.kind == X86_MEMORY && subject->operand.index == X86_NONE &&
	       (callee.is.has_base ? callee.is.base : X86_NONE) == subject->operand.base &&
	       !callee.is.shift && callee.is.displacement == subject->operand.constant;
}

enum slow_outcome { SLOW_UNDERSTOOD, SLOW_NO_CALL, SLOW_UNKNOWN };

/* Follows the slow edge to the call and reads the arguments off. */
static enum slow_outcome slow_evaluate(const struct builder *builder, const struct subject *subject,
				       struct guard *guard)
{
	uint64_t address = guard->slow;
	struct x86_instruction instruction;
	struct state state;

	state_init(&state);
	for (unsigned i = 0; i < SLOW_MAX; i++) {
		if (!listing_decode(builder->listing, address, &instruction))
			return SLOW_NO_CALL;
		if (instruction.kind == X86_CALL_INDIRECT || instruction.kind == X86_JUMP_INDIRECT)
			break;
		if (instruction.kind == X86_CALL || instruction.kind == X86_RETURN ||
		    instruction.kind == X86_STOP || instruction.kind == X86_BRANCH)
			return SLOW_NO_CALL;
		state_step(&state, &instruction);
		address = instruction.kind == X86_JUMP ? instruction.target
						       : address + instruction.length;
	}
	if (instruction.kind != X86_CALL_INDIRECT && instruction.kind != X86_JUMP_INDIRECT)
		return SLOW_NO_CALL;
	if (!is_subject(builder, subject, &state, &instruction, guard->operation))
		return SLOW_NO_CALL;
	guard->call = instruction.address;
	if (instruction.kind == X86_CALL_INDIRECT)
		guard->returns = instruction.address + instruction.length;
	for (unsigned i = 0; i < operation_arguments(guard->operation); i++) {
		const struct value *value = &state.registers[i ? X86_RDX : X86_RSI];

		if (!value->known)
			return SLOW_UNKNOWN;
		guard->a[i] = value->is;
	}
	return SLOW_UNDERSTOOD;
}

static struct error *guard_add(struct builder *builder, const struct guard *guard)
{
	try(array_reserve(&builder->guards, &builder->guard_capacity, builder->guard_count, 1,
			  sizeof(*builder->guards)));
	builder->guards[builder->guard_count++] = *guard;
	return NULL;
}

/* COMPARE's operand SIDE is the implementation; the other is the slot's content. */
static struct error *compare_examine(struct builder *builder, const struct x86_instruction *compare,
				     unsigned side, bool raw, enum site_operation operation)
{
	struct guard guard = {.compare = compare->address, .raw = raw, .operation = operation};
	struct subject subject = {.operand = compare->operands[!side]};
	struct x86_instruction jump;

	if (subject.operand.width != 64 || !jump_find(builder->listing, compare, &subject, &jump)) {
		builder->plan->audit.rejected_compares++;
		return NULL;
	}
	guard.jump = jump.address;
	guard.slow = jump.tests_unequal ? jump.target : jump.address + jump.length;
	guard.fast = jump.tests_unequal ? jump.address + jump.length : jump.target;
	switch (slow_evaluate(builder, &subject, &guard)) {
	case SLOW_NO_CALL:
		builder->plan->audit.rejected_compares++;
		return NULL;
	case SLOW_UNKNOWN:
		builder->plan->audit.rejected_compares++;
		builder_warn(builder, "%#llx: a guarded %s call whose arguments are not understood",
			     (unsigned long long)guard.jump, operation_name(operation));
		return NULL;
	default:
		return guard_add(builder, &guard);
	}
}

/* Instructions to look at, each once, while an address sits in one register. */
struct reach {
	uint64_t pending[64];
	unsigned pending_count;
	uint64_t seen[REACH_MAX];
	unsigned seen_count;
	bool cut; /* more than fits */
};

static void reach_push(struct reach *reach, uint64_t address)
{
	for (unsigned i = 0; i < reach->seen_count; i++) {
		if (reach->seen[i] == address)
			return;
	}
	if (reach->pending_count == array_size(reach->pending))
		reach->cut = true;
	else
		reach->pending[reach->pending_count++] = address;
}

static bool reach_visit(struct reach *reach, uint64_t address)
{
	for (unsigned i = 0; i < reach->seen_count; i++) {
		if (reach->seen[i] == address)
			return false;
	}
	if (reach->seen_count == REACH_MAX) {
		reach->cut = true;
		return false;
	}
	reach->seen[reach->seen_count++] = address;
	return true;
}

/* Follows a path while register NUMBER keeps the address, and examines the compares with it. */
static struct error *reach_path(struct builder *builder, struct reach *reach, uint64_t address,
				uint8_t number, bool raw, enum site_operation operation,
				bool *ret_used)
{
	struct x86_instruction instruction;

	while (reach_visit(reach, address) &&
	       listing_decode(builder->listing, address, &instruction)) {
		uint16_t writes = instruction.writes;

		if (instruction.kind == X86_COMPARE) {
			for (unsigned side = 0; side < 2; side++) {
				const struct x86_operand *operand = &instruction.operands[side];

				if (operand->kind != X86_REGISTER || operand->number != number ||
				    operand->width != 64)
					continue;
				*ret_used = true;
				try(compare_examine(builder, &instruction, side, raw, operation));
			}
		}
		if (instruction.kind == X86_CALL || instruction.kind == X86_CALL_INDIRECT)
			writes |= X86_CALL_CLOBBERS;
		if (instruction.kind == X86_RETURN || instruction.kind == X86_STOP ||
		    instruction.kind == X86_JUMP_INDIRECT || (writes >> number & 1))
			return NULL;
		if (instruction.kind == X86_BRANCH)
			reach_push(reach, instruction.target);
		address = instruction.kind == X86_JUMP ? instruction.target
						       : address + instruction.length;
	}
	return NULL;
}

/* The implementation's address is put into a register at MENTION: where is it compared? */
static struct error *reach_examine(struct builder *builder, const struct x86_instruction *mention,
				   bool raw, enum site_operation operation)
{
	cleanup_free struct reach *reach = calloc(1, sizeof(*reach));
	uint8_t number = mention->operands[0].number;
	bool used = false;

	if (!reach)
		return error_create(ERROR_FAILED, "no memory to follow an address");
	reach_push(reach, mention->address + mention->length);
	while (reach->pending_count) {
		uint64_t address = reach->pending[--reach->pending_count];

		try(reach_path(builder, reach, address, number, raw, operation, &used));
	}
	if (reach->cut && !used)
		builder_warn(builder,
			     "%#llx: where this address of %s's goes was not followed to the end",
			     (unsigned long long)mention->address, operation_name(operation));
	return NULL;
}

static struct error *mention_examine(struct builder *builder, uint64_t address, uint64_t function,
				     bool raw, enum site_operation operation)
{
	struct x86_instruction instruction;

	if (!listing_decode(builder->listing, address, &instruction))
		return NULL;
	if (instruction.kind == X86_COMPARE) {
		if (instruction.operands[1].kind == X86_IMMEDIATE &&
		    (uint64_t)instruction.operands[1].constant == function)
			return compare_examine(builder, &instruction, 1, raw, operation);
		return NULL;
	}
	if ((instruction.kind != X86_LEA && instruction.kind != X86_MOVE) ||
	    instruction.operands[0].kind != X86_REGISTER ||
	    instruction.operands[0].number == X86_NONE)
		return NULL;
	if (instruction.kind == X86_MOVE && instruction.operands[1].kind != X86_IMMEDIATE)
		return NULL;
	return reach_examine(builder, &instruction, raw, operation);
}

static int guard_compare(const void *a, const void *b)
{
	const struct guard *left = a, *right = b;

	return left->jump < right->jump ? -1 : left->jump > right->jump;
}

/* Sorts; a guard that was come upon from two sides counts once. */
static void guards_settle(struct builder *builder)
{
	size_t kept = 0;

	if (!builder->guard_count)
		return;
	qsort(builder->guards, builder->guard_count, sizeof(*builder->guards), guard_compare);
	for (size_t i = 0; i < builder->guard_count; i++) {
		if (!kept || builder->guards[kept - 1].jump != builder->guards[i].jump)
			builder->guards[kept++] = builder->guards[i];
	}
	builder->guard_count = kept;
}

struct error *guards_find(struct builder *builder)
{
	for (unsigned raw = 0; raw < 2; raw++) {
		for (unsigned operation = 0; operation < 4; operation++) {
			uint64_t function = builder->tables.functions[raw][operation];
			const struct listing_mention *mentions;
			size_t count;

			mentions = listing_mentions_of(builder->listing, function, &count);
			for (size_t i = 0; i < count; i++)
				try(mention_examine(builder, mentions[i].address, function, raw,
						    operation));
		}
	}
	guards_settle(builder);
	for (size_t i = 0; i < builder->guard_count; i++) {
		const struct guard *guard = &builder->guards[i];

		builder->plan->audit.guards[guard->raw][guard->operation]++;
	}
	return NULL;
}

const struct guard *guard_at(const struct builder *builder, uint64_t jump)
{
	struct guard key = {.jump = jump};

	if (!builder->guard_count)
		return NULL;
	return bsearch(&key, builder->guards, builder->guard_count, sizeof(*builder->guards),
		       guard_compare);
}

struct error *guards_sites(struct builder *builder)
{
	for (size_t i = 0; i < builder->guard_count; i++) {
		const struct guard *guard = &builder->guards[i];
		struct site site = {.address = guard->jump,
				    .kind = SITE_GUARD,
				    .operation = guard->operation,
				    .a = {guard->a[0], guard->a[1]}};

		if (!guard->raw)
			try(builder_site(builder, &site));
	}
	return NULL;
}
