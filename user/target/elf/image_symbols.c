// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The symbols and relocations of an image, and what they tell: its PLT. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/elf/image_internal.h"

#ifndef SHT_RELR
#define SHT_RELR 19
#endif

/* A string of the section at INDEX, "" if it is none: bounded, NUL-terminated. */
static const char *section_string(const struct image *image, uint32_t index, uint64_t offset)
{
	const struct image_section *section;

	if (index >= image->section_count)
		return "";
	section = &image->sections[index];
	if (!section->data || offset >= section->size ||
	    !memchr(section->data + offset, 0, section->size - offset))
		return "";
	return (const char *)section->data + offset;
}

static int symbol_compare(const void *a, const void *b)
{
	const struct image_symbol *left = a, *right = b;

	if (left->address != right->address)
		return left->address < right->address ? -1 : 1;
	if (left->global != right->global)
		return left->global ? -1 : 1;
	return strcmp(left->name, right->name);
}

static size_t symbols_count(const struct image *image)
{
	size_t count = 0, i;

	for (i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if ((section->type == SHT_DYNSYM || section->type == SHT_SYMTAB) && section->data)
			count += section->size / sizeof(Elf64_Sym);
	}
	return count;
}

static void symbol_add(struct image *image, const struct image_section *section,
		       const Elf64_Sym *raw)
{
	unsigned type = ELF64_ST_TYPE(raw->st_info);
	struct image_symbol symbol = {
		.name = section_string(image, section->link, raw->st_name),
		.address = raw->st_value,
		.size = raw->st_size,
		.function = type == STT_FUNC || type == STT_GNU_IFUNC,
		.global = ELF64_ST_BIND(raw->st_info) != STB_LOCAL,
	};

	if (!*symbol.name || raw->st_shndx == SHN_UNDEF || raw->st_shndx == SHN_ABS)
		return;
	if (type == STT_TLS)
		image->tls_symbols[image->tls_symbol_count++] = symbol;
	else if (type == STT_NOTYPE || type == STT_OBJECT || symbol.function)
		image->symbols[image->symbol_count++] = symbol;
}

struct error *image_symbols_read(struct image *image)
{
	size_t count = symbols_count(image), i, at;

	if (!count)
		return NULL;
	image->symbols = calloc(count, sizeof(*image->symbols));
	image->tls_symbols = calloc(count, sizeof(*image->tls_symbols));
	if (!image->symbols || !image->tls_symbols)
		return image_no_memory(image);
	for (i = 0; i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if ((section->type != SHT_DYNSYM && section->type != SHT_SYMTAB) || !section->data)
			continue;
		for (at = 0; at + sizeof(Elf64_Sym) <= section->size; at += sizeof(Elf64_Sym)) {
			Elf64_Sym symbol;

			memcpy(&symbol, section->data + at, sizeof(symbol));
			symbol_add(image, section, &symbol);
		}
	}
	qsort(image->symbols, image->symbol_count, sizeof(*image->symbols), symbol_compare);
	return NULL;
}

static int relocation_compare(const void *a, const void *b)
{
	const struct image_relocation *left = a, *right = b;

	return (left->address > right->address) - (left->address < right->address);
}

struct relocations {
	struct image_relocation *list;
	size_t count, capacity;
};

static bool relocations_append(struct relocations *relocations,
			       const struct image_relocation *relocation)
{
	if (relocations->count == relocations->capacity) {
		size_t capacity = relocations->capacity ? relocations->capacity * 2 : 4096;
		void *list = reallocarray(relocations->list, capacity, sizeof(*relocation));

		if (!list)
			return false;
		relocations->list = list;
		relocations->capacity = capacity;
	}
	relocations->list[relocations->count++] = *relocation;
	return true;
}

/* The name of symbol INDEX of the symbol table in section LINK. */
static const char *relocation_symbol(const struct image *image, uint32_t link, uint64_t index)
{
	const struct image_section *section;
	Elf64_Sym symbol;

	if (!index || link >= image->section_count)
		return "";
	section = &image->sections[link];
	if ((section->type != SHT_DYNSYM && section->type != SHT_SYMTAB) || !section->data ||
	    index >= section->size / sizeof(symbol))
		return "";
	memcpy(&symbol, section->data + index * sizeof(symbol), sizeof(symbol));
	return section_string(image, section->link, symbol.st_name);
}

static bool rela_read(const struct image *image, const struct image_section *section,
		      struct relocations *relocations)
{
	uint64_t at;

	for (at = 0; at + sizeof(Elf64_Rela) <= section->size; at += sizeof(Elf64_Rela)) {
		struct image_relocation relocation;
		Elf64_Rela raw;

		memcpy(&raw, section->data + at, sizeof(raw));
		relocation.address = raw.r_offset;
		relocation.type = ELF64_R_TYPE(raw.r_info);
		relocation.addend = raw.r_addend;
		relocation.symbol =
			relocation_symbol(image, section->link, ELF64_R_SYM(raw.r_info));
		if (!relocations_append(relocations, &relocation))
			return false;
	}
	return true;
}

