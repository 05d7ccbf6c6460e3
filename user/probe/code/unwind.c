// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads the functions' boundaries out of .eh_frame, with libdw. */
#include "probe/code/unwind.h"

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"

/* CIEs are few and mostly the same one: remembered by offset. */
#define CIES_MAX 64

struct cie {
	Dwarf_Off offset;
	uint8_t encoding; /* of its FDEs' addresses; DW_EH_PE_omit: not understood */
};

struct reader {
	const struct image_section *section;
	Elf_Data data;
	struct cie cies[CIES_MAX];
	size_t cie_count;
};

static size_t encoding_size(uint8_t encoding)
{
	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		return 8;
	case DW_EH_PE_udata4:
	case DW_EH_PE_sdata4:
		return 4;
	case DW_EH_PE_udata2:
	case DW_EH_PE_sdata2:
		return 2;
	default:
		return 0;
	}
}

/* What the augmentation says of addresses: 'R' and its byte, behind those of 'P' and 'L'. */
static uint8_t cie_encoding(const Dwarf_CIE *cie)
{
	const uint8_t *data = cie->augmentation_data;
	size_t left = cie->augmentation_data_size;
	const char *text = cie->augmentation;

	if (*text != 'z')
		return *text ? DW_EH_PE_omit : DW_EH_PE_absptr;
	for (text++; *text; text++) {
		size_t size = 1;

		if (*text == 'S' || *text == 'B')
			continue;
		if (!left || !data)
			return DW_EH_PE_omit;
		if (*text == 'R')
			return *data;
		if (*text == 'P') {
			if (!encoding_size(*data))
				return DW_EH_PE_omit;
			size += encoding_size(*data);
		} else if (*text != 'L') {
			return DW_EH_PE_omit;
		}
		if (size > left)
			return DW_EH_PE_omit;
		data += size;
		left -= size;
	}
	return DW_EH_PE_absptr;
}

static uint8_t encoding_find(struct reader *reader, const unsigned char *ident, Dwarf_Off offset)
{
	struct cie found = {offset, DW_EH_PE_omit};
	Dwarf_CFI_Entry entry;
	Dwarf_Off next;

	for (size_t i = 0; i < reader->cie_count; i++) {
		if (reader->cies[i].offset == offset)
			return reader->cies[i].encoding;
	}
	if (dwarf_next_cfi(ident, &reader->data, true, offset, &next, &entry) == 0 &&
	    dwarf_cfi_cie_p(&entry))
		found.encoding = cie_encoding(&entry.cie);
	if (reader->cie_count < CIES_MAX)
		reader->cies[reader->cie_count++] = found;
	return found.encoding;
}

static bool value_read(const uint8_t **at, const uint8_t *end, uint8_t encoding, int64_t *ret)
{
	size_t size = encoding_size(encoding);
	union {
		int64_t s8;
		uint32_t u4;
		int32_t s4;
		uint16_t u2;
		int16_t s2;
	} value;

	if (!size || (size_t)(end - *at) < size)
		return false;
	memcpy(&value, *at, size);
	*at += size;
	switch (encoding & 0x0f) {
	case DW_EH_PE_udata4:
		*ret = value.u4;
		break;
	case DW_EH_PE_sdata4:
		*ret = value.s4;
		break;
	case DW_EH_PE_udata2:
		*ret = value.u2;
		break;
	case DW_EH_PE_sdata2:
		*ret = value.s2;
		break;
	default:
		*ret = value.s8;
	}
	return true;
}

static bool fde_read(struct reader *reader, const Dwarf_FDE *fde, uint8_t encoding,
		     struct listing_function *ret)
{
	const uint8_t *at = fde->start;
	uint64_t here = reader->section->address + (at - (const uint8_t *)reader->data.d_buf);
	int64_t start, size;

	/* Indirect ones, and those relative to what only a linker knows, are in no CPython. */
	if (encoding == DW_EH_PE_omit || (encoding & 0xf0 & ~DW_EH_PE_pcrel))
		return false;
	if (!value_read(&at, fde->end, encoding, &start) ||
	    !value_read(&at, fde->end, encoding & 0x0f, &size) || size <= 0 || !start)
		return false;
	if ((encoding & 0x70) == DW_EH_PE_pcrel)
		start += here;
	*ret = (struct listing_function){start, (uint64_t)start + size};
	return ret->end > ret->start;
}

static int function_compare(const void *a, const void *b)
{
	const struct listing_function *left = a, *right = b;

	return left->start < right->start ? -1 : left->start > right->start;
}

/* Sorted, and no overlaps: of two that overlap the later one begins where it says. */
static void functions_settle(struct listing_function *functions, size_t *count)
{
	size_t kept = 0;

	qsort(functions, *count, sizeof(*functions), function_compare);
	for (size_t i = 0; i < *count; i++) {
		if (kept && functions[kept - 1].start == functions[i].start)
			continue;
		if (kept && functions[kept - 1].end > functions[i].start)
			functions[kept - 1].end = functions[i].start;
		functions[kept++] = functions[i];
	}
	*count = kept;
}

/* Without .eh_frame the symbols have to do. */
static struct error *symbol_functions(const struct image *image, struct listing_function **ret,
				      size_t *ret_count)
{
	cleanup_free struct listing_function *functions = NULL;
	size_t count = 0, capacity = 0;

	try(array_reserve(&functions, &capacity, 0, image->symbol_count + 1, sizeof(*functions)));
	for (size_t i = 0; i < image->symbol_count; i++) {
		const struct image_symbol *symbol = &image->symbols[i];

		if (symbol->function && symbol->size &&
		    symbol->address + symbol->size > symbol->address)
			functions[count++] = (struct listing_function){
				symbol->address, symbol->address + symbol->size};
	}
	*ret = take(functions);
	*ret_count = count;
	return NULL;
}

struct error *unwind_functions(const struct image *image, struct listing_function **ret,
			       size_t *ret_count)
{
	const struct image_section *section = image_section(image, ".eh_frame");
	cleanup_free struct listing_function *functions = NULL;
	size_t count = 0, capacity = 0;
	struct reader reader = {.section = section};
	Dwarf_CFI_Entry entry;
	Dwarf_Off next;

	if (section && section->data && image->size >= EI_NIDENT) {
		reader.data = (Elf_Data){.d_buf = (void *)section->data,
					 .d_type = ELF_T_BYTE,
					 .d_version = EV_CURRENT,
					 .d_size = section->size};
		for (Dwarf_Off offset = 0; offset != (Dwarf_Off)-1; offset = next) {
			struct listing_function function;
			uint8_t encoding;

			if (dwarf_next_cfi(image->data, &reader.data, true, offset, &next,
					   &entry) != 0)
				break;
			if (next <= offset)
				break;
			if (dwarf_cfi_cie_p(&entry))
				continue;
			encoding = encoding_find(&reader, image->data, entry.fde.CIE_pointer);
			if (!fde_read(&reader, &entry.fde, encoding, &function))
				continue;
			try(array_reserve(&functions, &capacity, count, 1, sizeof(*functions)));
			functions[count++] = function;
		}
	}
	if (!count) {
		free(take(functions));
		try(symbol_functions(image, &functions, &count));
	}
	if (count)
		functions_settle(functions, &count);
	*ret = take(functions);
	*ret_count = count;
	return NULL;
}
