// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe/reuse.h"

#include <stdlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "probe/builder.h"
#include "probe/paths.h"

/* Since 3.8 does _Py_NewReference() tell tracemalloc. */
#define VERSION_FIRST 0x03080000
/* Offset of tracing in struct _PyTraceMalloc_Config (Include/internal/pycore_pymem.h), 3.8 on. */
#define CONFIG_TRACING 4
/* Instructions from a function's beginning, or from a load of the word, to the test. */
#define TEST_MAX 24
/* Instructions, in front of a test and behind it, among which the object's count is set to one. */
#define COUNT_BEFORE 10
#define COUNT_BEHIND 20
/* Instructions in front of a head's load among which its base may be copied. */
#define COPIES_BEFORE 4
/* Tests, and calls of _Py_NewReference(), to look at. CPython has some 1500. */
#define ROOTS_MAX 16384
/* The ways to a test, backwards: instructions in all, and of one way. */
#define TRAIL_MAX   256
#define TRAIL_DEPTH 48

/* Instructions that lead to the last one, the root; each once, with the step that follows it. */
struct trail {
	struct step {
		struct x86_instruction instruction;
		uint16_t next, depth;
		bool alone; /* it is reached from one place only */
	} steps[TRAIL_MAX];
	unsigned count;
};

/* How an object is taken: what the registers hold on the way from a list's head to the root. */
struct taking {
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

static bool is_absolute(const struct x86_operand *operand, uint64_t address)
{
	return operand->kind == X86_MEMORY && operand->base == X86_NONE &&
	       operand->index == X86_NONE && !operand->segment && address &&
	       (uint64_t)operand->constant == address;
}

static bool in_set(uint16_t set, const struct x86_operand *operand)
{
	return operand->kind == X86_REGISTER && operand->number != X86_NONE &&
	       (set >> operand->number & 1);
}

static bool is_immediate(const struct x86_operand *operand, int64_t constant)
{
	return operand->kind == X86_IMMEDIATE && operand->constant == constant;
}

static bool is_call(const struct x86_instruction *instruction)
{
	return instruction->kind == X86_CALL || instruction->kind == X86_CALL_INDIRECT;
}

/* Whether OPERAND is memory at one of the registers BASES plus DISPLACEMENT. */
static bool is_behind(const struct x86_operand *operand, uint16_t bases, int64_t displacement)
{
	return operand->kind == X86_MEMORY && operand->base != X86_NONE &&
	       (bases >> operand->base & 1) && operand->index == X86_NONE && !operand->segment &&
	       operand->constant == displacement;
}

/* A walk from where the word is loaded, or its owner, to the conditional jump that tests it. */
struct test {
	const struct reuse_word *word;
	uint16_t loaded, owners; /* registers that hold the word, its owner's content */
	bool tests;              /* the flags say whether it is zero */
};

static bool test_is_word(const struct test *test, const struct x86_operand *operand)
{
	return is_absolute(operand, test->word->address) ||
	       is_behind(operand, test->owners, test->word->distance);
}

static void test_step(struct test *test, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0], *from = &instruction->operands[1];
	bool word = false, owner = false;

	if (instruction->kind == X86_TEST)
		test->tests = in_set(test->loaded, to) && in_set(test->loaded, from);
	else if (instruction->kind == X86_COMPARE)
		test->tests = test_is_word(test, to) && is_immediate(from, 0);
	else if (instruction->writes_flags)
		test->tests = false;
	if (instruction->kind == X86_MOVE && to->kind == X86_REGISTER && to->number != X86_NONE) {
		word = test_is_word(test, from) || in_set(test->loaded, from);
		owner = is_absolute(from, test->word->owner) || in_set(test->owners, from);
	}
	test->loaded &= ~instruction->writes;
	test->owners &= ~instruction->writes;
	if (word)
		test->loaded |= 1u << to->number;
	if (owner)
		test->owners |= 1u << to->number;
}

