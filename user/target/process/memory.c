// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads of memory by size. */
#include "target/process/memory.h"

#include <inttypes.h>

#include "base/error.h"

struct error *memory_read(struct memory *memory, uint64_t address, void *ret, size_t size)
{
	if (size > UINT64_MAX - address)
		return error_create(ERROR_FAILED,
				    "cannot read %zu bytes at 0x%" PRIx64 ": beyond all addresses",
				    size, address);
	if (!size)
		return NULL;
	return memory->read(memory, address, ret, size);
}

struct error *memory_read_u64(struct memory *memory, uint64_t address, uint64_t *ret)
{
	uint64_t value;
	struct error *error = memory_read(memory, address, &value, sizeof(value));

	if (!error)
		*ret = value;
	return error;
}

struct error *memory_read_u32(struct memory *memory, uint64_t address, uint32_t *ret)
{
	uint32_t value;
	struct error *error = memory_read(memory, address, &value, sizeof(value));

	if (!error)
		*ret = value;
	return error;
}

struct error *memory_read_u8(struct memory *memory, uint64_t address, uint8_t *ret)
{
	uint8_t value;
	struct error *error = memory_read(memory, address, &value, sizeof(value));

	if (!error)
		*ret = value;
	return error;
}
