/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The parts of an image, from the bottom up: each file uses those above it only. */
#ifndef TMBPF_TARGET_ELF_IMAGE_INTERNAL_H
#define TMBPF_TARGET_ELF_IMAGE_INTERNAL_H

#include "target/elf/image.h"

/* image_address.c: the error for want of memory. */
struct error *image_no_memory(const struct image *image);
/* image_address.c: the bytes of the file, or NULL if it does not hold all of them. */
const uint8_t *image_file_bytes(const struct image *image, uint64_t offset, uint64_t size);

/*
 * image_symbols.c: the symbols and thread-local symbols, sorted, of an image whose sections are
 * known.
 */
struct error *image_symbols_read(struct image *image);
/* image_symbols.c: the relocations, sorted. */
struct error *image_relocations_read(struct image *image);

#endif
