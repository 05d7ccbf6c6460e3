// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe_fake.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

/*
 * `at NAME` is a label, fake_NAME; `function NAME` one that begins a function. Tables, slots and the
 * PLT are at the addresses that the header gives.
 */
__asm__(".pushsection .rodata.fake, \"a\"\n"
	".p2align 4\n"
	".global fake_text\n"
	"fake_text:\n"

	".set plt, fake_text + 0x100000\n"
	".set plt_malloc, plt\n"
	".set plt_calloc, plt + 16\n"
	".set plt_realloc, plt + 32\n"
	".set plt_free, plt + 48\n"
	".set raw, 0x600100\n"
	".set mem, 0x600140\n"
	".set obj, 0x600180\n"
	".set obj_malloc, fake_obj_malloc - fake_text + 0x400000\n"
	".set obj_calloc, fake_obj_calloc - fake_text + 0x400000\n"
	".set obj_realloc, fake_obj_realloc - fake_text + 0x400000\n"
	".set obj_free, fake_obj_free - fake_text + 0x400000\n"
	".set raw_malloc, fake_raw_malloc - fake_text + 0x400000\n"
	".set raw_calloc, fake_raw_calloc - fake_text + 0x400000\n"
	".set raw_free, fake_raw_free - fake_text + 0x400000\n"

	".macro at name\n"
	".global fake_\\name\n"
	"fake_\\name:\n"
	".endm\n"
	".macro function name\n"
	".p2align 4, 0x90\n"
	"at \\name\n"
	".endm\n"

	/* The implementations. */
	"function obj_malloc\n"
	"endbr64\n"
	"lea -1(%rsi), %rax\n"
	"sub $0x18, %rsp\n"
	"cmp $0x1ff, %rax\n"
	"at obj_malloc_site\n"
	"ja 1f\n"
	"lea -1(%rsi), %edi\n"
	"call fake_refill\n"
	"add $0x18, %rsp\n"
	"ret\n"
	"1: mov raw + 8, %rax\n"
	"cmp $raw_malloc, %rax\n"
	"at obj_malloc_raw\n"
	"jne 2f\n"
	"mov %rsi, %rdi\n"
	"at obj_malloc_call\n"
	"call plt_malloc\n"
	"at obj_malloc_returns\n"
	"test %rax, %rax\n"
	"at obj_malloc_result\n"
	"je 3f\n"
	"incq 0x600f00\n"
	"3: add $0x18, %rsp\n"
	"ret\n"
	"2: mov raw, %rdi\n"
	"call *%rax\n"
	"jmp 3b\n"

	"function obj_calloc\n"
	"mov %rsi, %rbx\n"
	"xor %esi, %esi\n"
	"at obj_calloc_site\n"
	"push %r12\n"
	"pop %r12\n"
	"ret\n"

	"function obj_realloc\n"
	"mov %rdi, %rax\n"
	"at obj_realloc_site\n"
	"call fake_other\n"
	"mov %rbx, %rdi\n"
	"at obj_realloc_tail\n"
	"jmp plt_realloc\n" /* no raw guard before it: not the raw domain's */

	"function obj_free\n"
	"test %rsi, %rsi\n"
	"at obj_free_site\n"
	"je 1f\n"
	"1: ret\n"

	"function raw_malloc\n"
	"test %rsi, %rsi\n"
	"mov $1, %eax\n"
	"cmovne %rsi, %rax\n"
	"mov %rax, %rdi\n"
	"at raw_malloc_tail\n"
	"jmp plt_malloc\n"

	"function raw_calloc\n"
	"mov %rsi, %rdi\n"
	"mov %rdx, %rsi\n"
	"test %rdi, %rdi\n"
	"je 1f\n"
	"test %rdx, %rdx\n"
	"je 1f\n"
	"at raw_calloc_tail\n"
	"jmp plt_calloc\n"
	"nopl (%rax)\n"
	"1: mov $1, %esi\n"
	"mov $1, %edi\n"
	"at raw_calloc_tail_2\n"
	"jmp plt_calloc\n"

	"function raw_realloc\n"
	"mov %rsi, %rdi\n"
	"mov %rdx, %rsi\n"
	"at raw_realloc_tail\n"
	"jmp plt_realloc\n"

	"function raw_free\n"
	"mov %rsi, %rdi\n"
	"at raw_free_tail\n"
	"jmp plt_free\n"

	"function refill\n"
	"endbr64\n"
	"at refill_site\n"
	"push %rbx\n"
	"mov 0x600f08, %rbx\n"
	"test %rbx, %rbx\n"
	"je 1f\n"
	"mov 0x10(%rbx), %eax\n"
	"mov 0x18(%rbx), %rax\n"
	"1: pop %rbx\n"
	"ret\n"

	"function other\n"
	"ret\n"

	/* The exported functions. */
	"function PyMem_RawMalloc\n"
	"mov %rdi, %rsi\n"
	"mov raw, %rdi\n"
	"jmp *(raw + 8)\n"
	"function PyMem_RawRealloc\n"
	"mov raw + 24, %rax\n"
	"mov raw, %rdi\n"
	"jmp *%rax\n"
	"function PyMem_Malloc\n"
	"mov %rdi, %rsi\n"
	"mov mem + 8, %rax\n"
	"mov mem, %rdi\n"
	"jmp *%rax\n"
	"function PyObject_Malloc\n"
	"mov %rdi, %rsi\n"
	"mov obj, %rdi\n"
	"jmp *(obj + 8)\n"

	/* Guards. */
	".macro guard name, jump=jne\n"
	"function \\name\n"
	"mov obj + 8, %rax\n"
	"cmp $obj_malloc, %rax\n"
	"at \\name\\()_jump\n"
	"\\jump 1f\n"
	".endm\n"
	/* The fast path, then the slow edge's label. */
	".macro fast\n"
	"call fake_other\n"
	"ret\n"
	"1: mov obj, %rdi\n"
	".endm\n"

	"guard g_register\n"
	"fast\n"
	"mov %rbx, %rsi\n"
	"call *%rax\n"
	"ret\n"

	"guard g_equal, je\n"
	"mov $0x40, %esi\n"
	"call *%rax\n"
	"ret\n"
	"1: call fake_other\n"
	"ret\n"

	"function g_between\n"
	"mov obj + 8, %rax\n"
	"cmp $obj_malloc, %rax\n"
	"lea 7(%r12), %rsi\n"
	"mov %rax, %rcx\n"
	"at g_between_jump\n"
	"jne 1f\n"
	"fast\n"
	"call *%rcx\n"
	"ret\n"

	"function g_memory\n"
	"cmpq $obj_malloc, obj + 8\n"
	"at g_memory_jump\n"
	"jne 1f\n"
	"fast\n"
	"mov %r15, %rsi\n"
	"call *(obj + 8)\n"
	"ret\n"

	"function g_lea\n"
	"lea fake_obj_malloc(%rip), %rdx\n"
	"push %rbx\n"
	"mov obj + 8, %rax\n"
	"nop\n"
	"cmp %rdx, %rax\n"
	"at g_lea_jump\n"
	"jne 1f\n"
	"fast\n"
	"mov %r13, %rsi\n"
	"call *%rax\n"
	"ret\n"

	"function g_swapped\n"
	"lea fake_obj_malloc(%rip), %rdx\n"
	"mov obj + 8, %rax\n"
	"cmp %rax, %rdx\n"
	"at g_swapped_jump\n"
	"jne 1f\n"
	"fast\n"
	"mov %r13, %rsi\n"
	"call *%rax\n"
	"ret\n"

	"function g_kept\n" /* one address, two compares, a call between */
	"lea fake_obj_malloc(%rip), %rbx\n"
	"cmp %rbx, obj + 8\n"
	"at g_kept_jump\n"
	"jne 1f\n"
	"3: call fake_other\n"
	"mov obj + 8, %rax\n"
	"cmp %rbx, %rax\n"
	"at g_kept_jump_2\n"
	"jne 2f\n"
	"ret\n"
	"1: mov $1, %esi\n"
	"call *(obj + 8)\n"
	"jmp 3b\n"
	"2: mov $2, %esi\n"
	"call *%rax\n"
	"ret\n"

	"guard g_stack\n"
	"fast\n"
	"mov 8(%rsp), %rsi\n"
	"call *%rax\n"
	"ret\n"

	"guard g_push\n"
	"fast\n"
	"push %rcx\n"
	"sub $8, %rsp\n"
	"mov 0x18(%rsp), %rsi\n"
	"call *%rax\n"
	"ret\n"

	"guard g_scaled\n"
	"fast\n"
	"lea 0(,%r14,4), %rsi\n"
	"call *%rax\n"
	"ret\n"

	"guard g_chain\n"
	"fast\n"
	"mov %rbp, %rdx\n"
	"add $0x10, %rdx\n"
	"mov %rdx, %rsi\n"
	"call *%rax\n"
	"ret\n"

	"guard g_frame\n" /* a spill in between, in a function with a frame pointer */
	"fast\n"
	"mov %r9, -0x60(%rbp)\n"
	"mov -0x38(%rbp), %rsi\n"
	"call *%rax\n"
	"ret\n"

	"guard g_stored\n"
	"fast\n"
	"mov %rcx, 8(%rsp)\n"
	"mov 8(%rsp), %rsi\n"
	"call *%rax\n"
	"ret\n"

	"guard g_jump\n"
	"fast\n"
	"jmp 2f\n"
	"ud2\n"
	"2: mov %rbx, %rsi\n"
	"call *%rax\n"
	"ret\n"

	"guard g_tail\n"
	"fast\n"
	"mov %rbx, %rsi\n"
	"pop %rbx\n"
	"jmp *%rax\n"

	"function g_calloc\n"
	"mov mem + 16, %rax\n"
	"cmp $obj_calloc, %rax\n"
	"at g_calloc_jump\n"
	"jne 1f\n"
	"fast\n"
	"mov $1, %esi\n"
	"mov %rbp, %rdx\n"
	"call *%rax\n"
	"ret\n"

	"function g_realloc\n"
	"mov obj + 24, %rax\n"
	"cmp $obj_realloc, %rax\n"
	"at g_realloc_jump\n"
	"jne 1f\n"
	"fast\n"
	"mov %rbx, %rsi\n"
	"mov %r12, %rdx\n"
	"call *%rax\n"
	"ret\n"

	"function g_free\n"
	"mov obj + 32, %rax\n"
	"cmp $obj_free, %rax\n"
	"at g_free_jump\n"
	"jne 1f\n"
	"fast\n"
	"xor %esi, %esi\n"
	"jmp *%rax\n"

	/* A copy of malloc without a guard, and one behind a guard. */
	"guard refills\n"
	"at refills_call\n"
	"call fake_refill\n"
	"ret\n"
	"1: mov %rbx, %rsi\n"
	"call *%rax\n"
	"ret\n"
	"function refills_bare\n"
	"test %rdi, %rdi\n"
	"je 1f\n"
	"at refills_bare_call\n"
	"call fake_refill\n"
	"1: ret\n"

	/* Compares that are no guards. */
	"function n_set\n"
	"mov obj + 8, %rax\n"
	"cmp $obj_malloc, %rax\n"
	"sete %al\n"
	"ret\n"
	"guard n_nothing\n"
	"ret\n"
	"1: xor %eax, %eax\n"
	"ret\n"
	"guard n_register\n"
	"fast\n"
	"mov %rbx, %rsi\n"
	"call *%rcx\n"
	"ret\n"
	"guard n_call\n"
	"fast\n"
	"call fake_other\n"
	"call *%rax\n"
	"ret\n"
	"function n_flags\n"
	"mov obj + 8, %rax\n"
	"cmp $obj_malloc, %rax\n"
	"add $1, %rdx\n"
	"jne 1f\n"
	"fast\n"
	"mov %rbx, %rsi\n"
	"call *%rax\n"
	"ret\n"
	/* Guards whose argument cannot be said. */
	"guard u_half\n"
	"fast\n"
	"mov %ebx, %esi\n"
	"call *%rax\n"
	"ret\n"
	"guard u_product\n"
	"fast\n"
	"imul $24, %rbx, %rsi\n"
	"call *%rax\n"
	"ret\n"

	/* The raw domain. */
	".macro raw_guard name\n"
	"function \\name\n"
	"mov raw + 8, %rax\n"
	"cmp $raw_malloc, %rax\n"
	"at \\name\\()_jump\n"
	"jne 1f\n"
	".endm\n"
	".macro raw_slow\n"
	"1: mov raw, %rdi\n"
	"mov %rbx, %rsi\n"
	"call *%rax\n"
	".endm\n"

	"raw_guard r_call\n"
	"mov %rbx, %rdi\n"
	"at r_call_call\n"
	"call plt_malloc\n"
	"at r_call_returns\n"
	"mov %rax, %rbp\n"
	"test %rax, %rax\n"
	"at r_call_result\n"
	"je 2f\n"
	"2: ret\n"
	"raw_slow\n"
	"at r_call_slow\n"
	"mov %rax, %rbp\n"
	"at r_call_slow_result\n"
	"jmp 2b\n"

	"raw_guard r_jump\n" /* the return is followed by a jump */
	"mov %rbx, %rdi\n"
	"call plt_malloc\n"
	"at r_jump_returns\n"
	"mov %rax, 0x10(%rsp)\n"
	"mov $0, %eax\n"
	"at r_jump_result\n"
	"jmp 2f\n"
	"ud2\n"
	"2: ret\n"
	"raw_slow\n"
	"jmp 2b\n"

	"raw_guard r_single\n" /* nothing emulated behind it */
	"mov %rbx, %rdi\n"
	"call plt_malloc\n"
	"at r_single_returns\n"
	"add $8, %rsp\n"
	"ret\n"
	"raw_slow\n"
	"add $8, %rsp\n"
	"ret\n"

	"raw_guard r_pop\n" /* the stack pointer moves before */
	"mov %rbx, %rdi\n"
	"call plt_malloc\n"
	"at r_pop_returns\n"
	"mov %rax, %rbx\n"
	"add $0x10, %rsp\n"
	"test %rbx, %rbx\n"
	"at r_pop_result\n"
	"jne 2f\n"
	"2: ret\n"
	"raw_slow\n"
	"ret\n"

	/* pymalloc's fast path comes to the same test: the return itself is probed. */
	"guard r_hot\n"
	"mov 0x600f10(,%rcx,8), %rdx\n"
	"cmp $0x200, %rbx\n"
	"ja 3f\n"
	"mov (%rdx), %rax\n"
	"4: test %rax, %rax\n"
	"at r_hot_test\n"
	"je 2f\n"
	"2: ret\n"
	"3: mov raw + 8, %rax\n"
	"cmp $raw_malloc, %rax\n"
	"jne 5f\n"
	"mov %rbx, %rdi\n"
	"call plt_malloc\n"
	"at r_hot_returns\n"
	"incq 0x600f00\n"
	"at r_hot_result\n"
	"jmp 4b\n"
	"5: mov raw, %rdi\n"
	"mov %rbx, %rsi\n"
	"call *%rax\n"
	"jmp 4b\n"
	"1: mov %rbx, %rsi\n"
	"call *%rax\n"
	"jmp 4b\n"

	"guard r_falls\n" /* the same, and the return falls into the test */
	"mov 0x600f10(,%rcx,8), %rdx\n"
	"cmp $0x200, %rbx\n"
	"ja 3f\n"
	"mov (%rdx), %rax\n"
	"jmp 4f\n"
	"3: mov raw + 8, %rax\n"
	"cmp $raw_malloc, %rax\n"
	"jne 5f\n"
	"mov %rbx, %rdi\n"
	"call plt_malloc\n"
	"at r_falls_returns\n"
	"incq 0x600f00\n"
	"4: test %rax, %rax\n"
	"at r_falls_test\n"
	"je 2f\n"
	"2: ret\n"
	"5: mov raw, %rdi\n"
	"mov %rbx, %rsi\n"
	"call *%rax\n"
	"jmp 4b\n"
	"1: mov %rbx, %rsi\n"
	"call *%rax\n"
	"jmp 4b\n"

	"function r_free\n"
	"mov raw + 32, %rax\n"
	"cmp $raw_free, %rax\n"
	"at r_free_jump\n"
	"jne 1f\n"
	"at r_free_tail\n"
	"jmp plt_free\n"
	"1: mov %rdi, %rsi\n"
	"mov raw, %rdi\n"
	"jmp *%rax\n"

	"raw_guard r_mixed\n" /* code of somebody else's flows into the call */
	"2: mov %rbx, %rdi\n"
	"at r_mixed_call\n"
	"call plt_malloc\n"
	"test %rax, %rax\n"
	"je 3f\n"
	"3: ret\n"
	"raw_slow\n"
	"ret\n"
	"function r_mixing\n"
	"call fake_other\n"
	"jmp 2b\n"

	"raw_guard r_lost\n"
	"ret\n"
	"raw_slow\n"
	"ret\n"

	/* Callers of functions that leave by a tail jump. */
	"function c_raw\n"
	"call fake_PyMem_RawMalloc\n"
	"at c_raw_returns\n"
	"mov %rax, (%rbx)\n"
	"test %rax, %rax\n"
	"at c_raw_result\n"
	"jne 1f\n"
	"1: ret\n"
	"function c_obj\n"
	"call fake_PyObject_Malloc\n"
	"at c_obj_returns\n"
	"test %rax, %rax\n"
	"at c_obj_result\n"
	"jne 1f\n"
	"1: ret\n"
	"function c_slot\n"
	"call *(mem + 24)\n"
	"at c_slot_returns\n"
	"test %rax, %rax\n"
	"at c_slot_result\n"
	"jne 1f\n"
	"1: ret\n"
	"function c_wrapper\n" /* leaves by a tail jump itself */
	"add $8, %rdi\n"
	"jmp fake_PyMem_RawMalloc\n"
	"function c_wrapped\n"
	"call fake_c_wrapper\n"
	"at c_wrapped_returns\n"
	"mov %rax, %rbx\n"
	"at c_wrapped_result\n"
	"call fake_other\n"
	"ret\n"

	/* A hook, and what it calls. */
	"function h_hook\n"
	"mov %rdi, %rbx\n"
	"mov (%rbx), %rdi\n"
	"call *0x8(%rbx)\n"
	"at h_hook_returns\n"
	"test %rax, %rax\n"
	"at h_hook_result\n"
	"je 1f\n"
	"call fake_h_inner\n"
	"1: ret\n"
	"function h_inner\n"
	"mov 0x18(%rbx), %rax\n"
	"call *%rax\n"
	"at h_inner_returns\n"
	"mov %rax, %rbp\n"
	"at h_inner_result\n"
	"push %rbp\n"
	"pop %rbp\n"
	"ret\n"

	"function end\n"
	"ret\n"
	".global fake_text_end\n"
	"fake_text_end:\n"
	".popsection\n");

