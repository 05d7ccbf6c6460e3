/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* An arena of a few pools, made up in memory. */
#ifndef TMBPF_TESTS_POOLS_FAKE_H
#define TMBPF_TESTS_POOLS_FAKE_H

#include "memory_fake.h"
#include "python/heap/arenas.h"
#include "python/python.h"

struct python_pools;

#define POOLS_FAKE_ARENA 0x7f0000000000
#define POOLS_FAKE_SIZE  16384 /* of a pool */

struct pools_fake {
	struct memory_fake fake;
	struct python python;
	struct python_arena arena; /* with four pools, which hold nothing */
	struct python_pools *pools;
};

/* cmocka's: STATE becomes a struct pools_fake. */
int pools_fake_setup(void **state);
int pools_fake_teardown(void **state);

/* A pool of blocks of SIZE bytes: CARVED of them, those of FREE (ended by -1) free again. */
void pools_fake_put(struct pools_fake *made, unsigned int number, uint32_t size, uint32_t carved,
		    const int *free);

#endif