/* The conditional jump at the end of the straight line from ADDRESS on. */
static bool test_find(struct listing *listing, const struct reuse_word *word, uint64_t address,
		      uint16_t owners, struct x86_instruction *ret)
{
	struct test test = {.word = word, .owners = owners};

	for (unsigned i = 0; i < TEST_MAX && listing_decode(listing, address, ret); i++) {
		if (ret->kind == X86_BRANCH)
			return test.tests && (ret->tests_equal || ret->tests_unequal);
		if (is_call(ret) || (!path_flows(ret) && ret->kind != X86_JUMP))
			return false;
		test_step(&test, ret);
		address = ret->kind == X86_JUMP ? ret->target : address + ret->length;
	}
	return false;
}

/* Where OPERAND is read from, in terms of the words that REGISTERS were loaded from. */
static struct reuse_word word_at(const struct reuse_word *registers,
				 const struct x86_operand *operand)
{
	static const struct reuse_word none;

	if (operand->kind == X86_REGISTER && operand->number != X86_NONE)
		return registers[operand->number];
	if (operand->kind != X86_MEMORY || operand->index != X86_NONE || operand->segment)
		return none;
	if (operand->base == X86_NONE)
		return (struct reuse_word){.address = operand->constant};
	if (!registers[operand->base].address)
		return none;
	return (struct reuse_word){.owner = registers[operand->base].address,
				   .distance = operand->constant};
}

/* What _Py_NewReference() at ADDRESS tests first. */
static void word_read(const struct image *image, uint64_t address, struct reuse_word *ret)
{
	struct reuse_word registers[X86_REGISTERS] = {0}, found;
	struct x86_instruction instruction;

	for (unsigned i = 0; i < TEST_MAX; i++) {
		const struct x86_operand *to = &instruction.operands[0];
		const uint8_t *bytes = image_bytes(image, address, X86_LENGTH_MAX);

		if (!bytes || !x86_decode(bytes, X86_LENGTH_MAX, address, &instruction) ||
		    instruction.kind == X86_CALL ||
		    (!path_flows(&instruction) && instruction.kind != X86_JUMP))
			return;
		address = instruction.kind == X86_JUMP ? instruction.target
						       : address + instruction.length;
		if (instruction.kind == X86_TEST || (instruction.kind == X86_COMPARE &&
						     is_immediate(&instruction.operands[1], 0))) {
			*ret = word_at(registers, to);
			return;
		}
		found = word_at(registers, &instruction.operands[1]);
		for (unsigned j = 0; j < X86_REGISTERS; j++) {
			if (instruction.writes >> j & 1)
				registers[j] = (struct reuse_word){0};
		}
		if (instruction.kind == X86_MOVE && to->kind == X86_REGISTER &&
		    to->number != X86_NONE)
			registers[to->number] = found;
	}
}

/* The word itself, if it is known what the loader makes of its owner. */
static void word_resolve(const struct image *image, struct reuse_word *word)
{
	const struct image_relocation *relocation = image_relocation_from(image, word->owner);
	const struct image_symbol *symbol;

	if (!word->owner || !relocation || relocation->address != word->owner)
		return;
	symbol = image_symbol(image, relocation->symbol);
	if (symbol)
		word->address = symbol->address + relocation->addend + word->distance;
}

void reuse_word_find(struct builder *builder)
{
	const struct image *image = builder->image;
	const struct image_symbol *function = image_symbol(image, "_Py_NewReference");
	const struct image_symbol *config = image_symbol(image, "_Py_tracemalloc_config");
	struct imports owners = {.count = 0};

	if (builder->version < VERSION_FIRST)
		return;
	if (function)
		word_read(image, function->address, &builder->reuse);
	word_resolve(image, &builder->reuse);
	if (function || !config)
		return;
	imports_add(&owners, image, "_Py_tracemalloc_config", 0);
	builder->reuse.address = config->address + CONFIG_TRACING;
	builder->reuse.owner = owners.count ? owners.slots[0].slot : 0;
	builder->reuse.distance = CONFIG_TRACING;
}

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

static void trail_make(struct listing *listing, const struct x86_instruction *root,
		       struct trail *trail)
{
	trail->count = 0;
	trail_add(trail, root, 0);
	for (unsigned i = 0; i < trail->count && trail->steps[i].depth < TRAIL_DEPTH; i++)
		trail_extend(listing, trail, i);
}

