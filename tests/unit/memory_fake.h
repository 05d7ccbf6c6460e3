/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A process' memory made up: pieces at addresses, and nothing between them. */
#ifndef TMBPF_TESTS_MEMORY_FAKE_H
#define TMBPF_TESTS_MEMORY_FAKE_H

#include "target/process/process.h"

#define MEMORY_FAKE_PIECES 32

struct memory_fake {
	struct process process; /* whose memory reads from here */
	struct {
		uint64_t address;
		uint8_t *data;
		size_t size;
	} pieces[MEMORY_FAKE_PIECES];
	size_t count;
};

void memory_fake_init(struct memory_fake *fake);
void memory_fake_deinit(struct memory_fake *fake);

/* SIZE bytes of zeros at ADDRESS. Returns them. */
uint8_t *memory_fake_add(struct memory_fake *fake, uint64_t address, size_t size);
/* Writes to what was added. */
void memory_fake_put(struct memory_fake *fake, uint64_t address, const void *data, size_t size);
void memory_fake_put_u64(struct memory_fake *fake, uint64_t address, uint64_t value);
void memory_fake_put_u32(struct memory_fake *fake, uint64_t address, uint32_t value);

#endif
