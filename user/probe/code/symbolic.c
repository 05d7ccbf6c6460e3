// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Steps through straight-line code, and keeps what each register and stack slot holds. */
#include "probe/code/symbolic.h"

#include <string.h>

static const struct value unknown;

static struct value value_register(uint8_t number)
{
	return (struct value){true, {.has_base = true, .base = number}};
}

static struct value value_constant(int64_t constant)
{
	return (struct value){true, {.displacement = constant}};
}

bool value_is_register(const struct value *value, uint8_t number)
{
	return value->known && value->is.has_base && !value->is.dereference && !value->is.shift &&
	       !value->is.displacement && value->is.base == number;
}

bool value_is_constant(const struct value *value, int64_t constant)
{
	return value->known && !value->is.has_base && !value->is.dereference &&
	       value->is.displacement == constant;
}

bool site_value_equal(const struct site_value *left, const struct site_value *right)
{
	return left->has_base == right->has_base && left->dereference == right->dereference &&
	       left->displacement == right->displacement &&
	       (!left->has_base || (left->base == right->base && left->shift == right->shift));
}

/* VALUE << SHIFT + DISPLACEMENT. */
static struct value value_scale(struct value value, unsigned shift, int64_t displacement)
{
	if (!value.known || (value.is.dereference && (shift || displacement)))
		return unknown;
	if (value.is.has_base && value.is.shift + shift > 3)
		return unknown;
	if (shift >= 64)
		return unknown;
	if (value.is.has_base)
		value.is.shift += shift;
	value.is.displacement =
		(int64_t)(((uint64_t)value.is.displacement << shift) + (uint64_t)displacement);
	return value;
}

static struct value value_add(struct value left, struct value right)
{
	if (!left.known || !right.known)
		return unknown;
	if (!right.is.has_base && !right.is.dereference)
		return value_scale(left, 0, right.is.displacement);
	if (!left.is.has_base && !left.is.dereference)
		return value_scale(right, 0, left.is.displacement);
	return unknown;
}

void state_init(struct state *state)
{
	memset(state, 0, sizeof(*state));
	for (uint8_t i = 0; i < X86_REGISTERS; i++)
		state->registers[i] = value_register(i);
}

static struct value memory_address(const struct state *state, const struct x86_operand *operand)
{
	struct value address = value_constant(operand->constant);

	if (operand->segment)
		return unknown;
	if (operand->base != X86_NONE)
		address = value_scale(state->registers[operand->base], 0, operand->constant);
	if (operand->index != X86_NONE)
		address = value_add(address, value_scale(state->registers[operand->index],
							 operand->shift, 0));
	return address;
}

/* Whether ADDRESS is a register's value or nothing, plus a distance. */
static bool is_place(const struct value *address, uint8_t *ret_base, int64_t *ret_slot)
{
	if (!address->known || address->is.dereference ||
	    (address->is.has_base && address->is.shift))
		return false;
	*ret_base = address->is.has_base ? address->is.base : X86_NONE;
	*ret_slot = address->is.displacement;
	return true;
}

static bool is_stack(const struct value *address, int64_t *ret_slot)
{
	uint8_t base;

	return is_place(address, &base, ret_slot) && base == X86_RSP;
}

/*
 * Whether a store at one base may have hit what is loaded from another. Spill slots are reached
 * through rsp, or through rbp in functions with a frame pointer, and no other way; what was pushed
 * since lies below all of them; static variables are not on the stack.
 */
static bool may_alias(uint8_t loaded, uint8_t stored, int64_t stored_slot)
{
	if (stored == X86_RSP && stored_slot < 0)
		return false;
	if (loaded == X86_NONE)
		return stored != X86_RSP && stored != X86_RBP;
	if (loaded == X86_RSP)
		return stored == X86_RBP;
	return true;
}

static struct value load(const struct state *state, const struct x86_operand *operand)
{
	struct value address = memory_address(state, operand);
	uint8_t base;
	int64_t slot;

