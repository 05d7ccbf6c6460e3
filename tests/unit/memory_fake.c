// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A memory that a test makes up. */
#include "memory_fake.h"
#include "support.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *piece_find(const struct memory_fake *fake, uint64_t address, size_t size)
{
	size_t i;

	for (i = 0; i < fake->count; i++) {
		uint64_t within = address - fake->pieces[i].address;

		if (address >= fake->pieces[i].address && within < fake->pieces[i].size &&
		    size <= fake->pieces[i].size - within)
			return fake->pieces[i].data + within;
	}
	return NULL;
}

static struct error *fake_read(struct memory *memory, uint64_t address, void *ret, size_t size)
{
	const uint8_t *data = piece_find((struct memory_fake *)memory, address, size);

	if (!data)
		return error_create_errno(ERROR_FAILED, EFAULT, "nothing at 0x%llx",
					  (unsigned long long)address);
	memcpy(ret, data, size);
	return NULL;
}

void memory_fake_init(struct memory_fake *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->process.memory.read = fake_read;
	fake->process.pidfd = -1;
}

void memory_fake_deinit(struct memory_fake *fake)
{
	size_t i;

	for (i = 0; i < fake->count; i++)
		free(fake->pieces[i].data);
	fake->count = 0;
}

uint8_t *memory_fake_add(struct memory_fake *fake, uint64_t address, size_t size)
{
	size_t i = fake->count++;

	assert_true(i < MEMORY_FAKE_PIECES);
	fake->pieces[i].address = address;
	fake->pieces[i].size = size;
	fake->pieces[i].data = calloc(1, size);
	assert_non_null(fake->pieces[i].data);
	return fake->pieces[i].data;
}

void memory_fake_put(struct memory_fake *fake, uint64_t address, const void *data, size_t size)
{
	uint8_t *to = piece_find(fake, address, size);

	assert_non_null(to);
	memcpy(to, data, size);
}

void memory_fake_put_u64(struct memory_fake *fake, uint64_t address, uint64_t value)
{
	memory_fake_put(fake, address, &value, sizeof(value));
}

void memory_fake_put_u32(struct memory_fake *fake, uint64_t address, uint32_t value)
{
	memory_fake_put(fake, address, &value, sizeof(value));
}
