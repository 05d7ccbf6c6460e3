// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Decodes instructions with Zydis, and says of each what the finders ask. */
#include "probe/code/x86.h"

#include <pthread.h>
#include <string.h>

#include <Zydis/Zydis.h>

static ZydisDecoder decoder, outliner;
static ZydisFormatter formatter;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void decoders_init(void)
{
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderInit(&outliner, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ZydisDecoderEnableMode(&outliner, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT);
}

static uint8_t register_number(ZydisRegister reg)
{
	ZydisRegister whole;

	if (reg == ZYDIS_REGISTER_NONE)
		return X86_NONE;
	whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
	if (whole < ZYDIS_REGISTER_RAX || whole > ZYDIS_REGISTER_R15)
		return X86_NONE;
	return whole - ZYDIS_REGISTER_RAX;
}

static uint8_t scale_shift(uint8_t scale)
{
	return scale == 8 ? 3 : scale == 4 ? 2 : scale == 2 ? 1 : 0;
}

static void operand_memory(const struct x86_instruction *instruction,
			   const ZydisDecodedOperandMem *mem, struct x86_operand *ret)
{
	ret->kind = X86_MEMORY;
	ret->base = register_number(mem->base);
	ret->index = register_number(mem->index);
	ret->shift = scale_shift(mem->scale);
	ret->segment = mem->segment == ZYDIS_REGISTER_FS || mem->segment == ZYDIS_REGISTER_GS;
	ret->constant = mem->disp.has_displacement ? mem->disp.value : 0;
	if (mem->base == ZYDIS_REGISTER_RIP)
		ret->constant += instruction->address + instruction->length;
	else if ((mem->base != ZYDIS_REGISTER_NONE && ret->base == X86_NONE) ||
		 (mem->index != ZYDIS_REGISTER_NONE && ret->index == X86_NONE))
		ret->segment = true; /* eip, a vector: nothing that can be named here */
	/* 32-bit addresses (the 67 prefix) would have to be cut off: not named either. */
	if ((mem->base != ZYDIS_REGISTER_NONE &&
	     ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, mem->base) != 64) ||
	    (mem->index != ZYDIS_REGISTER_NONE &&
	     ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, mem->index) != 64))
		ret->segment = true;
}

static void operand_convert(const struct x86_instruction *instruction,
			    const ZydisDecodedOperand *operand, struct x86_operand *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->number = ret->base = ret->index = X86_NONE;
	ret->width = operand->size;
	switch (operand->type) {
	case ZYDIS_OPERAND_TYPE_REGISTER:
		ret->kind = X86_REGISTER;
		ret->number = register_number(operand->reg.value);
		/* ah, bh, ch and dh are not the low byte of what encloses them. */
		if (operand->reg.value >= ZYDIS_REGISTER_AH &&
		    operand->reg.value <= ZYDIS_REGISTER_BH)
			ret->width = 8;
		break;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		operand_memory(instruction, &operand->mem, ret);
		break;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		ret->kind = X86_IMMEDIATE;
		ret->constant = operand->imm.value.s;
		break;
	default:
		break;
	}
}

static bool has_prefix(const ZydisDecodedInstruction *decoded, uint8_t prefix)
{
	for (unsigned i = 0; i < decoded->raw.prefix_count; i++) {
		if (decoded->raw.prefixes[i].value == prefix)
			return true;
	}
	return false;
}

static bool is_probeable(const ZydisDecodedInstruction *decoded, enum x86_kind kind)
{
	static const uint8_t bad[] = {0x26, 0x2e, 0x36, 0x3e, 0xf0};

	for (unsigned i = 0; i < sizeof(bad); i++) {
		if (has_prefix(decoded, bad[i]))
			return false;
	}
	if (kind == X86_STOP)
		return false;
	return !has_prefix(decoded, 0x66) ||
	       (kind != X86_CALL && kind != X86_JUMP && kind != X86_BRANCH);
}

