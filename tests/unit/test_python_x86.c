// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What accessor functions return, in each form that compilers give them. */
#include "support.h"
#include "base/cleanup.h"
#include "python/x86.h"
#include <elf.h>
#include <string.h>

#define CODE 0x1000
#define GOT  0x2000

struct program {
	struct image image;
	struct image_segment segment;
	struct image_symbol symbol;
	struct image_relocation relocation;
	uint8_t code[64];
};

/* A file with CODE, a symbol `data` at 0x3000 and one relocation at GOT. */
static void program_init(struct program *program, const char *code, size_t size, uint32_t type)
{
	memset(program, 0, sizeof(*program));
	memcpy(program->code, code, size);
	program->segment = (struct image_segment){
		.address = CODE,
		.memory_size = sizeof(program->code),
		.file_size = sizeof(program->code),
		.executable = true,
	};
	program->symbol = (struct image_symbol){.name = "data", .address = 0x3000, .global = true};
	program->relocation = (struct image_relocation){
		.address = GOT,
		.type = type,
		.symbol = type == R_X86_64_GLOB_DAT ? "data" : "",
		.addend = type == R_X86_64_RELATIVE ? 0x3008 : 0,
	};
	program->image = (struct image){
		.path = "fake",
		.data = program->code,
		.size = sizeof(program->code),
		.segments = &program->segment,
		.segment_count = 1,
		.symbols = &program->symbol,
		.symbol_count = 1,
		.relocations = &program->relocation,
		.relocation_count = type ? 1 : 0,
	};
}

static void returns(const char *code, size_t size, uint32_t relocation, enum x86_kind kind,
		    bool loaded, uint64_t address, int64_t displacement)
{
	struct program program;
	struct x86_value value;

	program_init(&program, code, size, relocation);
	assert_true(x86_returned(&program.image, CODE, &value));
	assert_int_equal(value.kind, kind);
	assert_int_equal(value.loaded, loaded);
	assert_int_equal(value.address, address);
	assert_int_equal(value.displacement, displacement);
}

static void returns_nothing(const char *code, size_t size, uint32_t relocation)
{
	struct program program;
	struct x86_value value;

	program_init(&program, code, size, relocation);
	assert_false(x86_returned(&program.image, CODE, &value));
}

#define RETURNS(code, ...)         returns(code, sizeof(code) - 1, __VA_ARGS__)
#define RETURNS_NOTHING(code, ...) returns_nothing(code, sizeof(code) - 1, __VA_ARGS__)

static void test_memory(void **state)
{
	(void)state;
	/* mov 0x1ff9(%rip),%rax; ret: a word at 0x3000 */
	RETURNS("\x48\x8b\x05\xf9\x1f\x00\x00\xc3", 0, X86_ADDRESS, true, 0x3000, 0);
	/* endbr64; the same; test %rax,%rax; je */
	RETURNS("\xf3\x0f\x1e\xfa\x48\x8b\x05\xf5\x1f\x00\x00\x48\x85\xc0\x74\x01\xc3", 0,
		X86_ADDRESS, true, 0x3000, 0);
	/* mov GOT(%rip),%rax; mov 0x240(%rax),%rax; ret */
	RETURNS("\x48\x8b\x05\xf9\x0f\x00\x00\x48\x8b\x80\x40\x02\x00\x00\xc3", R_X86_64_GLOB_DAT,
		X86_ADDRESS, true, 0x3240, 0);
	RETURNS("\x48\x8b\x05\xf9\x0f\x00\x00\x48\x8b\x80\x40\x02\x00\x00\xc3", R_X86_64_RELATIVE,
		X86_ADDRESS, true, 0x3248, 0);
	/* lea data(%rip),%rax; mov $0x3000,%eax */
	RETURNS("\x48\x8d\x05\xf9\x1f\x00\x00\xc3", 0, X86_ADDRESS, false, 0x3000, 0);
	RETURNS("\xb8\x00\x30\x00\x00\xc3", 0, X86_ADDRESS, false, 0x3000, 0);
	/* push %rbx; lea data(%rip),%rbx; call; mov %rbx,%rax; pop %rbx; ret */
	RETURNS("\x53\x48\x8d\x1d\xf8\x1f\x00\x00\xe8\x00\x00\x00\x00\x48\x89\xd8\x5b\xc3", 0,
		X86_ADDRESS, false, 0x3000, 0);
	/* jmp over a byte that is none of it */
	RETURNS("\xeb\x01\xcc\x48\x8b\x05\xf6\x1f\x00\x00\xc3", 0, X86_ADDRESS, true, 0x3000, 0);
}