/* Whether OPERAND is memory that is reached as the head is: absolute, or from the same base. */
static bool is_based(const struct taking *taking, const struct x86_operand *operand)
{
	if (operand->segment)
		return false;
	if (operand->base == X86_NONE || taking->head.base == X86_NONE)
		return operand->base == taking->head.base;
	return taking->bases >> operand->base & 1;
}

/* The same memory, as far as its registers are what they were. */
static bool is_head(const struct taking *taking, const struct x86_operand *operand)
{
	const struct x86_operand *head = &taking->head;

	return operand->kind == X86_MEMORY && operand->width == head->width &&
	       is_based(taking, operand) && operand->index == head->index && taking->indexed &&
	       operand->shift == head->shift && operand->constant == head->constant;
}

/* Less one: by sub, dec, add or lea. */
static bool is_decrement(const struct x86_instruction *instruction)
{
	const struct x86_operand *from = &instruction->operands[1];

	return (instruction->kind == X86_SUB && is_immediate(from, 1)) ||
	       (instruction->kind == X86_ADD && is_immediate(from, -1));
}

static void taking_flags(struct taking *taking, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0], *from = &instruction->operands[1];
	uint16_t tested = taking->counted ? taking->count : taking->object;

	if (instruction->kind == X86_TEST)
		taking->tests = in_set(tested, to) && in_set(tested, from);
	else if (instruction->kind == X86_COMPARE)
		taking->tests = (in_set(tested, to) || is_head(taking, to)) &&
				is_immediate(from, 0);
	else if (instruction->writes_flags || is_call(instruction))
		taking->tests = false;
}

static void taking_store(struct taking *taking, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0], *from = &instruction->operands[1];

	if (instruction->kind == X86_MOVE && to->width == 64 && is_immediate(from, 1) &&
	    is_behind(to, taking->object, 0))
		taking->referenced = true;
	if (is_head(taking, to)) {
		bool zero = in_set(taking->zero, from) || is_immediate(from, 0);

		if (instruction->kind == X86_MOVE && in_set(taking->link, from))
			taking->stored = true;
		else if (instruction->kind == X86_MOVE && zero && !taking->counted)
			taking->stored = taking->cleared = true;
		else if (is_decrement(instruction) && taking->counted)
			taking->stored = true;
		else
			taking->refused = true;
	} else if (is_based(taking, to) &&
		   (is_decrement(instruction) ||
		    (instruction->kind == X86_MOVE && in_set(taking->lowered, from)))) {
		taking->decremented = true;
	}
}

/* The sets that the register TO belongs to after the instruction. */
struct belongs {
	bool base, object, count, link, lowered, zero;
};

static struct belongs belongs_find(struct taking *taking, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0], *from = &instruction->operands[1];
	bool wide = to->width == 64;
	struct belongs is = {0};

	switch (instruction->kind) {
	case X86_MOVE:
	case X86_EXTEND:
		is.base = wide && in_set(taking->bases, from);
		is.object = wide && in_set(taking->object, from);
		is.count = in_set(taking->count, from);
		is.link = in_set(taking->link, from);
		is.lowered = in_set(taking->lowered, from);
		is.zero = in_set(taking->zero, from) || is_immediate(from, 0);
		if (from->kind != X86_MEMORY || !wide || instruction->kind != X86_MOVE)
			break;
		if (taking->counted && from->index != X86_NONE && from->shift == 3 &&
		    !taking->object && ((taking->count | taking->link) >> from->index & 1))
			is.object = true;
		if (!taking->counted && from->base != X86_NONE && from->index == X86_NONE &&
		    (taking->object >> from->base & 1)) {
			taking->early |= !taking->checked;
			is.link = true;
		}
		break;
	case X86_LEA:
		is.link = taking->counted && is_behind(from, taking->count, -1);
		break;
	case X86_ADD:
	case X86_SUB:
		is.link = is_decrement(instruction) && in_set(taking->count, to);
		is.lowered = is_decrement(instruction);
		break;
	case X86_XOR:
		is.zero = in_set(0xffff, to) && from->kind == X86_REGISTER &&
			  from->number == to->number;
		break;
	default:
		break;
	}
	return is;
}

