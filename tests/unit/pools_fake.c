// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pools that a test makes up. */
#include "pools_fake.h"

#include <stdlib.h>

#include "python/heap/pools.h"
#include "support.h"

int pools_fake_setup(void **state)
{
	struct pools_fake *made = calloc(1, sizeof(*made));

	assert_non_null(made);
	memory_fake_init(&made->fake);
	memory_fake_add(&made->fake, POOLS_FAKE_ARENA, 4 * POOLS_FAKE_SIZE);
	made->python = (struct python){
		.process = &made->fake.process,
		.heap = {.arena_bits = 20, .pool_size = POOLS_FAKE_SIZE, .alignment = 16},
	};
	made->arena = (struct python_arena){.address = POOLS_FAKE_ARENA,
					    .pool_address = POOLS_FAKE_ARENA + 4 * POOLS_FAKE_SIZE};
	support_ok(python_pools_create(&made->python, &made->pools));
	*state = made;
	return 0;
}

int pools_fake_teardown(void **state)
{
	struct pools_fake *made = *state;

	python_pools_destroy(made->pools);
	memory_fake_deinit(&made->fake);
	free(made);
	return 0;
}

void pools_fake_put(struct pools_fake *made, unsigned int number, uint32_t size, uint32_t carved,
		    const int *free)
{
	uint64_t address = POOLS_FAKE_ARENA + (uint64_t)number * POOLS_FAKE_SIZE,
		 link = address + 8;
	uint32_t count = carved;

	for (; *free >= 0; free++, count--) {
		uint64_t block = address + 48 + (uint64_t)*free * size;

		memory_fake_put_u64(&made->fake, link, block);
		link = block;
	}
	memory_fake_put_u64(&made->fake, link, 0);
	memory_fake_put_u32(&made->fake, address, count);
	memory_fake_put_u32(&made->fake, address + 36, size / 16 - 1);
	memory_fake_put_u32(&made->fake, address + 40, 48 + carved * size);
	memory_fake_put_u32(&made->fake, address + 44, POOLS_FAKE_SIZE - size);
}
