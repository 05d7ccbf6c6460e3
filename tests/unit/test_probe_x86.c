// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which instructions the kernel emulates under a uprobe, and what instructions do to registers. */
#include "support.h"

#include <string.h>

#include "base/cleanup.h"
#include "probe/code/symbolic.h"
#include "probe/code/x86.h"

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

static struct x86_instruction decode(const char *bytes, size_t size)
{
	struct x86_instruction instruction;

	if (!x86_decode((const uint8_t *)bytes, size, 0x1000, &instruction))
		fail_msg("not decoded");
	assert_int_equal(instruction.length, size);
	return instruction;
}

#define DECODE(bytes) decode(bytes, sizeof(bytes) - 1)

static void test_emulated(void **state)
{
	(void)state;
	assert_true(DECODE("\x50").emulated);                     /* push %rax */
	assert_true(DECODE("\x41\x57").emulated);                 /* push %r15 */
	assert_true(DECODE("\x90").emulated);                     /* nop */
	assert_true(DECODE("\x66\x90").emulated);                 /* xchg %ax,%ax */
	assert_true(DECODE("\x74\x10").emulated);                 /* je */
	assert_true(DECODE("\x0f\x85\x00\x01\x00\x00").emulated); /* jne */
	assert_true(DECODE("\xeb\x10").emulated);                 /* jmp */
	assert_true(DECODE("\xe9\x00\x01\x00\x00").emulated);
	assert_true(DECODE("\xe8\x00\x01\x00\x00").emulated);     /* call */
	assert_true(DECODE("\xf2\xe9\x00\x01\x00\x00").emulated); /* bnd jmp */
}

static void test_single_stepped(void **state)
{
	(void)state;
	assert_false(DECODE("\xf3\x0f\x1e\xfa").emulated);             /* endbr64 */
	assert_false(DECODE("\x48\x89\xe5").emulated);                 /* mov %rsp,%rbp */
	assert_false(DECODE("\x48\x8d\x46\xff").emulated);             /* lea -1(%rsi),%rax */
	assert_false(DECODE("\x48\x83\xec\x18").emulated);             /* sub $0x18,%rsp */
	assert_false(DECODE("\x48\x85\xc0").emulated);                 /* test %rax,%rax */
	assert_false(DECODE("\x5b").emulated);                         /* pop %rbx */
	assert_false(DECODE("\xc3").emulated);                         /* ret */
	assert_false(DECODE("\xff\xd0").emulated);                     /* call *%rax */
	assert_false(DECODE("\xff\xe0").emulated);                     /* jmp *%rax */
	assert_false(DECODE("\x6a\x01").emulated);                     /* push $1 */
	assert_false(DECODE("\xff\x30").emulated);                     /* push (%rax) */
	assert_false(DECODE("\x0f\x1f\x44\x00\x00").emulated);         /* nopl */
	assert_false(DECODE("\x48\x50").emulated);                     /* rex.W push %rax */
	assert_false(DECODE("\x49\x90").emulated);                     /* xchg %rax,%r8 */
	assert_false(DECODE("\xe3\x10").emulated);                     /* jrcxz */
	assert_false(DECODE("\x66\x48\xe8\x00\x01\x00\x00").emulated); /* as __tls_get_addr's */
}

static void test_refused_by_the_kernel(void **state)
{
	(void)state;
	assert_false(DECODE("\x66\x48\xe8\x00\x01\x00\x00").probeable);
	assert_false(DECODE("\xf0\x48\xff\x00").probeable); /* lock incq (%rax) */
	assert_false(DECODE("\x2e\x74\x10").probeable);     /* je, with a branch hint */
	assert_false(DECODE("\x2e\x74\x10").emulated);
	assert_false(DECODE("\x3e\xff\xe0").probeable); /* notrack jmp *%rax */
	assert_false(DECODE("\xcc").probeable);
	assert_true(DECODE("\x48\x89\xc3").probeable);
	assert_true(DECODE("\x66\x89\xc3").probeable);
}

