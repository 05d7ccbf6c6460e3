// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Follows the ways to a root, and keeps on the way what is known of a list's head, of the object
 * that it led to, and of what is stored as the new head.
 */
#include "probe/find/freelist_pop.h"

#include "probe/code/operands.h"
#include "probe/code/paths.h"
#include "probe/find/builder.h"

/* Instructions, in front of a test and behind it, among which the object's count is set to one. */
#define COUNT_BEFORE 10
#define COUNT_BEHIND 20
/* Instructions in front of a head's load among which its base may be copied. */
#define COPIES_BEFORE 4
/* Instructions of one way to the root. */
#define TRAIL_DEPTH 48

/*
 * What is known on the way from the load of a list's head to the root. Sets of registers have a bit
 * for each.
 */
struct pop {
	struct x86_operand head; /* the list's first object, or the count of an array */
	bool counted;
	uint16_t bases;   /* those that hold what the head's base register held */
	bool indexed;     /* its index register is as it was; without one: true */
	uint16_t object;  /* those that hold the object */
	uint16_t count;   /* the array's count as it was */
	uint16_t link;    /* what becomes the head: the object's successor, the count less one */
	uint16_t lowered; /* other registers less one: a list's count, maybe */
	uint16_t zero;
	bool tests;       /* the flags say whether there is an object */
	bool checked;     /* there is one */
	bool early;       /* its successor was loaded before that was known */
	bool decremented; /* a word that is reached as the head is */
	bool stored;      /* the head is what it becomes */
	bool cleared;     /* ... and that is NULL: the list had room for one */
	bool referenced;  /* its reference count was set to 1 */
	bool refused;
};

static void trail_add(struct trail *trail, const struct x86_instruction *instruction, unsigned next)
{
	for (unsigned i = 0; i < trail->count; i++) {
		if (trail->steps[i].instruction.address == instruction->address)
			return;
	}
	if (trail->count == TRAIL_MAX)
		return;
	trail->steps[trail->count] = (struct step){
		.instruction = *instruction,
		.next = next,
		.depth = trail->count ? trail->steps[next].depth + 1 : 0,
	};
	trail->count++;
}

/* What leads to the step INDEX. A call is as good as any instruction: it returns. */
static void trail_extend(struct listing *listing, struct trail *trail, unsigned index)
{
	uint64_t address = trail->steps[index].instruction.address;
	struct x86_instruction before;
	const struct listing_edge *jumps;
	size_t count, calls;
	bool flows;

	jumps = listing_jumps_to(listing, address, &count);
	listing_calls_to(listing, address, &calls);
	flows = path_flows_into(listing, address, &before);
	trail->steps[index].alone = !calls && count + flows == 1;
	if (flows)
		trail_add(trail, &before, index);
	for (size_t i = 0; i < count; i++) {
		if (listing_decode(listing, listing->start + jumps[i].source, &before))
			trail_add(trail, &before, index);
	}
}

void trail_make(struct listing *listing, const struct x86_instruction *root, struct trail *trail)
{
	trail->count = 0;
	trail_add(trail, root, 0);
	for (unsigned i = 0; i < trail->count && trail->steps[i].depth < TRAIL_DEPTH; i++)
		trail_extend(listing, trail, i);
}

/* Whether OPERAND is memory that is reached as the head is: absolute, or from the same base. */
static bool is_based(const struct pop *pop, const struct x86_operand *operand)
{
	if (operand->segment)
		return false;
	if (operand->base == X86_NONE || pop->head.base == X86_NONE)
		return operand->base == pop->head.base;
	return pop->bases >> operand->base & 1;
}

/* The same memory, as far as its registers are what they were. */
static bool is_head(const struct pop *pop, const struct x86_operand *operand)
{
	const struct x86_operand *head = &pop->head;

	return operand->kind == X86_MEMORY && operand->width == head->width &&
	       is_based(pop, operand) && operand->index == head->index && pop->indexed &&
	       operand->shift == head->shift && operand->constant == head->constant;
}

/* Less one: by sub, dec, add or lea. */
static bool is_decrement(const struct x86_instruction *instruction)
{
	const struct x86_operand *from = &instruction->operands[1];

	return (instruction->kind == X86_SUB && operand_is_immediate(from, 1)) ||
	       (instruction->kind == X86_ADD && operand_is_immediate(from, -1));
}

static void pop_flags(struct pop *pop, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0], *from = &instruction->operands[1];
	uint16_t tested = pop->counted ? pop->count : pop->object;

	if (instruction->kind == X86_TEST)
		pop->tests = operand_in(tested, to) && operand_in(tested, from);
	else if (instruction->kind == X86_COMPARE)
		pop->tests = (operand_in(tested, to) || is_head(pop, to)) &&
			     operand_is_immediate(from, 0);
	else if (instruction->writes_flags || instruction_is_call(instruction))
		pop->tests = false;
}

