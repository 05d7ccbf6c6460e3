// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Finds allocate_from_new_pool() (Objects/obmalloc.c, 3.8 on; part of pymalloc_alloc() before),
 * which pymalloc calls when a size class has no pool left. Every inlined copy of pymalloc's malloc
 * calls it, so there must be a probe before each of its callers. That audits the guards.
 */
#include "probe/find/refill.h"

#include <elf.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "probe/code/paths.h"
#include "probe/code/symbolic.h"
#include "probe/find/builder.h"
#include "probe/find/guards.h"

#define POOL_CLASSES 32 /* size classes of 16 bytes: fewer than any version has */
/* Instructions of pymalloc's malloc, with all its paths; of the refill function's beginning. */
#define BODY_MAX     400
#define BEGINNING    40
#define BACKWARD_MAX 400
/* Copies of implementations that are called from guards. */
#define CLONE_CALLERS_MAX 200
#define CLONE_DEPTH_MAX   2
/*
 * struct arena_object.freepools; offset of mgmt.usable_arenas in struct _obmalloc_state, 3.12 on.
 */
#define ARENA_FREEPOOLS     24
#define STATE_USABLE_ARENAS 536

/*
 * usedpools, up to 3.11 a static array: each pair of its words points to what would be the pool
 * header that has them as nextpool and prevpool, 16 bytes before.
 */
static bool is_usedpools(const struct image *image, uint64_t address)
{
	for (unsigned i = 0; i < 2 * POOL_CLASSES; i++) {
		uint64_t word;

		if (!tables_word(image, address + 8 * i, &word) ||
		    word != address + i / 2 * 16 - 16)
			return false;
	}
	return true;
}

static void usedpools_find(struct builder *builder)
{
	const struct image *image = builder->image;
	uint64_t found = 0;

	for (size_t i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];
		uint64_t address = (section->address + 7) & ~7ULL;

		if (section->type != SHT_PROGBITS || !(section->flags & SHF_WRITE) ||
		    !section->data)
			continue;
		for (; address + 16 <= section->address + section->size; address += 8) {
			uint64_t word;

			memcpy(&word, section->data + (address - section->address), sizeof(word));
			/* Position-independent images may hold 0 there, and a relocation says. */
			if ((word && word != address - 16) || !is_usedpools(image, address))
				continue;
			if (found) {
				builder_warn(builder, "usedpools: %#llx and %#llx look alike",
					     (unsigned long long)found,
					     (unsigned long long)address);
				return;
			}
			found = address;
			address += 16 * POOL_CLASSES - 8;
		}
	}
	builder->plan->usedpools = found;
}

/* Whether register NUMBER, not NULL, is used as an arena_object * from ADDRESS on. */
static bool is_arena(struct listing *listing, uint64_t address, uint8_t number)
{
	for (unsigned i = 0; i < 24; i++) {
		struct x86_instruction instruction;

		if (!listing_decode(listing, address, &instruction))
			return false;
		for (unsigned j = 0; j < 2; j++) {
			const struct x86_operand *operand = &instruction.operands[j];

			if (operand->kind == X86_MEMORY && operand->base == number &&
			    operand->index == X86_NONE && operand->constant == ARENA_FREEPOOLS &&
			    operand->width == 64)
				return true;
		}
		if ((instruction.writes >> number & 1) ||
		    (!path_flows(&instruction) && instruction.kind != X86_JUMP) ||
		    instruction.kind == X86_CALL || instruction.kind == X86_CALL_INDIRECT)
			return false;
		address = instruction.kind == X86_JUMP ? instruction.target
						       : address + instruction.length;
	}
	return false;
}

/* Behind LOAD, which loaded register NUMBER: is that tested for NULL and then used as an arena? */
static bool loads_usable_arenas(struct listing *listing, const struct x86_instruction *load)
{
	uint64_t address = load->address + load->length;
	uint8_t number = load->operands[0].number;
	bool tested = false;

	for (unsigned i = 0; i < 8; i++) {
		struct x86_instruction instruction;

		if (!listing_decode(listing, address, &instruction))
			return false;
		if (instruction.kind == X86_BRANCH && tested &&
		    (instruction.tests_equal || instruction.tests_unequal))
			return is_arena(listing,
					instruction.tests_unequal ? instruction.target
								  : address + instruction.length,
					number);
		if (instruction.kind == X86_TEST && instruction.operands[0].kind == X86_REGISTER &&
		    instruction.operands[0].number == number &&
		    instruction.operands[1].number == number)
			tested = true;
		else if (instruction.writes_flags)
			tested = false;
		if ((instruction.writes >> number & 1) || !path_flows(&instruction) ||
		    instruction.kind == X86_CALL || instruction.kind == X86_BRANCH)
			return false;
		address += instruction.length;
	}
	return false;
}

