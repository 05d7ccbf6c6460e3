/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What image.c and image_symbols.c share. */
#ifndef TMBPF_TARGET_ELF_IMAGE_INTERNAL_H
#define TMBPF_TARGET_ELF_IMAGE_INTERNAL_H

#include "target/elf/image.h"

/* "PATH: WHAT" */
struct error *image_bad(const struct image *image, const char *what);
struct error *image_no_memory(const struct image *image);

/* The symbols and thread-local symbols, sorted, of an image whose sections are known. */
struct error *image_symbols_read(struct image *image);
/* The relocations, sorted. */
struct error *image_relocations_read(struct image *image);

#endif
