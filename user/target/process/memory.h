/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One way to read memory, whether it is a live process, an ELF file's initial image or
 * what a unit test made up.
 */
#ifndef TMBPF_TARGET_PROCESS_MEMORY_H
#define TMBPF_TARGET_PROCESS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

struct error;

struct memory {
	/* Reads exactly SIZE bytes at ADDRESS into RET, or fails and leaves RET undefined. */
	struct error *(*read)(struct memory *memory, uint64_t address, void *ret, size_t size);
};

struct error *memory_read(struct memory *memory, uint64_t address, void *ret, size_t size);
struct error *memory_read_u64(struct memory *memory, uint64_t address, uint64_t *ret);
struct error *memory_read_u32(struct memory *memory, uint64_t address, uint32_t *ret);
struct error *memory_read_u8(struct memory *memory, uint64_t address, uint8_t *ret);

#endif
