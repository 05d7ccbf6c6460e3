/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A made-up interpreter: a few functions in the forms in which compilers write them, the allocator
 * tables, libc behind a PLT. The code is assembled into the test program and stands in the image at
 * FAKE_TEXT.
 */
#ifndef TMBPF_TESTS_PROBE_FAKE_H
#define TMBPF_TESTS_PROBE_FAKE_H

#include "support.h"
#include "probe/plan.h"
#include "target/elf/image.h"

#define FAKE_TEXT 0x400000
#define FAKE_PLT  0x500000
#define FAKE_DATA 0x600000

/* Tables in the data. */
#define FAKE_RAW       (FAKE_DATA + 0x100)
#define FAKE_MEM       (FAKE_DATA + 0x140)
#define FAKE_OBJ       (FAKE_DATA + 0x180)
#define FAKE_GOT       (FAKE_DATA + 0x200)
#define FAKE_DATA_SIZE 0x1000

extern const uint8_t fake_text[], fake_text_end[];

/* The address in the image of a label of the code: FAKE(label). */
#define FAKE(label)                                                                                \
	({                                                                                         \
		extern const uint8_t fake_##label[];                                               \
		(uint64_t)(fake_##label - fake_text) + FAKE_TEXT;                                  \
	})

struct fake {
	struct image image;
	struct image_section sections[4];
	struct image_segment segments[3];
	struct image_symbol symbols[64];
	struct image_relocation relocations[32];
	uint8_t *file;
};

/* Fails the test without memory. */
struct fake *fake_create(void);
void fake_destroy(struct fake *fake);

/* The word at ADDRESS of the data. */
void fake_word(struct fake *fake, uint64_t address, uint64_t word);

#endif