static const char *const function_names[] = {"obj_malloc",      "obj_calloc",       "obj_realloc",
					     "obj_free",        "raw_malloc",       "raw_calloc",
					     "raw_realloc",     "raw_free",         "refill",
					     "PyMem_RawMalloc", "PyMem_RawRealloc", "PyMem_Malloc",
					     "PyObject_Malloc", "c_wrapper",        "end"};

static void section_set(struct image_section *section, const char *name, uint64_t address,
			uint64_t size, const uint8_t *data, uint64_t flags)
{
	*section = (struct image_section){.name = name,
					  .address = address,
					  .size = size,
					  .offset = address - FAKE_TEXT,
					  .data = data,
					  .type = SHT_PROGBITS,
					  .flags = flags | SHF_ALLOC};
}

static uint8_t *fake_bytes(struct fake *fake, uint64_t address)
{
	return fake->file + (address - FAKE_TEXT);
}

void fake_word(struct fake *fake, uint64_t address, uint64_t word)
{
	memcpy(fake_bytes(fake, address), &word, sizeof(word));
}

static void table_set(struct fake *fake, uint64_t address, bool raw)
{
	const uint64_t object[4] = {FAKE(obj_malloc), FAKE(obj_calloc), FAKE(obj_realloc),
				    FAKE(obj_free)};
	const uint64_t plain[4] = {FAKE(raw_malloc), FAKE(raw_calloc), FAKE(raw_realloc),
				   FAKE(raw_free)};

	fake_word(fake, address, 0);
	for (unsigned i = 0; i < 4; i++)
		fake_word(fake, address + 8 + 8 * i, raw ? plain[i] : object[i]);
}