static void taking_forget(struct taking *taking, uint16_t written)
{
	if (taking->head.index != X86_NONE && (written >> taking->head.index & 1))
		taking->indexed = false;
	taking->bases &= ~written;
	taking->object &= ~written;
	taking->count &= ~written;
	taking->link &= ~written;
	taking->lowered &= ~written;
	taking->zero &= ~written;
}

static void taking_step(struct taking *taking, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0];
	struct belongs is = belongs_find(taking, instruction);

	taking_flags(taking, instruction);
	if (instruction->writes_memory && to->kind == X86_MEMORY)
		taking_store(taking, instruction);
	taking_forget(taking, instruction->writes | (is_call(instruction) ? X86_CALL_CLOBBERS : 0));
	if (to->kind != X86_REGISTER || to->number == X86_NONE || is_call(instruction))
		return;
	taking->bases |= is.base << to->number;
	taking->object |= is.object << to->number;
	taking->count |= is.count << to->number;
	taking->link |= is.link << to->number;
	taking->lowered |= is.lowered << to->number;
	taking->zero |= is.zero << to->number;
}

static bool taking_done(const struct taking *taking)
{
	if (!taking->stored || !taking->object)
		return false;
	if (taking->counted || taking->cleared)
		return taking->checked;
	return (taking->checked && !taking->early) || taking->decremented;
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
		    is_call(&before))
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
static bool taking_begin(struct listing *listing, const struct trail *trail, unsigned index,
			 bool counted, struct taking *ret)
{
	const struct x86_instruction *load = &trail->steps[index].instruction;
	const struct x86_operand *to = &load->operands[0], *from = &load->operands[1];

	if ((load->kind != X86_MOVE && load->kind != X86_EXTEND) || from->kind != X86_MEMORY ||
	    to->kind != X86_REGISTER || to->number == X86_NONE || from->base == X86_RSP ||
	    from->segment || from->width < 32)
		return false;
	if (!counted && (from->width != 64 || load->kind != X86_MOVE))
		return false;
	*ret = (struct taking){.head = *from, .counted = counted};
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
		    to->base != X86_NONE && is_immediate(&instruction.operands[1], 1) &&
		    is_behind(to, objects, 0))
			return true;
		if (instruction.kind == X86_BRANCH || is_call(&instruction) ||
		    (!path_flows(&instruction) && instruction.kind != X86_JUMP))
			return false;
		objects &= ~instruction.writes;
		address = instruction.kind == X86_JUMP ? instruction.target
						       : address + instruction.length;
	}
	return false;
}

/* Whether the test at the trail's root is for a new reference: it also asks for objects that die. */
static bool is_new_reference(struct listing *listing, const struct trail *trail)
{
	const struct x86_instruction *root = &trail->steps[0].instruction;

	for (unsigned i = 1; i < trail->count && trail->steps[i].depth <= COUNT_BEFORE; i++) {
		const struct x86_instruction *instruction = &trail->steps[i].instruction;

		if (instruction->kind == X86_MOVE &&
		    is_behind(&instruction->operands[0], 0xffff, 0) &&
		    instruction->operands[0].width == 64 &&
		    is_immediate(&instruction->operands[1], 1))
			return true;
	}
	return count_set_behind(listing, root, 0xffff);
}

struct addresses { /* each once */
	uint64_t *list;
	size_t count, capacity;
	struct lookup lookup;
};

static bool address_equal(const void *context, uint32_t position, const void *key)
{
	const struct addresses *addresses = context;

	return addresses->list[position] == *(const uint64_t *)key;
}

/* RET_NEW: whether ADDRESS was not among them. */
static struct error *addresses_add(struct addresses *addresses, uint64_t address, bool *ret_new)
{
	uint64_t hash = lookup_hash_number(0, address);
	bool new = lookup_find(&addresses->lookup, hash, address_equal, addresses, &address) ==
		   LOOKUP_NONE;

	if (new) {
		try(array_reserve(&addresses->list, &addresses->capacity, addresses->count, 1,
				  sizeof(*addresses->list)));
		try(lookup_add(&addresses->lookup, hash, addresses->count));
		addresses->list[addresses->count++] = address;
	}
	*ret_new = new;
	return NULL;
}

