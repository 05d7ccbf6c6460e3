// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* An interpreter that a test makes up. */
#include "python_fake.h"
#include "python/layout_table.h"
#include "python/python_internal.h"
#include <string.h>
#include <unistd.h>

void world_init(struct world *world, uint32_t version)
{
	const struct layout_entry *entry = python_layout_entry(version);

	memset(world, 0, sizeof(*world));
	memory_fake_init(&world->fake);
	world->fake.process.pid = getpid();
	world->fake.process.inner_pid = getpid();
	world->image.path = "fake";
	world->python.process = &world->fake.process;
	world->python.image = &world->image;
	world->python.version = version;
	world->python.runtime = RUNTIME;
	world->python.layout = entry->layout;
	world->python.layout_source = "a test";
	world->python.interpreter = INTERP;
	memory_fake_add(&world->fake, RUNTIME, 0x10000);
	memory_fake_add(&world->fake, INTERP, 0x10000);
}

void world_deinit(struct world *world)
{
	memory_fake_deinit(&world->fake);
}

uint64_t state_address(unsigned index)
{
	return STATE + index * 0x1000;
}

void states_put(struct world *world, unsigned count)
{
	const struct python_layout *layout = &world->python.layout;
	unsigned i;

	memory_fake_put_u64(&world->fake, RUNTIME + layout->runtime.interpreters_head, INTERP);
	memory_fake_put_u64(&world->fake, INTERP + layout->interp.tstate_head, count ? STATE : 0);
	for (i = 0; i < count; i++) {
		uint64_t address = state_address(i);

		memory_fake_add(&world->fake, address, 0x1000);
		memory_fake_put_u64(&world->fake, address + layout->tstate.interp, INTERP);
		memory_fake_put_u64(&world->fake, address + layout->tstate.next,
				    i + 1 < count ? state_address(i + 1) : 0);
		memory_fake_put_u64(&world->fake, address + layout->tstate.thread_id, 0x7000 + i);
		if (layout->tstate.native_thread_id != PYTHON_NO_OFFSET)
			memory_fake_put_u64(&world->fake, address + layout->tstate.native_thread_id,
					    getpid() + i);
	}
}