	if (operand->width != 64 || !is_place(&address, &base, &slot))
		return unknown;
	for (unsigned i = 0; i < state->store_count; i++) {
		int64_t distance = slot - state->stores[i].slot;

		if (state->stores[i].base != base) {
			if (may_alias(base, state->stores[i].base, state->stores[i].slot))
				return unknown;
			continue;
		}
		if (distance == 0)
			return state->stores[i].value;
		if (distance > -8 && distance < 8)
			return unknown;
	}
	if (base == X86_RSP ? state->stack_forgotten : state->memory_written)
		return unknown;
	address.is.dereference = true;
	return address;
}

/* Memory was written at a place that is not known at all. */
static void forget(struct state *state)
{
	state->memory_written = state->stack_forgotten = true;
	for (unsigned i = 0; i < state->store_count; i++)
		state->stores[i].value = unknown;
}

/* A store of BYTES: one of other than eight spoils the eight-byte slots that it touches. */
static void store(struct state *state, uint8_t base, int64_t slot, unsigned bytes,
		  struct value value)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < state->store_count; i++) {
		if (state->stores[i].base == base && state->stores[i].slot < slot + bytes &&
		    slot < state->stores[i].slot + 8) {
			if (state->stores[i].slot == slot && bytes == 8)
				continue;
			state->stores[i].value = unknown;
		}
		state->stores[kept++] = state->stores[i];
	}
	state->store_count = kept;
	for (unsigned at = 0; at < bytes; at += 8) {
		if (state->store_count == STATE_STORES_MAX) {
			state->memory_written = state->stack_forgotten = true;
			return;
		}
		state->stores[state->store_count].base = base;
		state->stores[state->store_count].slot = slot + at;
		state->stores[state->store_count++].value = bytes == 8 ? value : unknown;
	}
}

static void store_operand(struct state *state, const struct x86_operand *operand,
			  struct value value)
{
	struct value address = memory_address(state, operand);
	unsigned bytes = operand->width / 8;
	uint8_t base;
	int64_t slot;

	if (is_place(&address, &base, &slot) && bytes && bytes <= 64)
		store(state, base, slot, bytes, bytes == 8 ? value : unknown);
	else if (operand->base == X86_RSP)
		forget(state);
	else
		state->memory_written = true;
}

struct value state_operand(const struct state *state, const struct x86_operand *operand)
{
	switch (operand->kind) {
	case X86_IMMEDIATE:
		return value_constant(operand->constant);
	case X86_REGISTER:
		if (operand->number == X86_NONE)
			return unknown;
		if (operand->width == 64)
			return state->registers[operand->number];
		if (operand->width == 32) { /* of a constant the low half is known */
			struct value whole = state->registers[operand->number];

			if (whole.known && !whole.is.has_base && !whole.is.dereference)
				return value_constant(whole.is.displacement & 0xffffffff);
		}
		return unknown;
	case X86_MEMORY:
		return load(state, operand);
	default:
		return unknown;
	}
}

/* What a write of VALUE to a register of WIDTH bits leaves in the whole of it. */
static struct value value_extend(struct value value, unsigned width)
{
	if (width == 64)
		return value;
	if (width == 32 && value.known && !value.is.has_base && !value.is.dereference)
		return value_constant(value.is.displacement & 0xffffffff);
	return unknown;
}

static struct value result(const struct state *state, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0], *from = &instruction->operands[1];
	struct value right = state_operand(state, from);

	switch (instruction->kind) {
	case X86_MOVE:
		return right;
	case X86_LEA:
		return memory_address(state, from);
	case X86_ADD:
		return value_add(state_operand(state, to), right);
	case X86_SUB:
		if (from->kind == X86_REGISTER && to->kind == X86_REGISTER &&
		    from->number == to->number && from->width >= 32)
			return value_constant(0);
		if (!right.known || right.is.has_base || right.is.dereference)
			return unknown;
		right.is.displacement = (int64_t)(0 - (uint64_t)right.is.displacement);
		return value_add(state_operand(state, to), right);
	case X86_XOR:
		if (from->kind == X86_REGISTER && to->kind == X86_REGISTER &&
		    from->number == to->number && from->width >= 32)
			return value_constant(0);
		return unknown;
	case X86_SHIFT_LEFT:
		if (from->kind != X86_IMMEDIATE || from->constant < 0 || from->constant > 63)
			return unknown;
		return value_scale(state_operand(state, to), from->constant, 0);
	default:
		return unknown;
	}
}