/* As the kernel looks at it; the opcode's prefixes do not matter but for operand size. */
static bool is_emulated(const ZydisDecodedInstruction *decoded, const uint8_t *code)
{
	bool short_operands = has_prefix(decoded, 0x66);

	if (decoded->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	if (decoded->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return decoded->opcode >= 0x80 && decoded->opcode <= 0x8f && !short_operands;
	if (decoded->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return false;
	switch (decoded->opcode) {
	case 0x50 ... 0x57:
		return decoded->length == 1 || (decoded->length == 2 && code[0] == 0x41);
	case 0x70 ... 0x7f:
	case 0xe8:
	case 0xe9:
	case 0xeb:
		return !short_operands;
	case 0x90:
		return decoded->mnemonic == ZYDIS_MNEMONIC_NOP;
	default:
		return false;
	}
}

static enum x86_kind branch_kind(const ZydisDecodedInstruction *decoded)
{
	bool relative = decoded->raw.imm[0].is_relative;

	switch (decoded->meta.category) {
	case ZYDIS_CATEGORY_CALL:
		return relative ? X86_CALL : X86_CALL_INDIRECT;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return relative ? X86_JUMP : X86_JUMP_INDIRECT;
	case ZYDIS_CATEGORY_COND_BR:
		return X86_BRANCH; /* also loop, jrcxz, xbegin */
	case ZYDIS_CATEGORY_RET:
		return X86_RETURN;
	default:
		return X86_OTHER;
	}
}

static enum x86_kind mnemonic_kind(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_CMP:
		return X86_COMPARE;
	case ZYDIS_MNEMONIC_TEST:
		return X86_TEST;
	case ZYDIS_MNEMONIC_MOV:
		return X86_MOVE;
	case ZYDIS_MNEMONIC_MOVSXD:
	case ZYDIS_MNEMONIC_CDQE:
		return X86_EXTEND;
	case ZYDIS_MNEMONIC_LEA:
		return X86_LEA;
	case ZYDIS_MNEMONIC_PUSH:
		return X86_PUSH;
	case ZYDIS_MNEMONIC_POP:
		return X86_POP;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_INC:
		return X86_ADD;
	case ZYDIS_MNEMONIC_SUB:
	case ZYDIS_MNEMONIC_DEC:
		return X86_SUB;
	case ZYDIS_MNEMONIC_XOR:
		return X86_XOR;
	case ZYDIS_MNEMONIC_SHL:
		return X86_SHIFT_LEFT;
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_HLT:
		return X86_STOP;
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR64:
		return X86_NOP;
	default:
		return X86_OTHER;
	}
}

/*
 * Which general registers and whether memory change; the operands that are not written out count.
 */
static void effects_collect(const ZydisDecodedInstruction *decoded,
			    const ZydisDecodedOperand *operands, struct x86_instruction *ret)
{
	for (unsigned i = 0; i < decoded->operand_count; i++) {
		uint8_t number;

		if (!(operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			ret->writes_memory = true;
		if (operands[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		number = register_number(operands[i].reg.value);
		if (number != X86_NONE)
			ret->writes |= 1u << number;
		if (operands[i].reg.value == ZYDIS_REGISTER_FLAGS ||
		    operands[i].reg.value == ZYDIS_REGISTER_EFLAGS ||
		    operands[i].reg.value == ZYDIS_REGISTER_RFLAGS)
			ret->writes_flags = true;
	}
}

bool x86_decode(const uint8_t *code, size_t size, uint64_t address, struct x86_instruction *ret)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction decoded;
	struct x86_instruction result = {.address = address};

	pthread_once(&once, decoders_init);
	if (size > X86_LENGTH_MAX)
		size = X86_LENGTH_MAX;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, size, &decoded, operands)))
		return false;
	result.length = decoded.length;
	result.kind = branch_kind(&decoded);
	if (result.kind == X86_OTHER)
		result.kind = mnemonic_kind(decoded.mnemonic);
	result.probeable = is_probeable(&decoded, result.kind);
	result.emulated = result.probeable && is_emulated(&decoded, code);
	effects_collect(&decoded, operands, &result);
	for (unsigned i = 0; i < 2; i++) {
		if (i < decoded.operand_count_visible)
			operand_convert(&result, &operands[i], &result.operands[i]);
	}
	/* A string instruction writes further than its operand says. */
	if (result.writes_memory &&
	    (decoded.attributes &
	     (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)))
		result.operands[0].kind = X86_ABSENT;
	if (decoded.mnemonic == ZYDIS_MNEMONIC_INC || decoded.mnemonic == ZYDIS_MNEMONIC_DEC)
		result.operands[1] = (struct x86_operand){.kind = X86_IMMEDIATE,
							  .width = 8,
							  .constant = 1,
							  .number = X86_NONE,
							  .base = X86_NONE,
							  .index = X86_NONE};
	if (decoded.mnemonic == ZYDIS_MNEMONIC_CDQE) {
		operand_convert(&result, &operands[0], &result.operands[0]);
		operand_convert(&result, &operands[1], &result.operands[1]);
	}
	if (result.kind == X86_CALL || result.kind == X86_JUMP || result.kind == X86_BRANCH)
		result.target = address + decoded.length + decoded.raw.imm[0].value.s;
	result.tests_equal = decoded.mnemonic == ZYDIS_MNEMONIC_JZ;
	result.tests_unequal = decoded.mnemonic == ZYDIS_MNEMONIC_JNZ;
	*ret = result;
	return true;
}

static enum x86_kind outline_kind(const ZydisDecodedInstruction *decoded)
{
	if (decoded->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return X86_OTHER;
	if (decoded->opcode_map == ZYDIS_OPCODE_MAP_0F)
		return decoded->opcode >= 0x80 && decoded->opcode <= 0x8f ? X86_BRANCH : X86_OTHER;
	if (decoded->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return X86_OTHER;
	switch (decoded->opcode) {
	case 0x70 ... 0x7f:
	case 0xe0 ... 0xe3:
		return X86_BRANCH;
	case 0xe8:
		return X86_CALL;
	case 0xe9:
	case 0xeb:
		return X86_JUMP;
	case 0xff:
		if (decoded->raw.modrm.reg == 2)
			return X86_CALL_INDIRECT;
		return decoded->raw.modrm.reg == 4 ? X86_JUMP_INDIRECT : X86_OTHER;
	default:
		return X86_OTHER;
	}
}

bool x86_outline(const uint8_t *code, size_t size, uint64_t address, struct x86_outline *ret)
{
	ZydisDecodedInstruction decoded;
	struct x86_outline result = {0};

	pthread_once(&once, decoders_init);
	if (size > X86_LENGTH_MAX)
		size = X86_LENGTH_MAX;
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&outliner, NULL, code, size, &decoded)))
		return false;
	result.length = decoded.length;
	result.kind = outline_kind(&decoded);
	if (result.kind == X86_CALL || result.kind == X86_JUMP || result.kind == X86_BRANCH) {
		result.target = address + decoded.length + decoded.raw.imm[0].value.s;
	} else if (decoded.raw.imm[0].size == 32) {
		result.has_constant = true;
		result.constant = decoded.raw.imm[0].value.u;
	}
	if ((decoded.attributes & ZYDIS_ATTRIB_HAS_MODRM) &&
	    (decoded.raw.modrm.mod == 1 || decoded.raw.modrm.mod == 2) &&
	    decoded.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    decoded.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT &&
	    (decoded.opcode == 0x8b || result.kind == X86_CALL_INDIRECT ||
	     result.kind == X86_JUMP_INDIRECT)) {
		result.has_displacement = true;
		result.displacement = decoded.raw.disp.value;
	}
	if ((decoded.attributes & ZYDIS_ATTRIB_HAS_MODRM) && decoded.raw.disp.size == 32 &&
	    decoded.raw.modrm.mod == 0) {
		result.has_address = true;
		result.named = decoded.raw.disp.value;
		if (decoded.raw.modrm.rm == 5)
			result.named += address + decoded.length;
		else if (decoded.raw.modrm.rm != 4)
			result.has_address = false;
	}
	*ret = result;
	return true;
}

bool x86_format(const uint8_t *code, size_t size, uint64_t address, char *ret, size_t ret_size)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction decoded;

	pthread_once(&once, decoders_init);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, size, &decoded, operands)))
		return false;
	return ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &decoded, operands,
							    decoded.operand_count_visible, ret,
							    ret_size, address, NULL));
}

const char *x86_register_name(uint8_t number)
{
	static const char *const names[X86_REGISTERS] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
							 "rsi", "rdi", "r8",  "r9",  "r10", "r11",
							 "r12", "r13", "r14", "r15"};

	return number < X86_REGISTERS ? names[number] : "?";
}
