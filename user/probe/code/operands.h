/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Questions about operands. A set of registers has a bit for each hardware number. */
#ifndef TMBPF_PROBE_CODE_OPERANDS_H
#define TMBPF_PROBE_CODE_OPERANDS_H

#include "probe/code/x86.h"

/* Memory at ADDRESS, if that is not 0. */
static inline bool operand_is_absolute(const struct x86_operand *operand, uint64_t address)
{
	return operand->kind == X86_MEMORY && operand->base == X86_NONE &&
	       operand->index == X86_NONE && !operand->segment && address &&
	       (uint64_t)operand->constant == address;
}

/* One of the registers of SET, of any width. */
static inline bool operand_in(uint16_t set, const struct x86_operand *operand)
{
	return operand->kind == X86_REGISTER && operand->number != X86_NONE &&
	       (set >> operand->number & 1);
}

static inline bool operand_is_immediate(const struct x86_operand *operand, int64_t constant)
{
	return operand->kind == X86_IMMEDIATE && operand->constant == constant;
}

static inline bool instruction_is_call(const struct x86_instruction *instruction)
{
	return instruction->kind == X86_CALL || instruction->kind == X86_CALL_INDIRECT;
}

/* Whether OPERAND is memory at one of the registers BASES plus DISPLACEMENT. */
static inline bool operand_is_behind(const struct x86_operand *operand, uint16_t bases,
				     int64_t displacement)
{
	return operand->kind == X86_MEMORY && operand->base != X86_NONE &&
	       (bases >> operand->base & 1) && operand->index == X86_NONE && !operand->segment &&
	       operand->constant == displacement;
}

#endif