static void addresses_deinit(struct addresses *addresses)
{
	free(addresses->list);
	lookup_deinit(&addresses->lookup);
}

struct search {
	struct builder *builder;
	struct trail trail;
	bool cut;                      /* more roots than are looked at */
	struct addresses roots, taken; /* taken: the instructions behind which an object is */
};

static void search_destroy(struct search **search)
{
	if (*search) {
		addresses_deinit(&(*search)->roots);
		addresses_deinit(&(*search)->taken);
	}
	free(*search);
}

/*
 * The step behind STEP: at the branch that tests it, where there is an object; else the shortest
 * way to the root. NULL: that does not lead there.
 */
static const struct step *taking_next(struct taking *taking, const struct trail *trail,
				      const struct step *step)
{
	const struct x86_instruction *branch = &step->instruction;
	uint64_t there = branch->tests_unequal ? branch->target : branch->address + branch->length;

	if (branch->kind != X86_BRANCH || !taking->tests)
		return &trail->steps[step->next];
	taking->checked = true;
	/* Of a count any comparison will do: one of less than 1, too. */
	if (!branch->tests_equal && !branch->tests_unequal)
		return taking->counted ? &trail->steps[step->next] : NULL;
	for (unsigned i = 0; i < trail->count; i++) {
		if (trail->steps[i].instruction.address == there)
			return &trail->steps[i];
	}
	return NULL;
}

/* The root tells of the object that was taken. */
static bool taking_arrives(struct listing *listing, const struct taking *taking,
			   const struct x86_instruction *root)
{
	if (root->kind != X86_BRANCH)
		return taking->object >> X86_RDI & 1;
	return taking->referenced || count_set_behind(listing, root, taking->object);
}

/*
 * Follows the trail from the step INDEX. True if an object is taken there and goes to the root.
 * RET_TAKEN: the instruction by which it was. RET_SITE: where it can be probed, address 0 for
 * nowhere.
 */
static bool taking_follow(struct search *search, unsigned index, bool counted, uint64_t *ret_taken,
			  struct site *ret_site)
{
	const struct trail *trail = &search->trail;
	const struct step *step = &trail->steps[index];
	struct site site = {.kind = SITE_REUSE, .a[0].has_base = true};
	struct taking taking;
	uint64_t taken = 0;
	bool alone = true;

	if (!taking_begin(search->builder->listing, trail, index, counted, &taking))
		return false;
	/*
	 * What stores the list's head takes an object, from wherever it is reached; only what
	 * follows must be reached from there alone.
	 */
	for (unsigned i = 0; step != trail->steps; i++) {
		step = taking_next(&taking, trail, step);
		if (!step || i == TRAIL_MAX)
			return false;
		if (taking_done(&taking)) {
			alone = alone && step->alone;
			if (!taken)
				taken = step->instruction.address;
			if (!site.address && alone && step->instruction.emulated &&
			    !builder_site_at(search->builder, step->instruction.address)) {
				site.address = step->instruction.address;
				site.a[0].base = __builtin_ctz(taking.object);
			}
		}
		if (step == trail->steps)
			break;
		taking_step(&taking, &step->instruction);
		if (taking.refused || (!taking.object && !taking.count && !taking.link))
			return false;
	}
	if (!taken || !taking_done(&taking) ||
	    !taking_arrives(search->builder->listing, &taking, &trail->steps[0].instruction))
		return false;
	*ret_taken = taken;
	*ret_site = site;
	return true;
}

/* Looks through all that leads to ROOT. */
static struct error *root_examine(struct search *search, const struct x86_instruction *root)
{
	struct builder *builder = search->builder;
	struct plan_audit *audit = &builder->plan->audit;
	bool new;