static void push(struct state *state, struct value value)
{
	struct value *stack = &state->registers[X86_RSP];
	int64_t slot;

	*stack = value_scale(*stack, 0, -8);
	if (is_stack(stack, &slot))
		store(state, X86_RSP, slot, 8, value);
	else
		forget(state);
}

static void pop(struct state *state, const struct x86_instruction *instruction)
{
	const struct x86_operand slot = {.kind = X86_MEMORY,
					 .width = 64,
					 .base = X86_RSP,
					 .index = X86_NONE,
					 .number = X86_NONE};
	const struct x86_operand *to = &instruction->operands[0];
	struct value value = load(state, &slot);

	state->registers[X86_RSP] = value_scale(state->registers[X86_RSP], 0, 8);
	if (to->kind == X86_REGISTER && to->number != X86_NONE)
		state->registers[to->number] = value;
	else
		forget(state);
}

static void call(struct state *state)
{
	for (unsigned i = 0; i < X86_REGISTERS; i++) {
		if (X86_CALL_CLOBBERS >> i & 1)
			state->registers[i] = unknown;
	}
	/* The callee returns with rsp as it was, and keeps to its own part of the stack. */
	state->memory_written = true;
}

void state_step(struct state *state, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0];
	struct value value;

	switch (instruction->kind) {
	case X86_CALL:
	case X86_CALL_INDIRECT:
		call(state);
		return;
	case X86_JUMP:
	case X86_JUMP_INDIRECT:
	case X86_COMPARE:
	case X86_TEST:
	case X86_NOP:
		return;
	case X86_PUSH:
		push(state, to->width == 64 || to->kind == X86_IMMEDIATE ? state_operand(state, to)
									 : unknown);
		return;
	case X86_POP:
		pop(state, instruction);
		return;
	default:
		break;
	}
	value = result(state, instruction);
	for (uint8_t i = 0; i < X86_REGISTERS; i++) {
		if (instruction->writes >> i & 1)
			state->registers[i] = unknown;
	}
	if (to->kind == X86_REGISTER && to->number != X86_NONE &&
	    (instruction->writes >> to->number & 1))
		state->registers[to->number] = value_extend(value, to->width);
	if (!instruction->writes_memory)
		return;
	if (to->kind == X86_MEMORY)
		store_operand(state, to, value);
	else
		forget(state);
}

bool state_stack_delta(const struct state *state, int64_t *ret)
{
	return is_stack(&state->registers[X86_RSP], ret);
}

bool state_whereabouts(const struct state *state, uint8_t number, struct site_value *ret)
{
	int64_t delta;

	if (value_is_register(&state->registers[number], number)) {
		*ret = (struct site_value){.has_base = true, .base = number};
		return true;
	}
	for (uint8_t i = 0; i < X86_REGISTERS; i++) {
		if (value_is_register(&state->registers[i], number)) {
			*ret = (struct site_value){.has_base = true, .base = i};
			return true;
		}
	}
	for (unsigned i = 0; i < state->store_count; i++) {
		uint8_t base = state->stores[i].base;

		if (!value_is_register(&state->stores[i].value, number))
			continue;
		if (base == X86_RSP) {
			/* What lies below the stack pointer may be overwritten at any time. */
			if (!state_stack_delta(state, &delta) || state->stores[i].slot < delta)
				continue;
		} else if (base == X86_RBP && value_is_register(&state->registers[base], base)) {
			delta = 0;
		} else {
			continue;
		}
		*ret = (struct site_value){.has_base = true,
					   .base = base,
					   .dereference = true,
					   .displacement = state->stores[i].slot - delta};
		return true;
	}
	return false;
}