/* One relative relocation whose addend stands in the file. True if there is no such word. */
static bool relr_add(const struct image *image, uint64_t address, struct relocations *relocations)
{
	const uint8_t *word = image_bytes(image, address, sizeof(uint64_t));
	struct image_relocation relocation = {
		.address = address,
		.type = R_X86_64_RELATIVE,
		.symbol = "",
	};

	if (!word)
		return true;
	memcpy(&relocation.addend, word, sizeof(relocation.addend));
	return relocations_append(relocations, &relocation);
}

/* System V gABI, SHT_RELR: an address, then bitmaps (low bit set) for the 63 words that follow. */
static bool relr_read(const struct image *image, const struct image_section *section,
		      struct relocations *relocations)
{
	size_t limit = relocations->count + image->size / sizeof(uint64_t);
	uint64_t at, entry, base = 0;

	for (at = 0; at + sizeof(entry) <= section->size; at += sizeof(entry)) {
		unsigned bit;

		memcpy(&entry, section->data + at, sizeof(entry));
		if (!(entry & 1)) {
			if (!relr_add(image, entry, relocations))
				return false;
			base = entry + sizeof(entry);
			continue;
		}
		for (bit = 1; bit < 64; bit++)
			if ((entry >> bit & 1) &&
			    !relr_add(image, base + (bit - 1) * sizeof(entry), relocations))
				return false;
		base += 63 * sizeof(entry);
		/* More words than the file has room for: not a table that a linker wrote. */
		if (relocations->count > limit)
			return true;
	}
	return true;
}

struct error *image_relocations_read(struct image *image)
{
	struct relocations relocations = {0};
	bool ok = true;
	size_t i;

	for (i = 0; ok && i < image->section_count; i++) {
		const struct image_section *section = &image->sections[i];

		if (!(section->flags & SHF_ALLOC) || !section->data)
			continue;
		if (section->type == SHT_RELA)
			ok = rela_read(image, section, &relocations);
		else if (section->type == SHT_RELR)
			ok = relr_read(image, section, &relocations);
	}
	image->relocations = relocations.list;
	image->relocation_count = relocations.count;
	if (!ok)
		return image_no_memory(image);
	if (relocations.count)
		qsort(relocations.list, relocations.count, sizeof(*relocations.list),
		      relocation_compare);
	return NULL;
}

const struct image_symbol *image_symbol(const struct image *image, const char *name)
{
	const struct image_symbol *local = NULL;
	size_t i;

	for (i = 0; i < image->symbol_count; i++) {
		if (strcmp(image->symbols[i].name, name))
			continue;
		if (image->symbols[i].global)
			return &image->symbols[i];
		if (!local)
			local = &image->symbols[i];
	}
	return local;
}

bool image_tls_symbol(const struct image *image, const char *name, uint64_t *ret_offset)
{
	size_t i;

	for (i = 0; i < image->tls_symbol_count; i++) {
		if (strcmp(image->tls_symbols[i].name, name))
			continue;
		*ret_offset = image->tls_symbols[i].address;
		return true;
	}
	return false;
}

const struct image_relocation *image_relocation_from(const struct image *image, uint64_t address)
{
	size_t low = 0, high = image->relocation_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (image->relocations[middle].address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low < image->relocation_count ? &image->relocations[low] : NULL;
}

/*
 * Does the PLT entry of SIZE bytes at CODE, which runs at ADDRESS, jump through memory? These are
 * the forms of ld, gold and lld: [endbr64] [bnd] jmp *disp32(%rip).
 */
static bool plt_slot(const uint8_t *code, size_t size, uint64_t address, uint64_t *ret_slot)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	int32_t displacement;
	size_t at = 0;

	if (size >= sizeof(endbr64) && !memcmp(code, endbr64, sizeof(endbr64)))
		at += sizeof(endbr64);
	if (at < size && code[at] == 0xf2)
		at++;
	if (size < at + 6 || code[at] != 0xff || code[at + 1] != 0x25)
		return false;
	memcpy(&displacement, code + at + 2, sizeof(displacement));
	*ret_slot = address + at + 6 + (int64_t)displacement;
	return true;
}

static uint64_t plt_find(const struct image *image, const struct image_section *section,
			 const char *symbol)
{
	uint64_t at, slot;

	for (at = 0; at < section->size; at += 8) {
		const struct image_relocation *relocation, *end;

		if (!plt_slot(section->data + at, section->size - at, section->address + at, &slot))
			continue;
		end = image->relocations + image->relocation_count;
		relocation = image_relocation_from(image, slot);
		for (; relocation && relocation < end && relocation->address == slot; relocation++)
			if ((relocation->type == R_X86_64_JUMP_SLOT ||
			     relocation->type == R_X86_64_GLOB_DAT) &&
			    !strcmp(relocation->symbol, symbol))
				return section->address + at;
	}
	return 0;
}

uint64_t image_plt(const struct image *image, const char *symbol)
{
	static const char *const names[] = {".plt.sec", ".plt", ".plt.got"};
	size_t i;

	for (i = 0; i < array_size(names); i++) {
		const struct image_section *section = image_section(image, names[i]);
		uint64_t address;

		if (!section || !section->data)
			continue;
		address = plt_find(image, section, symbol);
		if (address)
			return address;
	}
	return 0;
}