	if (search->roots.count == ROOTS_MAX) {
		if (!search->cut)
			builder_warn(builder,
				     "more than %u places may tell of new objects: the "
				     "others were not looked at",
				     ROOTS_MAX);
		search->cut = true;
		return NULL;
	}
	try(addresses_add(&search->roots, root->address, &new));
	if (!new)
		return NULL;
	trail_make(builder->listing, root, &search->trail);
	if (root->kind == X86_BRANCH && !is_new_reference(builder->listing, &search->trail))
		return NULL;
	audit->reuse_checks++;
	for (unsigned i = 1; i < search->trail.count; i++) {
		for (unsigned counted = 0; counted < 2; counted++) {
			struct site site;
			uint64_t taken;

			if (!taking_follow(search, i, counted, &taken, &site))
				continue;
			try(addresses_add(&search->taken, taken, &new));
			if (!new)
				continue;
			audit->reuse_taken++;
			if (site.address) {
				try(builder_site(builder, &site));
				audit->reuse_sites++;
				continue;
			}
			builder_warn(
				builder,
				"%#llx: an object from a free list that new ones join at once: "
				"its owner stays who had it before",
				(unsigned long long)taken);
		}
	}
	return NULL;
}

/* The test in the straight line behind MENTION; OWNERS: registers with the owner's content. */
static struct error *mention_examine(struct search *search, uint64_t mention, uint16_t owners)
{
	struct builder *builder = search->builder;
	struct x86_instruction root;

	if (!test_find(builder->listing, &builder->reuse, mention, owners, &root))
		return NULL;
	return root_examine(search, &root);
}

static struct error *mentions_examine(struct search *search, uint64_t named)
{
	const struct listing_mention *mentions;
	size_t count;

	if (!named)
		return NULL;
	mentions = listing_mentions_of(search->builder->listing, named, &count);
	for (size_t i = 0; i < count; i++)
		try(mention_examine(search, mentions[i].address, 0));
	return NULL;
}

/*
 * Loads at the word's distance from a register that may have got the owner's content long before.
 * That it did is not looked into: such a distance is rare, and much else is asked for besides.
 */
static struct error *displaced_examine(struct search *search)
{
	struct listing *listing = search->builder->listing;

	for (size_t i = 0; i < listing->displaced_count; i++) {
		struct x86_instruction load;

		if (listing_decode(listing, listing->displaced[i], &load) &&
		    load.kind == X86_MOVE &&
		    is_behind(&load.operands[1], 0xffff, search->builder->reuse.distance))
			try(mention_examine(search, load.address, 1u << load.operands[1].base));
	}
	return NULL;
}

/* The calls of, and jumps to, ADDRESS. */
static struct error *callers_examine(struct search *search, uint64_t address)
{
	struct listing *listing = search->builder->listing;
	const struct listing_edge *edges;
	struct x86_instruction root;
	size_t count;

	for (unsigned i = 0; i < 2; i++) {
		edges = i ? listing_jumps_to(listing, address, &count)
			  : listing_calls_to(listing, address, &count);
		for (size_t j = 0; j < count; j++) {
			if (listing_decode(listing, listing->start + edges[j].source, &root) &&
			    root.kind != X86_BRANCH)
				try(root_examine(search, &root));
		}
	}
	return NULL;
}

/* Those of the exported function NAME, also where it only jumps to the local one of that name. */
static struct error *function_examine(struct search *search, const char *name)
{
	const struct image *image = search->builder->image;
	const struct image_symbol *symbol = image_symbol(image, name);
	struct x86_instruction first;
	uint64_t plt = image_plt(image, name);

	if (plt)
		try(callers_examine(search, plt));
	if (!symbol)
		return NULL;
	try(callers_examine(search, symbol->address));
	if (listing_decode(search->builder->listing, symbol->address, &first) &&
	    first.kind == X86_JUMP)
		return callers_examine(search, first.target);
	return NULL;
}

struct error *reuse_sites(struct builder *builder)
{
	cleanup(search_destroy) struct search *search = calloc(1, sizeof(*search));

	if (builder->version < VERSION_FIRST)
		return NULL;
	if (!search)
		return error_create(ERROR_FAILED, "no memory to look for free lists");
	search->builder = builder;
	try(mentions_examine(search, builder->reuse.address));
	try(mentions_examine(search, builder->reuse.owner));
	if (reuse_word_displaced(&builder->reuse))
		try(displaced_examine(search));
	try(function_examine(search, "_Py_NewReference"));
	try(function_examine(search, "_Py_NewReferenceNoTotal"));
	if (!builder->plan->audit.reuse_taken)
		builder_warn(builder, "where objects come back from free lists was not found: "
				      "their owner stays who had them before");
	return NULL;
}
