/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Functions of other images (libc's malloc, ...) as an image reaches them. */
#ifndef TMBPF_PROBE_CODE_IMPORTS_H
#define TMBPF_PROBE_CODE_IMPORTS_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/code/listing.h"

#define IMPORT_SLOTS_MAX 64

/*
 * The words that the loader fills with the addresses of functions of other images (or of this one).
 */
struct imports {
	struct {
		uint64_t slot;
		unsigned function; /* the caller's number for it */
	} slots[IMPORT_SLOTS_MAX];
	unsigned count;
};

/* Adds the slots of the symbol NAME as FUNCTION. */
void imports_add(struct imports *imports, const struct image *image, const char *name,
		 unsigned function);

/*
 * Which function INSTRUCTION calls or jumps to: through its PLT entry, or through its slot. False:
 * none of them.
 */
bool imports_target(const struct imports *imports, struct listing *listing,
		    const struct x86_instruction *instruction, unsigned *ret_function);

#endif
