// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What all steps need of a struct python: its symbols, another try, its end. */
#include "python/python.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "python/python_internal.h"

/* A hot target is read torn now and then; over a tenth of a second of failures are no accident. */
#define TRIES_MAX       25
#define TRY_NANOSECONDS 5000000

bool python_worth_trying(const struct error *error)
{
	return error_kind(error) != ERROR_NOTHING && error_number(error) != EAGAIN;
}

bool python_try_again(unsigned *tries)
{
	struct timespec pause = {.tv_nsec = TRY_NANOSECONDS};

	if (++*tries >= TRIES_MAX)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

uint64_t python_symbol(const struct python *python, const char *name)
{
	const struct image_symbol *symbol = image_symbol(python->image, name);

	return symbol ? symbol->address + python->bias : 0;
}

void python_destroy(struct python *python)
{
	if (!python)
		return;
	image_destroy(python->image);
	free(python->map.path);
	free(python->layout_source);
	free(python->heaps_word);
	free(python);
}

static struct error *allocator_read(const struct python *python, uint64_t address, uint32_t offset,
				    struct python_allocator *ret)
{
	if (!address && offset == PYTHON_NO_OFFSET)
		return error_create(ERROR_FAILED,
				    "%s: the address of an allocator table is not known",
				    python->image->path);
	if (!address)
		address = python->runtime + offset;
	return memory_read(&python->process->memory, address, ret, sizeof(*ret));
}

struct error *python_allocators(const struct python *python, uint64_t raw, uint64_t mem,
				uint64_t obj, struct python_allocator ret[3])
{
	struct python_allocator tables[3];

	_Static_assert(sizeof(tables[0]) == 5 * sizeof(uint64_t), "PyMemAllocatorEx: 5 words");
	try(allocator_read(python, raw, python->layout.runtime.allocators_raw, &tables[0]));
	try(allocator_read(python, mem, python->layout.runtime.allocators_mem, &tables[1]));
	try(allocator_read(python, obj, python->layout.runtime.allocators_obj, &tables[2]));
	memcpy(ret, tables, sizeof(tables));
	return NULL;
}