/* `jmp *slot`, an entry of 16 bytes for each of libc's functions. */
static void plt_set(struct fake *fake)
{
	static const char *const names[] = {"malloc", "calloc", "realloc", "free"};

	for (unsigned i = 0; i < 4; i++) {
		uint32_t slot = FAKE_GOT + 8 * i;
		uint8_t *entry = fake_bytes(fake, FAKE_PLT + 16 * i);

		memset(entry, 0x90, 16);
		memcpy(entry, "\xff\x24\x25", 3);
		memcpy(entry + 3, &slot, sizeof(slot));
		fake->relocations[fake->image.relocation_count++] = (struct image_relocation){
			.address = slot, .type = R_X86_64_JUMP_SLOT, .symbol = names[i]};
	}
}

static void symbol_add(struct fake *fake, const char *name, uint64_t address, uint64_t end)
{
	fake->symbols[fake->image.symbol_count++] = (struct image_symbol){.name = name,
									  .address = address,
									  .size = end - address,
									  .function = true,
									  .global = true};
}

/* In the order of the code, each up to the next: they stand for .eh_frame. */
static void symbols_set(struct fake *fake)
{
	const uint64_t starts[] = {
		FAKE(obj_malloc),      FAKE(obj_calloc),       FAKE(obj_realloc),
		FAKE(obj_free),        FAKE(raw_malloc),       FAKE(raw_calloc),
		FAKE(raw_realloc),     FAKE(raw_free),         FAKE(refill),
		FAKE(PyMem_RawMalloc), FAKE(PyMem_RawRealloc), FAKE(PyMem_Malloc),
		FAKE(PyObject_Malloc), FAKE(c_wrapper),        FAKE(end)};
	const uint64_t ends[] = {FAKE(obj_calloc),       FAKE(obj_realloc),  FAKE(obj_free),
				 FAKE(raw_malloc),       FAKE(raw_calloc),   FAKE(raw_realloc),
				 FAKE(raw_free),         FAKE(refill),       FAKE(other),
				 FAKE(PyMem_RawRealloc), FAKE(PyMem_Malloc), FAKE(PyObject_Malloc),
				 FAKE(g_register),       FAKE(c_wrapped),    FAKE(end) + 1};

	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++)
		symbol_add(fake, function_names[i], starts[i], ends[i]);
}