static void test_tls(void **state)
{
	(void)state;
	/* mov %fs:-0x18,%rax; ret */
	RETURNS("\x64\x48\x8b\x04\x25\xe8\xff\xff\xff\xc3", 0, X86_TLS, true, 0, -0x18);
	/* mov %fs:0,%rax; mov -0x18(%rax),%rax; ret */
	RETURNS("\x64\x48\x8b\x04\x25\x00\x00\x00\x00\x48\x8b\x40\xe8\xc3", 0, X86_TLS, true, 0,
		-0x18);
	/* Initial exec: mov GOT(%rip),%rax; mov %fs:(%rax),%rax; ret */
	RETURNS("\x48\x8b\x05\xf9\x0f\x00\x00\x64\x48\x8b\x00\xc3", R_X86_64_TPOFF64, X86_TLS_SLOT,
		true, GOT, 0);
	/* mov %fs:0,%rax; add GOT(%rip),%rax; mov (%rax),%rax; ret */
	RETURNS("\x64\x48\x8b\x04\x25\x00\x00\x00\x00\x48\x03\x05\xf0\x0f\x00\x00\x48\x8b\x00\xc3",
		R_X86_64_TPOFF64, X86_TLS_SLOT, true, GOT, 0);
	/*
	 * General dynamic: data16 lea GOT(%rip),%rdi; data16 data16 rex.W call; mov (%rax),%rax;
	 * ret
	 */
	RETURNS("\x66\x48\x8d\x3d\xf8\x0f\x00\x00\x66\x66\x48\xe8\x00\x00\x00\x00\x48\x8b\x00\xc3",
		R_X86_64_DTPMOD64, X86_TLS_MODULE, true, GOT, 0);
	/* Local dynamic: lea; call; mov 0x28(%rax),%rax; ret */
	RETURNS("\x48\x8d\x3d\xf9\x0f\x00\x00\xe8\x00\x00\x00\x00\x48\x8b\x40\x28\xc3",
		R_X86_64_DTPMOD64, X86_TLS_MODULE, true, GOT, 0x28);
	/* Descriptor: lea GOT(%rip),%rax; call *(%rax); mov %fs:(%rax),%rax; ret */
	RETURNS("\x48\x8d\x05\xf9\x0f\x00\x00\xff\x10\x64\x48\x8b\x00\xc3", R_X86_64_TLSDESC,
		X86_TLS_DESCRIPTOR, true, GOT, 0);
	/* call *(%rax); add %fs:0,%rax; mov (%rax),%rax; ret */
	RETURNS("\x48\x8d\x05\xf9\x0f\x00\x00\xff\x10\x64\x48\x03\x04\x25\x00\x00\x00\x00"
		"\x48\x8b\x00\xc3",
		R_X86_64_TLSDESC, X86_TLS_DESCRIPTOR, true, GOT, 0);
}

static void test_refused(void **state)
{
	(void)state;
	/* xor %eax,%eax; ret; mov (%rdi),%rax; ret; a call's result; half of a word */
	RETURNS_NOTHING("\x31\xc0\xc3", 0);
	RETURNS_NOTHING("\x48\x8b\x07\xc3", 0);
	RETURNS_NOTHING("\xe8\x00\x00\x00\x00\xc3", 0);
	RETURNS_NOTHING("\x8b\x05\xfa\x1f\x00\x00\xc3", 0);
	/* mov data(%rip),%rax; add $1,%rax; ret: some sum */
	RETURNS_NOTHING("\x48\x8b\x05\xf9\x1f\x00\x00\x48\x83\xc0\x01\xc3", 0);
	/* A call clobbers rax. */
	RETURNS_NOTHING("\x48\x8b\x05\xf9\x1f\x00\x00\xe8\x00\x00\x00\x00\xc3", 0);
	/* Around and around; into nothing; through a register; no instruction */
	RETURNS_NOTHING("\xeb\xfe", 0);
	RETURNS_NOTHING("\xe9\x00\x00\x00\x10", 0);
	RETURNS_NOTHING("\xff\xe0", 0);
	RETURNS_NOTHING("\x0f\x0b\x06\x07", 0);
}

/* Whatever the code is: an end, and no read outside of it. */
static void test_random(void **state)
{
	static const uint32_t types[] = {0, R_X86_64_GLOB_DAT, R_X86_64_TPOFF64, R_X86_64_DTPMOD64};
	unsigned seed = 1, i, j;

	(void)state;
	for (i = 0; i < 20000; i++) {
		struct program program;
		struct x86_value value;
		char code[64];

		for (j = 0; j < sizeof(code); j++)
			code[j] = (char)rand_r(&seed);
		program_init(&program, code, sizeof(code), types[i % array_size(types)]);
		x86_returned(&program.image, CODE + i % 70, &value);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("accessor functions", tests, NULL, NULL);
}
