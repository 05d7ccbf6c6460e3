// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe/symbolic.h"

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
	value.is.displacement = (int64_t)(((uint64_t)value.is.displacement << shift) +
					  (uint64_t)displacement);
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
		address = value_add(
			address, value_scale(state->registers[operand->index], operand->shift, 0));
	return address;
}

/* Whether VALUE is an address on the stack, and which. */
static bool is_stack(const struct value *address, int64_t *ret_slot)
{
	if (!address->known || !address->is.has_base || address->is.dereference ||
	    address->is.shift || address->is.base != X86_RSP)
		return false;
	*ret_slot = address->is.displacement;
	return true;
}

static struct value load(const struct state *state, const struct x86_operand *operand)
{
	struct value address = memory_address(state, operand);
	int64_t slot;

	if (!address.known || address.is.dereference || operand->width != 64)
		return unknown;
	if (is_stack(&address, &slot)) {
		for (unsigned i = 0; i < state->store_count; i++) {
			int64_t distance = slot - state->stores[i].slot;

			if (distance == 0)
				return state->stores[i].value;
			if (distance > -8 && distance < 8)
				return unknown;
		}
		if (state->stack_forgotten)
			return unknown;
	} else if (state->memory_written) {
		return unknown;
	}
	address.is.dereference = true;
	return address;
}

static void store(struct state *state, int64_t slot, unsigned bytes, struct value value)
{
	unsigned kept = 0;

	/* What it overlaps is no longer what it was. */
	for (unsigned i = 0; i < state->store_count; i++) {
		if (state->stores[i].slot < slot + bytes && slot < state->stores[i].slot + 8) {
			if (state->stores[i].slot == slot && bytes == 8)
				continue;
			state->stores[i].value = unknown;
		}
		state->stores[kept++] = state->stores[i];
	}
	state->store_count = kept;
	if (bytes > 8)
		bytes = (bytes + 7) / 8 * 8;
	for (unsigned at = 0; at < bytes; at += 8) {
		if (state->store_count == STATE_STORES_MAX) {
			state->stack_forgotten = true;
			return;
		}
		state->stores[state->store_count].slot = slot + at;
		state->stores[state->store_count++].value = bytes == 8 ? value : unknown;
	}
}

static void store_operand(struct state *state, const struct x86_operand *operand,
			  struct value value)
{
	struct value address = memory_address(state, operand);
	unsigned bytes = operand->width / 8;
	int64_t slot;

	if (is_stack(&address, &slot) && bytes && bytes <= 64) {
		/*
		 * A narrower store spoils the slots that it touches: recorded as one of eight bytes
		 * of no known value.
		 */
		store(state, slot, bytes, bytes == 8 ? value : unknown);
		return;
	}
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

/* Memory was written at a place that is not known at all. */
static void forget(struct state *state)
{
	state->memory_written = state->stack_forgotten = true;
	for (unsigned i = 0; i < state->store_count; i++)
		state->stores[i].value = unknown;
}

static void push(struct state *state, struct value value)
{
	struct value *stack = &state->registers[X86_RSP];
	int64_t slot;

	*stack = value_scale(*stack, 0, -8);
	if (is_stack(stack, &slot))
		store(state, slot, 8, value);
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
	if (!state_stack_delta(state, &delta))
		return false;
	for (unsigned i = 0; i < state->store_count; i++) {
		/* What lies below the stack pointer may be overwritten at any time. */
		if (!value_is_register(&state->stores[i].value, number) ||
		    state->stores[i].slot < delta)
			continue;
		*ret = (struct site_value){.has_base = true,
					   .base = X86_RSP,
					   .dereference = true,
					   .displacement = state->stores[i].slot - delta};
		return true;
	}
	return false;
}