static void test_kinds(void **state)
{
	struct x86_instruction instruction = DECODE("\x0f\x84\x00\x01\x00\x00");

	(void)state;
	assert_int_equal(instruction.kind, X86_BRANCH);
	assert_true(instruction.tests_equal);
	assert_int_equal(instruction.target, 0x1000 + 6 + 0x100);
	instruction = DECODE("\x75\xfe");
	assert_true(instruction.tests_unequal);
	assert_int_equal(instruction.target, 0x1000);
	assert_false(DECODE("\x72\xfe").tests_unequal);
	instruction = DECODE("\xff\x15\x00\x01\x00\x00"); /* call *0x100(%rip) */
	assert_int_equal(instruction.kind, X86_CALL_INDIRECT);
	assert_int_equal(instruction.operands[0].kind, X86_MEMORY);
	assert_int_equal(instruction.operands[0].base, X86_NONE);
	assert_int_equal(instruction.operands[0].constant, 0x1000 + 6 + 0x100);
	instruction =
		DECODE("\x48\x81\x3d\x00\x01\x00\x00\x50\xb4\x4f\x00"); /* cmpq $0x4fb450,.. */
	assert_int_equal(instruction.kind, X86_COMPARE);
	assert_int_equal(instruction.operands[0].constant, 0x1000 + 11 + 0x100);
	assert_int_equal(instruction.operands[1].constant, 0x4fb450);
	instruction = DECODE("\x64\x48\x8b\x04\x25\xe8\xff\xff\xff"); /* mov %fs:-24,%rax */
	assert_true(instruction.operands[1].segment);
	instruction = DECODE("\x48\x0f\x45\xc6"); /* cmovne %rsi,%rax */
	assert_int_equal(instruction.writes, 1 << RAX);
	assert_int_equal(instruction.kind, X86_OTHER);
	assert_false(instruction.writes_flags);
	assert_true(DECODE("\x48\x83\xc0\x01").writes_flags);
	/* Half of rdx:rax is not written out. */
	assert_int_equal(DECODE("\x48\xf7\xe3").writes, 1 << RAX | 1 << RDX);
}

static void test_truncated(void **state)
{
	static const char whole[] = "\x48\x81\x3d\x00\x01\x00\x00\x50\xb4\x4f\x00";
	struct x86_instruction instruction;
	struct x86_outline outline;

	(void)state;
	for (size_t size = 0; size < sizeof(whole) - 1; size++) {
		assert_false(x86_decode((const uint8_t *)whole, size, 0, &instruction));
		assert_false(x86_outline((const uint8_t *)whole, size, 0, &outline));
	}
	assert_true(x86_outline((const uint8_t *)whole, sizeof(whole) - 1, 0x1000, &outline));
	assert_int_equal(outline.length, 11);
	assert_true(outline.has_address);
	assert_int_equal(outline.named, 0x1000 + 11 + 0x100);
	assert_true(outline.has_constant);
	assert_int_equal(outline.constant, 0x4fb450);
	assert_false(x86_decode((const uint8_t *)"\x06", 1, 0, &instruction));
}

/* Steps over the instructions of CODE, one after the other. */
static void run(struct state *state, const char *code, size_t size)
{
	uint64_t address = 0x1000;

	while (size) {
		struct x86_instruction instruction;

		if (!x86_decode((const uint8_t *)code, size, address, &instruction))
			fail_msg("not decoded");
		state_step(state, &instruction);
		code += instruction.length;
		size -= instruction.length;
		address += instruction.length;
	}
}

#define RUN(state, code) run(state, code, sizeof(code) - 1)

static void test_whereabouts(void **unused)
{
	struct site_value where;
	struct state state;

	(void)unused;
	state_init(&state);
	assert_true(state_whereabouts(&state, RAX, &where));
	assert_int_equal(where.base, RAX);
	RUN(&state, "\x48\x89\xc3" /* mov %rax,%rbx */
		    "\x31\xc0");   /* xor %eax,%eax */
	assert_true(state_whereabouts(&state, RAX, &where));
	assert_int_equal(where.base, RBX);
	assert_false(where.dereference);
	RUN(&state, "\x48\x89\x5c\x24\x20" /* mov %rbx,0x20(%rsp) */
		    "\x48\x83\xc3\x01"     /* add $1,%rbx */
		    "\x48\x83\xec\x08");   /* sub $8,%rsp */
	assert_true(state_whereabouts(&state, RAX, &where));
	assert_true(where.dereference);
	assert_int_equal(where.base, RSP);
	assert_int_equal(where.displacement, 0x28);
	RUN(&state, "\xc7\x44\x24\x2c\x00\x00\x00\x00"); /* movl $0,0x2c(%rsp): half of it */
	assert_false(state_whereabouts(&state, RAX, &where));
}

