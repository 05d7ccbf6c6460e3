// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Follows the straight line of an accessor function, with a value for each register. */
#include "python/x86.h"

#include <elf.h>
#include <string.h>

#include <Zydis/Zydis.h>

/* Accessors have some 10 instructions; Py_GetVersion up to 30. */
#define INSTRUCTIONS_MAX 96
#define LENGTH_MAX       15

struct machine {
	const struct image *image;
	struct x86_value registers[16];
};

static const struct x86_value unknown = {.kind = X86_UNKNOWN};

/* The 64-bit general register that NAME is part of, -1 for none. */
static int register_index(ZydisRegister name)
{
	ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, name);

	if (full < ZYDIS_REGISTER_RAX || full > ZYDIS_REGISTER_R15)
		return -1;
	return ZydisRegisterGetId(full);
}

static struct x86_value register_get(const struct machine *machine, ZydisRegister name)
{
	int index = register_index(name);

	return index < 0 ? unknown : machine->registers[index];
}

static void register_set(struct machine *machine, ZydisRegister name, struct x86_value value)
{
	int index = register_index(name);

	if (index >= 0)
		machine->registers[index] = value;
}

static const struct image_relocation *relocation_at(const struct image *image, uint64_t address)
{
	const struct image_relocation *relocation = image_relocation_from(image, address);

	return relocation && relocation->address == address ? relocation : NULL;
}

static struct x86_value address_value(uint64_t address)
{
	return (struct x86_value){.kind = X86_ADDRESS, .address = address};
}

/* The word at ADDRESS: what the dynamic linker puts there, or just that word. */
static struct x86_value load_address(const struct machine *machine, uint64_t address)
{
	const struct image_relocation *relocation = relocation_at(machine->image, address);
	const struct image_symbol *symbol;
	struct x86_value value = {.kind = X86_ADDRESS, .loaded = true, .address = address};

	if (!relocation)
		return value;
	switch (relocation->type) {
	case R_X86_64_RELATIVE:
		return address_value(relocation->addend);
	case R_X86_64_GLOB_DAT:
	case R_X86_64_JUMP_SLOT:
	case R_X86_64_64:
		/* It may be bound to another file's symbol; only ours are known here. */
		symbol = image_symbol(machine->image, relocation->symbol);
		if (!symbol)
			return value;
		return address_value(symbol->address +
				     (relocation->type == R_X86_64_64 ? relocation->addend : 0));
	case R_X86_64_TPOFF64:
		return (struct x86_value){.kind = X86_OFFSET_SLOT, .address = address};
	default:
		return value;
	}
}

/* The effective address of OPERAND. */
static struct x86_value effective_address(const struct machine *machine,
					  const ZydisDecodedInstruction *instruction,
					  const ZydisDecodedOperand *operand, uint64_t at)
{
	const ZydisDecodedOperandMem *memory = &operand->mem;
	int64_t displacement = memory->disp.has_displacement ? memory->disp.value : 0;
	bool tls = memory->segment == ZYDIS_REGISTER_FS;
	struct x86_value base;

	if (memory->index != ZYDIS_REGISTER_NONE || memory->segment == ZYDIS_REGISTER_GS)
		return unknown;
	if (memory->base == ZYDIS_REGISTER_NONE) {
		if (tls)
			return (struct x86_value){.kind = X86_TLS, .displacement = displacement};
		return address_value((uint64_t)displacement);
	}
	if (memory->base == ZYDIS_REGISTER_RIP)
		return tls ? unknown : address_value(at + instruction->length + displacement);
	base = register_get(machine, memory->base);
	if (base.kind == X86_UNKNOWN || base.loaded)
		return unknown;
	if (tls && base.kind == X86_OFFSET_SLOT)
		base.kind = X86_TLS_SLOT;
	else if (tls && base.kind == X86_OFFSET_DESCRIPTOR)
		base.kind = X86_TLS_DESCRIPTOR;
	else if (tls || base.kind == X86_OFFSET_SLOT || base.kind == X86_OFFSET_DESCRIPTOR)
		return unknown;
	if (base.kind == X86_ADDRESS)
		base.address += displacement;
	else
		base.displacement += displacement;
	return base;
}

static struct x86_value load(const struct machine *machine, struct x86_value address)
{
	if (address.kind == X86_UNKNOWN || address.loaded)
		return unknown;
	if (address.kind == X86_ADDRESS)
		return load_address(machine, address.address);
	/* The first word of a thread's control block is its own address. */
	if (address.kind == X86_TLS && !address.displacement)
		return (struct x86_value){.kind = X86_TLS};
	address.loaded = true;
	return address;
}

