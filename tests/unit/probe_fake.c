// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Puts the made-up interpreter together: sections, symbols, relocations, allocator tables. */
#include "probe_fake.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

static const char *const function_names[] = {"obj_malloc",
					     "obj_calloc",
					     "obj_realloc",
					     "obj_free",
					     "raw_malloc",
					     "raw_calloc",
					     "raw_realloc",
					     "raw_free",
					     "refill",
					     "PyMem_RawMalloc",
					     "PyMem_RawRealloc",
					     "PyMem_Malloc",
					     "PyObject_Malloc",
					     "c_wrapper",
					     "PyTraceMalloc_Track",
					     "PyTraceMalloc_Untrack",
					     "end"};

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
	static const uint8_t jump[] = {0xff, 0x24, 0x25};

	for (unsigned i = 0; i < 4; i++) {
		uint32_t slot = FAKE_GOT + 8 * i;
		uint8_t *entry = fake_bytes(fake, FAKE_PLT + 16 * i);

		memset(entry, 0x90, 16);
		memcpy(entry, jump, sizeof(jump));
		memcpy(entry + sizeof(jump), &slot, sizeof(slot));
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
	const uint64_t starts[] = {FAKE(obj_malloc),
				   FAKE(obj_calloc),
				   FAKE(obj_realloc),
				   FAKE(obj_free),
				   FAKE(raw_malloc),
				   FAKE(raw_calloc),
				   FAKE(raw_realloc),
				   FAKE(raw_free),
				   FAKE(refill),
				   FAKE(PyMem_RawMalloc),
				   FAKE(PyMem_RawRealloc),
				   FAKE(PyMem_Malloc),
				   FAKE(PyObject_Malloc),
				   FAKE(c_wrapper),
				   FAKE(PyTraceMalloc_Track),
				   FAKE(PyTraceMalloc_Untrack),
				   FAKE(end)};
	const uint64_t ends[] = {FAKE(obj_calloc),
				 FAKE(obj_realloc),
				 FAKE(obj_free),
				 FAKE(raw_malloc),
				 FAKE(raw_calloc),
				 FAKE(raw_realloc),
				 FAKE(raw_free),
				 FAKE(refill),
				 FAKE(other),
				 FAKE(PyMem_RawRealloc),
				 FAKE(PyMem_Malloc),
				 FAKE(PyObject_Malloc),
				 FAKE(g_register),
				 FAKE(c_wrapped),
				 FAKE(PyTraceMalloc_Untrack),
				 FAKE(end),
				 FAKE(end) + 1};

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