static void test_below_the_stack_pointer(void **unused)
{
	struct site_value where;
	struct state state;

	(void)unused;
	state_init(&state);
	RUN(&state, "\x50"       /* push %rax */
		    "\x31\xc0"); /* xor %eax,%eax */
	assert_true(state_whereabouts(&state, RAX, &where));
	assert_int_equal(where.displacement, 0);
	RUN(&state, "\x48\x83\xc4\x08"); /* add $8,%rsp: anyone may write there now */
	assert_false(state_whereabouts(&state, RAX, &where));
}

static void test_calls_and_unknown_stores(void **unused)
{
	struct state state;

	(void)unused;
	state_init(&state);
	RUN(&state, "\x48\x89\xc3"           /* mov %rax,%rbx */
		    "\xe8\x00\x00\x00\x00"); /* call */
	assert_false(state.registers[RAX].known);
	assert_false(state.registers[R11].known);
	assert_true(value_is_register(&state.registers[RBX], RAX));
	/* What was loaded from elsewhere cannot be said again once it may have been written. */
	state_init(&state);
	RUN(&state, "\x48\x8b\x7b\x10"); /* mov 0x10(%rbx),%rdi */
	assert_true(state.registers[RDI].known);
	RUN(&state, "\x48\x89\x0c\xc2"   /* mov %rcx,(%rdx,%rax,8) */
		    "\x48\x8b\x73\x10"); /* mov 0x10(%rbx),%rsi */
	assert_false(state.registers[RSI].known);
	assert_true(state.registers[RDI].known);
	/* A string store may write anywhere. */
	state_init(&state);
	RUN(&state, "\x48\x89\x44\x24\x08"   /* mov %rax,8(%rsp) */
		    "\xf3\x48\xab"           /* rep stos */
		    "\x48\x8b\x74\x24\x08"); /* mov 8(%rsp),%rsi */
	assert_false(state.registers[RSI].known);
}

static void test_halves(void **unused)
{
	struct state state;

	(void)unused;
	state_init(&state);
	RUN(&state, "\x89\xde"); /* mov %ebx,%esi: the upper half is cut off */
	assert_false(state.registers[RSI].known);
	RUN(&state, "\xbe\xff\xff\xff\xff"); /* mov $-1,%esi */
	assert_true(value_is_constant(&state.registers[RSI], 0xffffffff));
	RUN(&state, "\x48\xc7\xc6\xff\xff\xff\xff"); /* mov $-1,%rsi */
	assert_true(value_is_constant(&state.registers[RSI], -1));
	RUN(&state, "\x40\xb6\x01"); /* mov $1,%sil */
	assert_false(state.registers[RSI].known);
	RUN(&state, "\x29\xd2"); /* sub %edx,%edx */
	assert_true(value_is_constant(&state.registers[RDX], 0));
	RUN(&state, "\x4c\x89\xf1"       /* mov %r14,%rcx */
		    "\x48\xc1\xe1\x03"   /* shl $3,%rcx */
		    "\x48\x8d\x71\x20"); /* lea 0x20(%rcx),%rsi */
	assert_true(state.registers[RSI].known);
	assert_int_equal(state.registers[RSI].is.shift, 3);
	assert_int_equal(state.registers[RSI].is.displacement, 0x20);
	RUN(&state, "\x48\xd1\xe1"); /* shl %rcx: 16 times is more than can be said */
	assert_false(state.registers[RCX].known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_emulated),
		cmocka_unit_test(test_single_stepped),
		cmocka_unit_test(test_refused_by_the_kernel),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_whereabouts),
		cmocka_unit_test(test_below_the_stack_pointer),
		cmocka_unit_test(test_calls_and_unknown_stores),
		cmocka_unit_test(test_halves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
