// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* malloc's heaps that a test makes up. */
#include "glibc_fake.h"
#include "support.h"
#include <stdlib.h>
#include <string.h>

void made_put(struct made *made, uint64_t address, uint64_t value)
{
	memory_fake_put_u64(&made->fake, address, value);
}

void made_map(struct made *made, uint64_t start, uint64_t size, const char *path)
{
	struct process_map *map = &made->maps[made->map_count++];

	memory_fake_add(&made->fake, start, size);
	map->start = start;
	map->end = start + size;
	map->readable = map->writable = true;
	map->inode = path[0] == '/' ? 7 : 0;
	map->path = (char *)path;
}

void made_state(struct made *made, uint64_t state, uint64_t top, uint64_t next, uint64_t system)
{
	uint64_t bins = state + made->bins, i;

	for (i = 0; i < 254; i++)
		made_put(made, bins + i * 8, bins + i / 2 * 16 - 16);
	made_put(made, bins - 16, top);
	made_put(made, bins + 2032 + 16, next);
	made_put(made, bins + 2032 + 40, system);
}

void made_init_sized(struct made *made, uint64_t bins, uint64_t size)
{
	memset(made, 0, sizeof(*made));
	memory_fake_init(&made->fake);
	made->bins = bins;
	made_map(made, HEAP, size, "[heap]");
	made_map(made, DATA, DATA_SIZE, "/lib/x86_64-linux-gnu/libc.so.6");
	made_state(made, STATE, HEAP, STATE, size);
	made->at = HEAP;
	made->end = HEAP + size;
}

void made_init(struct made *made, uint64_t bins)
{
	made_init_sized(made, bins, HEAP_SIZE);
}

uint64_t made_chunk(struct made *made, uint64_t size, uint64_t flags)
{
	uint64_t chunk = made->at;

	made_put(made, chunk + 8, size | flags);
	made->at += size;
	return chunk + 16;
}

void made_bin_chunk(struct made *made, uint64_t size)
{
	made_chunk(made, size, GLIBC_PREV_INUSE);
	made_put(made, made->at, size);
}

void made_top(struct made *made, uint64_t state, uint64_t end)
{
	made_put(made, state + made->bins - 16, made->at);
	made_put(made, made->at + 8, (end - made->at) | GLIBC_PREV_INUSE);
}

struct error *made_see(void *context, const struct glibc_chunk *chunk)
{
	struct seen *seen = context;
	size_t i;
	uint8_t sum = 0;

	assert_true(seen->count < SEEN_MAX);
	/* Has to be readable. */
	for (i = 0; i < chunk->start_size; i++)
		sum |= chunk->start[i];
	(void)sum;
	seen->list[seen->count++] = *chunk;
	return NULL;
}

struct glibc *made_walk_begin(struct made *made, const struct glibc_range *excluded, size_t count)
{
	struct glibc *glibc = calloc(1, sizeof(*glibc));

	assert_non_null(glibc);
	glibc->maps = made->maps;
	glibc->map_count = made->map_count;
	glibc->start_brk = HEAP;
	glibc->threads = 1;
	glibc->excluded = excluded;
	glibc->excluded_count = count;
	return glibc;
}

struct glibc *made_walk(struct made *made, const struct glibc_range *excluded, size_t count,
			struct seen *seen)
{
	struct glibc *glibc = made_walk_begin(made, excluded, count);

	seen->count = 0;
	support_ok(glibc_init(glibc, &made->fake.process.memory, -1));
	support_ok(glibc_each(glibc, made_see, seen));
	return glibc;
}

void made_walk_end(struct glibc *glibc)
{
	glibc->maps = NULL;
	glibc->map_count = 0;
	glibc_destroy(glibc);
}

uint64_t made_bytes(const struct glibc_totals *totals)
{
	uint64_t sum = totals->top.bytes + totals->overhead + totals->unknown;
	size_t i;

	for (i = 0; i < GLIBC_STATES; i++)
		if (i != GLIBC_MAPPED)
			sum += totals->states[i].bytes;
	return sum;
}

void made_arena_sized(struct made *made, uint64_t size)
{
	uint64_t state = ARENA + 0x30, second = SECOND;

	made_map(made, ARENA, ARENA_SIZE, "");
	made_map(made, second, size, "");
	made_state(made, state, 0, STATE, ARENA_SIZE + size);
	made_put(made, STATE + made->bins + 2048, state);
	made_put(made, ARENA, state);
	made_put(made, ARENA + 16, ARENA_SIZE);
	made_put(made, second, state);
	made_put(made, second + 8, ARENA);
	made_put(made, second + 16, size);
	made->at = ARENA + (made->bins == 0x18 ? 0x870 : 0x8d0);
	made_chunk(made, 0x1000, GLIBC_PREV_INUSE | GLIBC_NON_MAIN);
	made_chunk(made, ARENA + ARENA_SIZE - 0x20 - made->at, GLIBC_PREV_INUSE | GLIBC_NON_MAIN);
	made_chunk(made, 0x10, GLIBC_PREV_INUSE);
	made_put(made, made->at + 8, GLIBC_PREV_INUSE);
	made->at = second + 0x30;
	made_chunk(made, 0x700, GLIBC_PREV_INUSE | GLIBC_NON_MAIN);
	made_top(made, state, second + size);
}

void made_arena(struct made *made)
{
	made_arena_sized(made, 0x3000);
}

void made_chunks(struct made *made, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		made_chunk(made, 0x40 + i % 7 * 0x30, GLIBC_PREV_INUSE);
	made_top(made, STATE, made->end);
}