struct fake *fake_create(void)
{
	struct fake *fake = calloc(1, sizeof(*fake));
	size_t text = fake_text_end - fake_text, size = FAKE_DATA + FAKE_DATA_SIZE - FAKE_TEXT;

	assert_non_null(fake);
	fake->file = calloc(1, size);
	assert_non_null(fake->file);
	memcpy(fake->file, fake_text, text);
	section_set(&fake->sections[0], ".text", FAKE_TEXT, text, fake->file, SHF_EXECINSTR);
	section_set(&fake->sections[1], ".plt", FAKE_PLT, 64, fake_bytes(fake, FAKE_PLT),
		    SHF_EXECINSTR);
	section_set(&fake->sections[2], ".data", FAKE_DATA, FAKE_DATA_SIZE,
		    fake_bytes(fake, FAKE_DATA), SHF_WRITE);
	for (unsigned i = 0; i < 3; i++)
		fake->segments[i] = (struct image_segment){.address = fake->sections[i].address,
							   .memory_size = fake->sections[i].size,
							   .offset = fake->sections[i].offset,
							   .file_size = fake->sections[i].size};
	fake->image = (struct image){.fd = -1,
				     .path = (char *)"made-up",
				     .data = fake->file,
				     .size = size,
				     .segments = fake->segments,
				     .segment_count = 3,
				     .sections = fake->sections,
				     .section_count = 3,
				     .symbols = fake->symbols,
				     .relocations = fake->relocations};
	table_set(fake, FAKE_DATA + 0x20, true);
	table_set(fake, FAKE_DATA + 0x60, false);
	table_set(fake, FAKE_RAW, true);
	table_set(fake, FAKE_MEM, false);
	table_set(fake, FAKE_OBJ, false);
	plt_set(fake);
	symbols_set(fake);
	return fake;
}

void fake_destroy(struct fake *fake)
{
	if (!fake)
		return;
	free(fake->file);
	free(fake);
}