static bool is_absolute(const struct x86_operand *operand)
{
	return operand->kind == X86_MEMORY && operand->base == X86_NONE &&
	       operand->index == X86_NONE && !operand->segment;
}

/* Whether FUNCTION begins by looking at usable_arenas; RET_ARENAS: its address, 0 from 3.12 on. */
static bool is_refill(struct listing *listing, uint64_t function, uint64_t *ret_arenas)
{
	uint64_t address = function;
	struct state state;

	state_init(&state);
	for (unsigned i = 0; i < BEGINNING; i++) {
		struct x86_instruction instruction;
		const struct x86_operand *from = &instruction.operands[1];

		if (!listing_decode(listing, address, &instruction))
			return false;
		if (instruction.kind == X86_MOVE && from->kind == X86_MEMORY &&
		    instruction.operands[0].kind == X86_REGISTER && from->width == 64) {
			bool of_state = from->base != X86_NONE &&
					value_is_register(&state.registers[from->base], X86_RDI) &&
					from->index == X86_NONE &&
					from->constant == STATE_USABLE_ARENAS;

			if ((of_state || is_absolute(from)) &&
			    loads_usable_arenas(listing, &instruction)) {
				*ret_arenas = of_state ? 0 : (uint64_t)from->constant;
				return true;
			}
		}
		if (instruction.kind == X86_BRANCH || instruction.kind == X86_CALL ||
		    instruction.kind == X86_CALL_INDIRECT || !path_flows(&instruction))
			return false;
		state_step(&state, &instruction);
		address += instruction.length;
	}
	return false;
}

struct body { /* the instructions of a function, each once */
	uint64_t pending[64], seen[BODY_MAX];
	unsigned pending_count, seen_count;
	uint64_t called[16]; /* functions that it calls in this image */
	unsigned called_count;
};

static bool body_next(struct body *body, uint64_t *ret)
{
	while (body->pending_count) {
		uint64_t address = body->pending[--body->pending_count];
		bool seen = false;

		for (unsigned i = 0; i < body->seen_count && !seen; i++)
			seen = body->seen[i] == address;
		if (seen || body->seen_count == BODY_MAX)
			continue;
		body->seen[body->seen_count++] = address;
		*ret = address;
		return true;
	}
	return false;
}

static void body_push(struct body *body, uint64_t address)
{
	if (body->pending_count < array_size(body->pending))
		body->pending[body->pending_count++] = address;
}

/* Looks through FUNCTION for the call of the refill function, or for the latter's inlined body. */
static bool refill_look(struct builder *builder, uint64_t function, struct body *body)
{
	struct listing *listing = builder->listing;
	struct plan *plan = builder->plan;
	uint64_t address;

	memset(body, 0, sizeof(*body));
	body_push(body, function);
	while (body_next(body, &address)) {
		struct x86_instruction instruction;
		uint64_t arenas;

		if (!listing_decode(listing, address, &instruction))
			continue;
		if (instruction.kind == X86_CALL && listing_contains(listing, instruction.target)) {
			if (is_refill(listing, instruction.target, &arenas)) {
				plan->refill = instruction.target;
				plan->usable_arenas = arenas;
				return true;
			}
			if (body->called_count < array_size(body->called))
				body->called[body->called_count++] = instruction.target;
		}
		if (!plan->usable_arenas && instruction.kind == X86_MOVE &&
		    instruction.operands[0].kind == X86_REGISTER &&
		    instruction.operands[1].width == 64 && is_absolute(&instruction.operands[1]) &&
		    loads_usable_arenas(listing, &instruction))
			plan->usable_arenas = instruction.operands[1].constant;
		if (instruction.kind == X86_BRANCH || instruction.kind == X86_JUMP)
			body_push(body, instruction.target);
		if (path_flows(&instruction))
			body_push(body, address + instruction.length);
	}
	return plan->usable_arenas != 0;
}

