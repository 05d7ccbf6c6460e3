/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * x86-64 instructions as the rest of probe/ wants them: what an instruction does to the sixteen
 * general registers, where it goes, and whether the kernel emulates it under a uprobe. The only
 * part of user/probe that knows the instruction set; Zydis does the decoding.
 */
#ifndef TMBPF_PROBE_CODE_X86_H
#define TMBPF_PROBE_CODE_X86_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define X86_LENGTH_MAX 15
#define X86_REGISTERS  16

/* Hardware numbers. */
enum x86_register {
	X86_RAX = 0,
	X86_RCX = 1,
	X86_RDX = 2,
	X86_RBX = 3,
	X86_RSP = 4,
	X86_RBP = 5,
	X86_RSI = 6,
	X86_RDI = 7,
	X86_NONE = 0xff,
};

/* What the System V ABI lets a called function change: rax, rcx, rdx, rsi, rdi, r8 to r11. */
#define X86_CALL_CLOBBERS 0x0fc7u

enum x86_kind {
	X86_OTHER,
	X86_CALL,          /* direct */
	X86_CALL_INDIRECT, /* operands[0] */
	X86_JUMP,
	X86_JUMP_INDIRECT, /* operands[0] */
	X86_BRANCH,        /* conditional jump */
	X86_RETURN,
	X86_STOP, /* ud2, int3, hlt: nothing follows */
	X86_COMPARE,
	X86_TEST,
	X86_MOVE, /* mov between general registers, memory and constants, without extension */
	X86_LEA,
	X86_PUSH,
	X86_POP,
	X86_ADD, /* add, and inc with an immediate operand made up */
	X86_SUB,
	X86_XOR,
	X86_SHIFT_LEFT,
	X86_NOP,
	X86_EXTEND, /* 32 bits to 64, with the sign */
};

enum x86_operand_kind { X86_ABSENT, X86_REGISTER, X86_IMMEDIATE, X86_MEMORY };

struct x86_operand {
	enum x86_operand_kind kind;
	uint16_t width;   /* bits */
	uint8_t number;   /* REGISTER: hardware number, X86_NONE where it is no general register */
	uint8_t base;     /* MEMORY: X86_NONE without; rip is resolved into the displacement */
	uint8_t index;    /* MEMORY: X86_NONE without */
	uint8_t shift;    /* MEMORY: of the index, 0 to 3 */
	bool segment;     /* MEMORY: relative to fs or gs */
	int64_t constant; /* IMMEDIATE: the value, sign-extended; MEMORY: displacement or address */
};

struct x86_instruction {
	uint64_t address;
	uint8_t length;
	enum x86_kind kind;
	/*
	 * The kernel emulates it under a uprobe (arch/x86/kernel/uprobes.c branch_setup_xol_ops()
	 * and push_setup_xol_ops(), 5.10 to 6.18): push reg, one-byte nop with any prefix,
	 * conditional jump, jmp rel, call rel; not with a 66 prefix. The others are
	 * single-stepped.
	 */
	bool emulated;
	/*
	 * The kernel takes a probe there at all: no es, cs, ss, ds or lock prefix
	 * (is_prefix_bad()), and no branch with a 66 prefix. A guess for what is neither: CPython's
	 * code is ordinary.
	 */
	bool probeable;
	bool writes_flags;
	bool writes_memory;
	bool tests_equal, tests_unequal; /* BRANCH: je, jne */
	uint16_t writes;                 /* general registers, a bit each */
	uint64_t target;                 /* CALL, JUMP, BRANCH */
	struct x86_operand operands[2];  /* destination or left, source or right */
};

/* False for what is no instruction, or longer than SIZE. */
bool x86_decode(const uint8_t *code, size_t size, uint64_t address, struct x86_instruction *ret);

/* What a first, fast pass over all of the text needs to know. */
struct x86_outline {
	uint8_t length;
	enum x86_kind kind; /* CALL, JUMP, BRANCH, CALL_INDIRECT or JUMP_INDIRECT; else OTHER */
	uint64_t target;    /* of those direct ones */
	bool has_address;   /* names an address: rip-relative, or an absolute displacement alone */
	bool has_constant;  /* has an immediate of four bytes */
	bool has_displacement; /* loads, calls or jumps through a register plus one */
	uint64_t named;        /* that address */
	uint64_t constant;     /* that immediate */
	int64_t displacement;  /* that displacement */
};

bool x86_outline(const uint8_t *code, size_t size, uint64_t address, struct x86_outline *ret);

/* The instruction in AT&T syntax. False if there is none. */
bool x86_format(const uint8_t *code, size_t size, uint64_t address, char *ret, size_t ret_size);

/* "rax", ...; "?" for no general register. */
const char *x86_register_name(uint8_t number);

#endif
