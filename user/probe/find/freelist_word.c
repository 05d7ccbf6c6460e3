// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Finds the word that says whether new objects are to be told of, and the tests of it.
 */
#include "probe/find/freelist_word.h"

#include "probe/code/imports.h"
#include "probe/code/operands.h"
#include "probe/code/paths.h"

/* Offset of tracing in struct _PyTraceMalloc_Config (Include/internal/pycore_pymem.h), 3.8 on. */
#define CONFIG_TRACING 4
/* Instructions from a function's beginning, or from a load of the word, to the test. */
#define TEST_MAX 24

/* A walk from where the word is loaded, or its owner, to the conditional jump that tests it. */
struct test {
	const struct freelist_word *word;
	uint16_t loaded, owners; /* registers that hold the word, its owner's content */
	bool tests;              /* the flags say whether it is zero */
};

static bool test_is_word(const struct test *test, const struct x86_operand *operand)
{
	return operand_is_absolute(operand, test->word->address) ||
	       operand_is_behind(operand, test->owners, test->word->distance);
}

static void test_step(struct test *test, const struct x86_instruction *instruction)
{
	const struct x86_operand *to = &instruction->operands[0], *from = &instruction->operands[1];
	bool word = false, owner = false;

	if (instruction->kind == X86_TEST)
		test->tests = operand_in(test->loaded, to) && operand_in(test->loaded, from);
	else if (instruction->kind == X86_COMPARE)
		test->tests = test_is_word(test, to) && operand_is_immediate(from, 0);
	else if (instruction->writes_flags)
		test->tests = false;
	if (instruction->kind == X86_MOVE && to->kind == X86_REGISTER && to->number != X86_NONE) {
		word = test_is_word(test, from) || operand_in(test->loaded, from);
		owner = operand_is_absolute(from, test->word->owner) ||
			operand_in(test->owners, from);
	}
	test->loaded &= ~instruction->writes;
	test->owners &= ~instruction->writes;
	if (word)
		test->loaded |= 1u << to->number;
	if (owner)
		test->owners |= 1u << to->number;
}

bool freelist_test_find(struct listing *listing, const struct freelist_word *word, uint64_t address,
			uint16_t owners, struct x86_instruction *ret)
{
	struct test test = {.word = word, .owners = owners};

	for (unsigned i = 0; i < TEST_MAX && listing_decode(listing, address, ret); i++) {
		if (ret->kind == X86_BRANCH)
			return test.tests && (ret->tests_equal || ret->tests_unequal);
		if (instruction_is_call(ret) || (!path_flows(ret) && ret->kind != X86_JUMP))
			return false;
		test_step(&test, ret);
		address = ret->kind == X86_JUMP ? ret->target : address + ret->length;
	}
	return false;
}

/* Where OPERAND is read from, in terms of the words that REGISTERS were loaded from. */
static struct freelist_word word_at(const struct freelist_word *registers,
				    const struct x86_operand *operand)
{
	static const struct freelist_word none;

	if (operand->kind == X86_REGISTER && operand->number != X86_NONE)
		return registers[operand->number];
	if (operand->kind != X86_MEMORY || operand->index != X86_NONE || operand->segment)
		return none;
	if (operand->base == X86_NONE)
		return (struct freelist_word){.address = operand->constant};
	if (!registers[operand->base].address)
		return none;
	return (struct freelist_word){.owner = registers[operand->base].address,
				      .distance = operand->constant};
}

/* What _Py_NewReference() at ADDRESS tests first. */
static void word_read(const struct image *image, uint64_t address, struct freelist_word *ret)
{
	struct freelist_word registers[X86_REGISTERS] = {0}, found;
	struct x86_instruction instruction;

	for (unsigned i = 0; i < TEST_MAX; i++) {
		const struct x86_operand *to = &instruction.operands[0];
		const uint8_t *bytes = image_bytes(image, address, X86_LENGTH_MAX);

		if (!bytes || !x86_decode(bytes, X86_LENGTH_MAX, address, &instruction) ||
		    instruction.kind == X86_CALL ||
		    (!path_flows(&instruction) && instruction.kind != X86_JUMP))
			return;
		address = instruction.kind == X86_JUMP ? instruction.target
						       : address + instruction.length;
		if (instruction.kind == X86_TEST ||
		    (instruction.kind == X86_COMPARE &&
		     operand_is_immediate(&instruction.operands[1], 0))) {
			*ret = word_at(registers, to);
			return;
		}
		found = word_at(registers, &instruction.operands[1]);
		for (unsigned j = 0; j < X86_REGISTERS; j++) {
			if (instruction.writes >> j & 1)
				registers[j] = (struct freelist_word){0};
		}
		if (instruction.kind == X86_MOVE && to->kind == X86_REGISTER &&
		    to->number != X86_NONE)
			registers[to->number] = found;
	}
}

/* The word itself, if it is known what the loader makes of its owner. */
static void word_resolve(const struct image *image, struct freelist_word *word)
{
	const struct image_relocation *relocation = image_relocation_from(image, word->owner);
	const struct image_symbol *symbol;

	if (!word->owner || !relocation || relocation->address != word->owner)
		return;
	symbol = image_symbol(image, relocation->symbol);
	if (symbol)
		word->address = symbol->address + relocation->addend + word->distance;
}

void freelist_word_find(const struct image *image, uint32_t version, struct freelist_word *ret)
{
	const struct image_symbol *function = image_symbol(image, "_Py_NewReference");
	const struct image_symbol *config = image_symbol(image, "_Py_tracemalloc_config");
	struct imports owners = {.count = 0};

	*ret = (struct freelist_word){0};
	if (version < FREELIST_VERSION_FIRST)
		return;
	if (function)
		word_read(image, function->address, ret);
	word_resolve(image, ret);
	if (function || !config)
		return;
	imports_add(&owners, image, "_Py_tracemalloc_config", 0);
	ret->address = config->address + CONFIG_TRACING;
	ret->owner = owners.count ? owners.slots[0].slot : 0;
	ret->distance = CONFIG_TRACING;
}