/* What OPERAND holds: 64-bit, or a 32-bit constant, which is extended by zeros. */
static struct x86_value operand_value(const struct machine *machine,
				      const ZydisDecodedInstruction *instruction,
				      const ZydisDecodedOperand *operand, uint64_t at)
{
	if (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return address_value(operand->imm.value.u);
	if (operand->size != 64)
		return unknown;
	if (operand->type == ZYDIS_OPERAND_TYPE_REGISTER)
		return register_get(machine, operand->reg.value);
	if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return load(machine, effective_address(machine, instruction, operand, at));
	return unknown;
}

/* Constant + constant, constant + address; an offset + the thread pointer. */
static struct x86_value sum(struct x86_value left, struct x86_value right)
{
	if (left.loaded || right.loaded)
		return unknown;
	if (left.kind == X86_ADDRESS && right.kind == X86_ADDRESS)
		return address_value(left.address + right.address);
	if (right.kind == X86_TLS) {
		struct x86_value swap = left;

		left = right;
		right = swap;
	}
	if (left.kind != X86_TLS ||
	    (right.kind != X86_OFFSET_SLOT && right.kind != X86_OFFSET_DESCRIPTOR))
		return unknown;
	right.kind = right.kind == X86_OFFSET_SLOT ? X86_TLS_SLOT : X86_TLS_DESCRIPTOR;
	right.displacement += left.displacement;
	return right;
}

static void call(struct machine *machine, const ZydisDecodedOperand *target)
{
	static const uint8_t volatile_registers[] = {0, 1, 2, 6, 7, 8, 9, 10, 11};
	struct x86_value argument = machine->registers[7], descriptor = machine->registers[0];
	const struct image_relocation *relocation;
	struct x86_value result = unknown;
	size_t i;

	/* General dynamic: rdi names the module id's word, in which the dynamic linker puts it. */
	relocation = argument.kind == X86_ADDRESS && !argument.loaded
			     ? relocation_at(machine->image, argument.address)
			     : NULL;
	if (relocation && relocation->type == R_X86_64_DTPMOD64)
		result = (struct x86_value){.kind = X86_TLS_MODULE, .address = argument.address};
	/* call *(%rax) with rax naming a TLS descriptor: gives an offset, keeps the registers. */
	relocation = descriptor.kind == X86_ADDRESS && !descriptor.loaded
			     ? relocation_at(machine->image, descriptor.address)
			     : NULL;
	if (relocation && relocation->type == R_X86_64_TLSDESC &&
	    target->type == ZYDIS_OPERAND_TYPE_MEMORY && target->mem.base == ZYDIS_REGISTER_RAX) {
		machine->registers[0] = (struct x86_value){
			.kind = X86_OFFSET_DESCRIPTOR,
			.address = descriptor.address,
		};
		return;
	}
	for (i = 0; i < sizeof(volatile_registers); i++)
		machine->registers[volatile_registers[i]] = unknown;
	machine->registers[0] = result;
}

/* Whatever an instruction writes that is not understood is not known any more. */
static void forget_written(struct machine *machine, const ZydisDecodedInstruction *instruction,
			   const ZydisDecodedOperand *operands)
{
	size_t i;

	for (i = 0; i < instruction->operand_count; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			register_set(machine, operands[i].reg.value, unknown);
}

static void execute(struct machine *machine, const ZydisDecodedInstruction *instruction,
		    const ZydisDecodedOperand *operands, uint64_t at)
{
	struct x86_value value = unknown;
	bool wide = operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    (operands[0].size == 64 || operands[0].size == 32);

	if (wide && instruction->mnemonic == ZYDIS_MNEMONIC_MOV)
		value = operand_value(machine, instruction, &operands[1], at);
	else if (wide && instruction->mnemonic == ZYDIS_MNEMONIC_LEA)
		value = effective_address(machine, instruction, &operands[1], at);
	else if (wide && instruction->mnemonic == ZYDIS_MNEMONIC_ADD)
		value = sum(register_get(machine, operands[0].reg.value),
			    operand_value(machine, instruction, &operands[1], at));
	forget_written(machine, instruction, operands);
	if (value.kind != X86_UNKNOWN)
		register_set(machine, operands[0].reg.value, value);
}

static bool is_conditional(const ZydisDecodedInstruction *instruction)
{
	return instruction->meta.category == ZYDIS_CATEGORY_COND_BR;
}

/* The instruction AT; false if it is none, or if there is no code. */
static bool decode(const struct image *image, uint64_t at, ZydisDecodedInstruction *instruction,
		   ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT])
{
	size_t size = LENGTH_MAX;
	const uint8_t *code = image_bytes(image, at, size);
	ZydisDecoder decoder;

	/* Shorter at the end of the code. */
	while (!code && --size)
		code = image_bytes(image, at, size);
	return code &&
	       ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
					     ZYDIS_STACK_WIDTH_64)) &&
	       ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, size, instruction, operands));
}

size_t x86_words_loaded(const struct image *image, uint64_t function, uint64_t *ret, size_t most)
{
	ZydisDecodedInstruction instruction;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	uint64_t at = function;
	size_t count = 0;

	for (unsigned i = 0; i < INSTRUCTIONS_MAX && count < most; i++) {
		if (!decode(image, at, &instruction, operands) ||
		    instruction.meta.category == ZYDIS_CATEGORY_RET)
			break;
		at += instruction.length;
		if (instruction.mnemonic == ZYDIS_MNEMONIC_MOV && operands[0].size == 64 &&
		    operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    operands[1].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    operands[1].mem.base == ZYDIS_REGISTER_RIP)
			ret[count++] = at + operands[1].mem.disp.value;
	}
	return count;
}

bool x86_returned(const struct image *image, uint64_t function, struct x86_value *ret)
{
	struct machine machine = {.image = image};
	ZydisDecodedInstruction instruction;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	uint64_t at = function;
	unsigned i;

	for (i = 0; i < INSTRUCTIONS_MAX; i++) {
		const struct x86_value *rax = &machine.registers[0];

		if (!decode(image, at, &instruction, operands))
			return false;
		/* The value is tested (and a fatal error follows where it is NULL). */
		if (instruction.meta.category == ZYDIS_CATEGORY_RET ||
		    (is_conditional(&instruction) && rax->kind != X86_UNKNOWN)) {
			if (rax->kind == X86_UNKNOWN)
				return false;
			*ret = *rax;
			return true;
		}
		if (instruction.meta.category == ZYDIS_CATEGORY_CALL) {
			call(&machine, &operands[0]);
		} else if (instruction.meta.category == ZYDIS_CATEGORY_UNCOND_BR) {
			if (operands[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
				return false;
			at += instruction.length + operands[0].imm.value.s;
			continue;
		} else if (!is_conditional(&instruction)) {
			execute(&machine, &instruction, operands, at);
		}
		at += instruction.length;
	}
	return false;
}