static void pop_store(struct pop *pop, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0], *from = &instruction->operands[1];

	if (instruction->kind == X86_MOVE && to->width == 64 && operand_is_immediate(from, 1) &&
	    operand_is_behind(to, pop->object, 0))
		pop->referenced = true;
	if (is_head(pop, to)) {
		bool zero = operand_in(pop->zero, from) || operand_is_immediate(from, 0);

		if (instruction->kind == X86_MOVE && operand_in(pop->link, from))
			pop->stored = true;
		else if (instruction->kind == X86_MOVE && zero && !pop->counted)
			pop->stored = pop->cleared = true;
		else if (is_decrement(instruction) && pop->counted)
			pop->stored = true;
		else
			pop->refused = true;
	} else if (is_based(pop, to) &&
		   (is_decrement(instruction) ||
		    (instruction->kind == X86_MOVE && operand_in(pop->lowered, from)))) {
		pop->decremented = true;
	}
}

/* The sets that the register TO belongs to after the instruction. */
struct belongs {
	bool base, object, count, link, lowered, zero;
};

static struct belongs belongs_find(struct pop *pop, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0], *from = &instruction->operands[1];
	bool wide = to->width == 64;
	struct belongs is = {0};

	switch (instruction->kind) {
	case X86_MOVE:
	case X86_EXTEND:
		is.base = wide && operand_in(pop->bases, from);
		is.object = wide && operand_in(pop->object, from);
		is.count = operand_in(pop->count, from);
		is.link = operand_in(pop->link, from);
		is.lowered = operand_in(pop->lowered, from);
		is.zero = operand_in(pop->zero, from) || operand_is_immediate(from, 0);
		if (from->kind != X86_MEMORY || !wide || instruction->kind != X86_MOVE)
			break;
		if (pop->counted && from->index != X86_NONE && from->shift == 3 && !pop->object &&
		    ((pop->count | pop->link) >> from->index & 1))
			is.object = true;
		if (!pop->counted && from->base != X86_NONE && from->index == X86_NONE &&
		    (pop->object >> from->base & 1)) {
			pop->early |= !pop->checked;
			is.link = true;
		}
		break;
	case X86_LEA:
		is.link = pop->counted && operand_is_behind(from, pop->count, -1);
		break;
	case X86_ADD:
	case X86_SUB:
		is.link = is_decrement(instruction) && operand_in(pop->count, to);
		is.lowered = is_decrement(instruction);
		break;
	case X86_XOR:
		is.zero = operand_in(0xffff, to) && from->kind == X86_REGISTER &&
			  from->number == to->number;
		break;
	default:
		break;
	}
	return is;
}

static void pop_forget(struct pop *pop, uint16_t written)
{
	if (pop->head.index != X86_NONE && (written >> pop->head.index & 1))
		pop->indexed = false;
	pop->bases &= ~written;
	pop->object &= ~written;
	pop->count &= ~written;
	pop->link &= ~written;
	pop->lowered &= ~written;
	pop->zero &= ~written;
}

static void pop_step(struct pop *pop, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0];
	struct belongs is = belongs_find(pop, instruction);

	pop_flags(pop, instruction);
	if (instruction->writes_memory && to->kind == X86_MEMORY)
		pop_store(pop, instruction);
	pop_forget(pop, instruction->writes |
				(instruction_is_call(instruction) ? X86_CALL_CLOBBERS : 0));
	if (to->kind != X86_REGISTER || to->number == X86_NONE || instruction_is_call(instruction))
		return;
	pop->bases |= is.base << to->number;
	pop->object |= is.object << to->number;
	pop->count |= is.count << to->number;
	pop->link |= is.link << to->number;
	pop->lowered |= is.lowered << to->number;
	pop->zero |= is.zero << to->number;
}

static bool pop_done(const struct pop *pop)
{
	if (!pop->stored || !pop->object)
		return false;
	if (pop->counted || pop->cleared)
		return pop->checked;
	return (pop->checked && !pop->early) || pop->decremented;
}

/* The registers that hold what register NUMBER does before ADDRESS, by copies right before that. */
static uint16_t copies_find(struct listing *listing, uint64_t address, uint8_t number)
{
	uint16_t written = 0, copies = 1u << number;
	struct x86_instruction before;
	size_t jumps, calls;

	for (unsigned i = 0; i < COPIES_BEFORE; i++) {
		const struct x86_operand *to = &before.operands[0], *from = &before.operands[1];

		listing_jumps_to(listing, address, &jumps);
		listing_calls_to(listing, address, &calls);
		if (jumps || calls || !path_flows_into(listing, address, &before) ||
		    instruction_is_call(&before))
			break;
		if (before.kind == X86_MOVE && to->kind == X86_REGISTER && to->width == 64 &&
		    to->number != X86_NONE && from->kind == X86_REGISTER &&
		    from->number == number && !(written >> to->number & 1))
			copies |= 1u << to->number;
		written |= before.writes;
		if (written >> number & 1)
			break;
		address = before.address;
	}
	return copies;
}

