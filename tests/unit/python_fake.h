/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A Python made up: its file, and a memory with a runtime and one interpreter. */
#ifndef TMBPF_TESTS_PYTHON_FAKE_H
#define TMBPF_TESTS_PYTHON_FAKE_H

#include "memory_fake.h"
#include "python/python.h"

#define RUNTIME 0x100000
#define INTERP  0x200000
#define STATE   0x300000 /* and one each 0x1000 from there */

struct world {
	struct memory_fake fake;
	struct image image;
	struct python python;
};

/* Of VERSION (a hexversion), with its layout, and nothing in it. */
void world_init(struct world *world, uint32_t version);
void world_deinit(struct world *world);

/* COUNT thread states, of this process' threads, without frames. */
void states_put(struct world *world, unsigned count);
uint64_t state_address(unsigned index);

#endif
