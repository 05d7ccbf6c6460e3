// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Finds the words of an image that the loader fills, and the calls that go through them. */
#include "probe/code/imports.h"

#include <elf.h>
#include <string.h>

void imports_add(struct imports *imports, const struct image *image, const char *name,
		 unsigned function)
{
	for (size_t i = 0; i < image->relocation_count; i++) {
		const struct image_relocation *relocation = &image->relocations[i];

		if (relocation->type != R_X86_64_JUMP_SLOT &&
		    relocation->type != R_X86_64_GLOB_DAT && relocation->type != R_X86_64_64)
			continue;
		if (relocation->addend || strcmp(relocation->symbol, name) != 0 ||
		    imports->count == IMPORT_SLOTS_MAX)
			continue;
		imports->slots[imports->count].slot = relocation->address;
		imports->slots[imports->count++].function = function;
	}
}

static bool slot_find(const struct imports *imports, const struct x86_operand *operand,
		      unsigned *ret_function)
{
	if (operand->kind != X86_MEMORY || operand->base != X86_NONE ||
	    operand->index != X86_NONE || operand->segment)
		return false;
	for (unsigned i = 0; i < imports->count; i++) {
		if (imports->slots[i].slot != (uint64_t)operand->constant)
			continue;
		*ret_function = imports->slots[i].function;
		return true;
	}
	return false;
}

/* A PLT entry is an indirect jump, behind endbr64 in some and with a bnd prefix in others. */
static bool plt_find(const struct imports *imports, struct listing *listing, uint64_t address,
		     unsigned *ret_function)
{
	struct x86_instruction instruction;

	if (listing_contains(listing, address))
		return false;
	for (unsigned i = 0; i < 2 && listing_decode(listing, address, &instruction); i++) {
		if (instruction.kind == X86_JUMP_INDIRECT)
			return slot_find(imports, &instruction.operands[0], ret_function);
		if (instruction.kind != X86_NOP)
			return false;
		address += instruction.length;
	}
	return false;
}

bool imports_target(const struct imports *imports, struct listing *listing,
		    const struct x86_instruction *instruction, unsigned *ret_function)
{
	switch (instruction->kind) {
	case X86_CALL:
	case X86_JUMP:
		return plt_find(imports, listing, instruction->target, ret_function);
	case X86_CALL_INDIRECT:
	case X86_JUMP_INDIRECT:
		return slot_find(imports, &instruction->operands[0], ret_function);
	default:
		return false;
	}
}
