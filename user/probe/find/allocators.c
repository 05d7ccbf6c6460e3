// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Finds the allocator tables among the words of an image's data, and settles which are live. */
#include "probe/find/allocators.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"

/* How far the raw domain's tables may stand from pymalloc's, bytes. */
#define NEARBY 0x200

struct tuple {
	uint64_t functions[4];
	uint64_t address;
	bool variable; /* the process may write to it: it may be a live table */
};

struct words { /* a section's words, relocated */
	const struct image *image;
	const struct image_section *section;
	size_t relocation; /* the first that is not below the last word asked for */
};

static size_t relocation_first(const struct image *image, uint64_t address)
{
	size_t low = 0;

	for (size_t high = image->relocation_count; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (image->relocations[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The word at ADDRESS; the relocations are passed in step with rising addresses. */
static bool words_get(struct words *words, uint64_t address, uint64_t *ret)
{
	const struct image *image = words->image;

	while (words->relocation < image->relocation_count &&
	       image->relocations[words->relocation].address < address)
		words->relocation++;
	if (words->relocation < image->relocation_count &&
	    image->relocations[words->relocation].address == address) {
		if (image->relocations[words->relocation].type != R_X86_64_RELATIVE)
			return false;
		*ret = image->relocations[words->relocation].addend;
		return true;
	}
	memcpy(ret, words->section->data + (address - words->section->address), sizeof(*ret));
	return true;
}

bool tables_word(const struct image *image, uint64_t address, uint64_t *ret)
{
	const struct image_section *section = image_section_at(image, address);
	struct words words = {image, section, relocation_first(image, address)};

	if (!section || !section->data || section->address + section->size - address < 8)
		return false;
	return words_get(&words, address, ret);
}

/* Where code can be, cheaply: the executable sections but PLTs. */
static bool is_code(const struct image *image, uint64_t address)
{
	const struct image_section *section;

	if (address < 0x1000)
		return false;
	section = image_section_at(image, address);
	return section && section->type == SHT_PROGBITS && (section->flags & SHF_EXECINSTR) &&
	       strncmp(section->name, ".plt", 4) != 0;
}

static int tuple_compare(const void *a, const void *b)
{
	const struct tuple *left = a, *right = b;
	int order = memcmp(left->functions, right->functions, sizeof(left->functions));

	if (order)
		return order;
	return left->address < right->address ? -1 : left->address > right->address;
}

struct span {
	uint64_t low, high;
};

static struct span code_span(const struct image *image)
{
	struct span span = {UINT64_MAX, 0};

	for (size_t i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if (section->type != SHT_PROGBITS || !(section->flags & SHF_EXECINSTR))
			continue;
		if (section->address < span.low)
			span.low = section->address;
		if (section->address + section->size > span.high)
			span.high = section->address + section->size;
	}
	return span;
}

/* Collects the tuples {0, f, g, h, i} of one section. */
static struct error *section_tuples(const struct image *image, const struct image_section *section,
				    struct span span, struct tuple **tuples, size_t *count,
				    size_t *capacity)
{
	uint64_t start = (section->address + 7) & ~7ULL, end = section->address + section->size;
	struct words words = {image, section, relocation_first(image, start)};
	bool variable = image_section_variable(image, section);
	uint64_t recent[TABLE_WORDS] = {0};
	unsigned run = 0; /* how many words before this one name code, behind a zero */

	for (uint64_t address = start; address < end && end - address >= 8; address += 8) {
		uint64_t word;

		if (!words_get(&words, address, &word)) {
			run = 0;
			continue;
		}
		if (!word) {
			run = 1;
			continue;
		}
		if (!run || word < span.low || word >= span.high || !is_code(image, word)) {
			run = 0;
			continue;
		}
		recent[run++] = word;
		if (run < TABLE_WORDS)
			continue;
		run = 0;
		if (recent[1] == recent[2] || recent[1] == recent[3] || recent[1] == recent[4] ||
		    recent[2] == recent[3] || recent[2] == recent[4] || recent[3] == recent[4])
			continue;
		try(array_reserve(tuples, capacity, *count, 1, sizeof(**tuples)));
		memcpy((*tuples)[*count].functions, recent + 1, sizeof((*tuples)->functions));
		(*tuples)[*count].variable = variable;
		(*tuples)[(*count)++].address = address - 32;
	}
	return NULL;
}

static struct error *tuples_collect(const struct image *image, struct tuple **ret,
				    size_t *ret_count)
{
	cleanup_free struct tuple *tuples = NULL;
	struct span span = code_span(image);
	size_t count = 0, capacity = 0;

	for (size_t i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if (section->type != SHT_PROGBITS || !(section->flags & SHF_ALLOC) ||
		    (section->flags & SHF_EXECINSTR) || !section->data)
			continue;
		try(section_tuples(image, section, span, &tuples, &count, &capacity));
	}
	if (count)
		qsort(tuples, count, sizeof(*tuples), tuple_compare);
	*ret = take(tuples);
	*ret_count = count;
	return NULL;
}

struct group { /* equal tuples */
	const struct tuple *first;
	size_t count, variables;
};

static struct group group_at(const struct tuple *tuples, size_t count, size_t first)
{
	struct group group = {.first = &tuples[first]};

	while (first + group.count < count &&
	       !memcmp(tuples[first].functions, tuples[first + group.count].functions,
		       sizeof(tuples[first].functions)))
		group.variables += tuples[first + group.count++].variable;
	return group;
}

static bool groups_near(const struct group *left, const struct group *right)
{
	for (size_t i = 0; i < left->count; i++) {
		for (size_t j = 0; j < right->count && j < TABLES_COPIES_MAX; j++) {
			uint64_t a = left->first[i].address, b = right->first[j].address;

			if (left->first[i].variable && right->first[j].variable &&
			    (a > b ? a - b : b - a) < NEARBY)
				return true;
		}
	}
	return false;
}

static void group_adopt(struct tables *tables, bool raw, const struct group *group)
{
	memcpy(tables->functions[raw], group->first->functions, sizeof(tables->functions[raw]));
	for (size_t i = 0; i < group->count && i < TABLES_COPIES_MAX; i++)
		tables->copies[raw][tables->copy_count[raw]++] = group->first[i].address;
}

/* The live tables by layout: which group each holds at first. */
static bool group_holds(const struct group *group, uint64_t address)
{
	for (size_t i = 0; i < group->count; i++) {
		if (group->first[i].address == address)
			return true;
	}
	return false;
}

static struct error *groups_choose(const struct image *image, const struct tuple *tuples,
				   size_t count, const uint64_t *live, struct tables *tables)
{
	struct group obj = {0}, raw = {0};
	bool tied = false;

	for (size_t i = 0; i < count;) {
		struct group group = group_at(tuples, count, i);

		i += group.count;
		if (live ? group_holds(&group, live[TABLES_OBJ]) : group.variables > obj.variables)
			obj = group, tied = false;
		else if (!live && group.variables == obj.variables)
			tied = true;
	}
	/* The live tables of the mem and obj domains hold it both. */
	if (obj.count < 2 || obj.count > TABLES_COPIES_MAX || tied || (!live && obj.variables < 2))
		return error_create(ERROR_FAILED,
				    "%s: pymalloc's functions cannot be told: no allocator table "
				    "stands out in its data",
				    image->path);
	for (size_t i = 0; i < count;) {
		struct group group = group_at(tuples, count, i);

		i += group.count;
		if (group.first == obj.first)
			continue;
		if (live ? !group_holds(&group, live[TABLES_RAW])
			 : group.count < 2 || !groups_near(&group, &obj))
			continue;
		if (raw.count)
			return error_create(ERROR_FAILED,
					    "%s: the raw domain's functions cannot be told: two "
					    "allocator tables qualify",
					    image->path);
		raw = group;
	}
	if (!raw.count)
		return error_create(ERROR_FAILED,
				    "%s: the raw domain's allocator table was not found",
				    image->path);
	if (live && !group_holds(&obj, live[TABLES_MEM]))
		return error_create(ERROR_FAILED,
				    "%s: the mem and obj allocator tables do not start out alike",
				    image->path);
	group_adopt(tables, false, &obj);
	group_adopt(tables, true, &raw);
	return NULL;
}

static bool is_copy(const struct tables *tables, bool raw, uint64_t address)
{
	for (unsigned i = 0; i < tables->copy_count[raw]; i++) {
		if (tables->copies[raw][i] == address)
			return true;
	}
	return false;
}

/* From 3.12 the live tables stand in _PyRuntime, raw, mem and obj in a row. */
static void runtime_tables(const struct image *image, struct tables *tables)
{
	const struct image_symbol *runtime = image_symbol(image, "_PyRuntime");

	for (unsigned i = 0; runtime && i < tables->copy_count[1]; i++) {
		uint64_t raw = tables->copies[1][i], size = 8 * TABLE_WORDS;

		if (raw < runtime->address || raw - runtime->address >= runtime->size ||
		    !is_copy(tables, false, raw + size) || !is_copy(tables, false, raw + 2 * size))
			continue;
		tables->live[TABLES_RAW] = raw;
		tables->live[TABLES_MEM] = raw + size;
		tables->live[TABLES_OBJ] = raw + 2 * size;
		return;
	}
}

struct error *tables_find(const struct image *image, const uint64_t *live, struct tables *ret)
{
	cleanup_free struct tuple *tuples = NULL;
	struct tables tables = {0};
	size_t count;

	try(tuples_collect(image, &tuples, &count));
	try(groups_choose(image, tuples, count, live, &tables));
	if (live)
		memcpy(tables.live, live, sizeof(tables.live));
	else
		runtime_tables(image, &tables);
	*ret = tables;
	return NULL;
}

bool tables_slot(const struct tables *tables, uint64_t address, unsigned *ret_domain,
		 unsigned *ret_operation)
{
	for (unsigned domain = 0; domain < 3; domain++) {
		uint64_t first = tables->live[domain] + 8;

		if (!tables->live[domain] || address < first || address >= first + 32 ||
		    (address - first) % 8)
			continue;
		*ret_domain = domain;
		*ret_operation = (address - first) / 8;
		return true;
	}
	return false;
}

/*
 * The table that the exported function NAME, which begins at its symbol, loads OPERATION's slot
 * from, among the copies of its kind: the first such load or jump in its first instructions.
 */
static uint64_t function_table(const struct tables *tables, struct listing *listing,
			       const char *name, bool raw, unsigned operation)
{
	const struct image_symbol *symbol = image_symbol(listing->image, name);
	struct x86_instruction instruction;
	uint64_t address;

	if (!symbol)
		return 0;
	address = symbol->address;
	for (unsigned i = 0; i < 40 && listing_decode(listing, address, &instruction); i++) {
		for (unsigned j = 0; j < array_size(instruction.operands); j++) {
			const struct x86_operand *operand = &instruction.operands[j];

			if (operand->kind != X86_MEMORY || operand->base != X86_NONE ||
			    operand->index != X86_NONE || operand->segment)
				continue;
			for (unsigned k = 0; k < tables->copy_count[raw]; k++) {
				uint64_t copy = tables->copies[raw][k];

				if ((uint64_t)operand->constant == copy + 8 + 8 * operation)
					return copy;
			}
		}
		if (instruction.kind == X86_RETURN || instruction.kind == X86_JUMP_INDIRECT ||
		    instruction.kind == X86_STOP)
			return 0;
		address = instruction.kind == X86_JUMP ? instruction.target
						       : address + instruction.length;
	}
	return 0;
}

void tables_settle(struct tables *tables, struct listing *listing)
{
	static const char *const names[3][4] = {
		{"PyMem_RawMalloc", "PyMem_RawCalloc", "PyMem_RawRealloc", "PyMem_RawFree"},
		{"PyMem_Malloc", "PyMem_Calloc", "PyMem_Realloc", "PyMem_Free"},
		{"PyObject_Malloc", "PyObject_Calloc", "PyObject_Realloc", "PyObject_Free"},
	};

	for (unsigned domain = 0; domain < 3; domain++) {
		for (unsigned operation = 0; operation < 4 && !tables->live[domain]; operation++)
			tables->live[domain] = function_table(tables, listing,
							      names[domain][operation],
							      domain == TABLES_RAW, operation);
	}
}