/* In pymalloc's malloc, or in what it calls: pymalloc_alloc() may be a function of its own. */
static void refill_find(struct builder *builder)
{
	struct body body, inner;

	if (refill_look(builder, builder->tables.functions[0][SITE_MALLOC], &body))
		return;
	for (unsigned i = 0; i < body.called_count; i++) {
		if (refill_look(builder, body.called[i], &inner))
			return;
	}
}

struct caller { /* of the refill function */
	struct builder *builder;
	bool in_realloc;
	unsigned depth;
};

static bool is_implementation(const struct builder *builder, uint64_t address)
{
	const uint64_t *functions = builder->tables.functions[0];

	return address == functions[SITE_MALLOC] || address == functions[SITE_CALLOC] ||
	       address == functions[SITE_REALLOC];
}

static enum path_verdict caller_judge(void *context, const struct x86_instruction *before,
				      uint64_t address);

/*
 * The paths come to the entry of a function: an implementation, or a copy of one that GCC made for
 * certain arguments (_PyObject_Calloc.constprop), which only guards' fast edges may call.
 */
static enum path_verdict entry_judge(struct caller *caller, uint64_t function)
{
	struct listing *listing = caller->builder->listing;
	const struct listing_edge *calls;
	size_t count;

	if (is_implementation(caller->builder, function))
		return PATH_ENDS;
	calls = listing_calls_to(listing, function, &count);
	if (!count || count > CLONE_CALLERS_MAX || caller->depth == CLONE_DEPTH_MAX)
		return PATH_FAILS;
	caller->depth++;
	for (size_t i = 0; i < count; i++) {
		if (!paths_backward(listing, listing->start + calls[i].source, BACKWARD_MAX,
				    caller_judge, caller))
			return PATH_FAILS;
	}
	caller->depth--;
	return PATH_ENDS;
}

static enum path_verdict caller_judge(void *context, const struct x86_instruction *before,
				      uint64_t address)
{
	struct caller *caller = context;
	const struct guard *guard;

	if (!before)
		return entry_judge(caller, address);
	if (before->kind == X86_CALL || before->kind == X86_CALL_INDIRECT)
		return PATH_FAILS;
	guard = before->kind == X86_BRANCH ? guard_at(caller->builder, before->address) : NULL;
	if (!guard || guard->raw)
		return PATH_ON;
	if (guard->operation == SITE_FREE || guard->fast != address)
		return PATH_FAILS;
	caller->in_realloc |= guard->operation == SITE_REALLOC;
	return PATH_ENDS;
}

/* Whether ADDRESS lies in an implementation itself, as far as it is one piece. */
static bool in_implementation(const struct builder *builder, uint64_t address)
{
	const struct listing_function *function = listing_function_at(builder->listing, address);

	return function && is_implementation(builder, function->start);
}

static void callers_audit(struct builder *builder)
{
	struct plan_audit *audit = &builder->plan->audit;
	struct listing *listing = builder->listing;
	const struct listing_edge *calls;
	size_t count;

	calls = listing_calls_to(listing, builder->plan->refill, &count);
	for (size_t i = 0; i < count; i++) {
		uint64_t address = listing->start + calls[i].source;
		struct caller caller = {.builder = builder};

		audit->refill_callers++;
		if (in_implementation(builder, address) ||
		    paths_backward(listing, address, BACKWARD_MAX, caller_judge, &caller)) {
			audit->refill_attributed++;
			audit->refill_in_realloc += caller.in_realloc;
			continue;
		}
		builder_warn(
			builder,
			"%#llx: allocates from a new pool, and no probed place leads there: an "
			"inlined malloc that was not recognised",
			(unsigned long long)address);
	}
}

/* The first emulated instruction: what the function was given does not matter. */
static struct error *refill_site(struct builder *builder)
{
	struct site site = {.kind = SITE_REFILL, .single_step = true};
	uint64_t address = builder->plan->refill;
	struct x86_instruction instruction;

	site.address = address;
	for (unsigned i = 0;
	     i < BEGINNING && listing_decode(builder->listing, address, &instruction); i++) {
		if (instruction.emulated) {
			site.address = address;
			site.single_step = false;
			break;
		}
		if (!path_flows(&instruction))
			break;
		address += instruction.length;
	}
	return builder_site(builder, &site);
}

struct error *refill_sites(struct builder *builder)
{
	usedpools_find(builder);
	refill_find(builder);
	if (!builder->plan->refill)
		return NULL;
	callers_audit(builder);
	return refill_site(builder);
}