/* Begins where a head may be loaded: at the step INDEX. */
static bool pop_begin(struct listing *listing, const struct trail *trail, unsigned index,
		      bool counted, struct pop *ret)
{
	const struct x86_instruction *load = &trail->steps[index].instruction;
	const struct x86_operand *to = &load->operands[0], *from = &load->operands[1];

	if ((load->kind != X86_MOVE && load->kind != X86_EXTEND) || from->kind != X86_MEMORY ||
	    to->kind != X86_REGISTER || to->number == X86_NONE || from->base == X86_RSP ||
	    from->segment || from->width < 32)
		return false;
	if (!counted && (from->width != 64 || load->kind != X86_MOVE))
		return false;
	*ret = (struct pop){.head = *from, .counted = counted};
	ret->indexed = from->index == X86_NONE || from->index != to->number;
	if (from->base != X86_NONE)
		ret->bases = copies_find(listing, load->address, from->base) & ~(1u << to->number);
	*(counted ? &ret->count : &ret->object) = 1u << to->number;
	return true;
}

/* Behind ROOT, where the word is zero: is there a reference count that is set to 1? */
static bool count_set_behind(struct listing *listing, const struct x86_instruction *root,
			     uint16_t objects)
{
	uint64_t address = root->tests_equal ? root->target : root->address + root->length;
	struct x86_instruction instruction;

	for (unsigned i = 0; i < COUNT_BEHIND && listing_decode(listing, address, &instruction);
	     i++) {
		const struct x86_operand *to = &instruction.operands[0];

		if (instruction.kind == X86_MOVE && to->kind == X86_MEMORY && to->width == 64 &&
		    to->base != X86_NONE && operand_is_immediate(&instruction.operands[1], 1) &&
		    operand_is_behind(to, objects, 0))
			return true;
		if (instruction.kind == X86_BRANCH || instruction_is_call(&instruction) ||
		    (!path_flows(&instruction) && instruction.kind != X86_JUMP))
			return false;
		objects &= ~instruction.writes;
		address = instruction.kind == X86_JUMP ? instruction.target
						       : address + instruction.length;
	}
	return false;
}

bool trail_tells_new(struct listing *listing, const struct trail *trail)
{
	const struct x86_instruction *root = &trail->steps[0].instruction;

	for (unsigned i = 1; i < trail->count && trail->steps[i].depth <= COUNT_BEFORE; i++) {
		const struct x86_instruction *instruction = &trail->steps[i].instruction;

		if (instruction->kind == X86_MOVE &&
		    operand_is_behind(&instruction->operands[0], 0xffff, 0) &&
		    instruction->operands[0].width == 64 &&
		    operand_is_immediate(&instruction->operands[1], 1))
			return true;
	}
	return count_set_behind(listing, root, 0xffff);
}

/*
 * The step behind STEP: at the branch that tests it, where there is an object; else the shortest
 * way to the root. NULL: that does not lead there.
 */
static const struct step *pop_next(struct pop *pop, const struct trail *trail,
				   const struct step *step)
{
	const struct x86_instruction *branch = &step->instruction;
	uint64_t there = branch->tests_unequal ? branch->target : branch->address + branch->length;

	if (branch->kind != X86_BRANCH || !pop->tests)
		return &trail->steps[step->next];
	pop->checked = true;
	/* For a count any comparison will do, also whether it is less than 1. */
	if (!branch->tests_equal && !branch->tests_unequal)
		return pop->counted ? &trail->steps[step->next] : NULL;
	for (unsigned i = 0; i < trail->count; i++) {
		if (trail->steps[i].instruction.address == there)
			return &trail->steps[i];
	}
	return NULL;
}

/* The root tells of the object that was taken. */
static bool pop_arrives(struct listing *listing, const struct pop *pop,
			const struct x86_instruction *root)
{
	if (root->kind != X86_BRANCH)
		return pop->object >> X86_RDI & 1;
	return pop->referenced || count_set_behind(listing, root, pop->object);
}

bool freelist_pop_follow(struct builder *builder, const struct trail *trail, unsigned index,
			 bool counted, uint64_t *ret_taken, struct site *ret_site)
{
	const struct step *step = &trail->steps[index];
	struct site site = {.kind = SITE_FREELIST_POP, .a[0].has_base = true};
	struct pop pop;
	uint64_t taken = 0;
	bool alone = true;

	if (!pop_begin(builder->listing, trail, index, counted, &pop))
		return false;
	/*
	 * What stores the list's head takes an object, from wherever it is reached. Only what
	 * follows must be reached from there alone.
	 */
	for (unsigned i = 0; step != trail->steps; i++) {
		step = pop_next(&pop, trail, step);
		if (!step || i == TRAIL_MAX)
			return false;
		if (pop_done(&pop)) {
			alone = alone && step->alone;
			if (!taken)
				taken = step->instruction.address;
			if (!site.address && alone && step->instruction.emulated &&
			    !builder_site_at(builder, step->instruction.address)) {
				site.address = step->instruction.address;
				site.a[0].base = __builtin_ctz(pop.object);
			}
		}
		if (step == trail->steps)
			break;
		pop_step(&pop, &step->instruction);
		if (pop.refused || (!pop.object && !pop.count && !pop.link))
			return false;
	}
	if (!taken || !pop_done(&pop) ||
	    !pop_arrives(builder->listing, &pop, &trail->steps[0].instruction))
		return false;
	*ret_taken = taken;
	*ret_site = site;
	return true;
}
