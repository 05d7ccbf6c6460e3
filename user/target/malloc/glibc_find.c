// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * malloc's arenas, by their structure (struct malloc_state of malloc/malloc.c):
 *
 *   mutex, flags                 8 bytes
 *   have_fastchunks              8; since 2.27, to 2.42
 *   fastbinsY[10]                80; to 2.42
 *   top, last_remainder          16
 *   bins[254]                    an empty bin's two pointers are to 16 bytes before it
 *   binmap                       16
 *   next                         the arenas' list, which comes back to main_arena
 *   next_free, attached_threads, system_mem, max_system_mem
 *
 * and malloc's parameters, mp_, by sbrk_base, which follows mmapped_mem and max_mmapped_mem.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "target/malloc/glibc_internal.h"

#define BINS        127
#define BIN_WORDS   (2 * BINS)
#define NEXT        (BIN_WORDS * 8 + 16) /* from the bins on */
#define FIND_AGAIN  16
#define TRIES_MAX   (1U << 22) /* places looked at in all */
#define DATA_MAX    (32ULL << 20)
#define ARENAS_MAX  65536
#define N_MMAPS_MAX 65536 /* DEFAULT_MMAP_MAX */

static const uint64_t bins_offsets[] = {0x70, 0x68, 0x18};

static const char *path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_libc(const struct process_map *map)
{
	const char *name = path_name(map->path);

	return map->inode && (!strncmp(name, "libc.so.6", 9) || !strncmp(name, "libc-2.", 7));
}

static bool is_program(const struct glibc *glibc, const struct process_map *map)
{
	return map->inode && glibc->process && !strcmp(map->path, glibc->process->executable);
}

/* Do 127 bins lie at ADDRESS? WORDS is what is there. */
static bool are_bins(const uint64_t *words, uint64_t address)
{
	size_t i, empty = 0;

	for (i = 0; i < BIN_WORDS; i += 2) {
		uint64_t self = address + i * 8 - 16;

		if (words[i] == self && words[i + 1] == self)
			empty++;
		else if (!glibc_pointer(words[i]) || !glibc_pointer(words[i + 1]))
			return false;
	}
	return empty >= BINS / 4;
}

static bool read_quietly(struct glibc *glibc, uint64_t address, void *ret, size_t size)
{
	struct error *error = memory_read(glibc->memory, address, ret, size);

	error_destroy(error);
	return !error;
}

static struct error *arena_add(struct glibc *glibc, uint64_t state, uint64_t bins, bool main)
{
	try(array_reserve(&glibc->arenas, &glibc->arena_capacity, glibc->arena_count, 1,
			  sizeof(*glibc->arenas)));
	glibc->arenas[glibc->arena_count++] = (struct glibc_arena){state, bins, main};
	return NULL;
}

/*
 * Adds main_arena, whose bins are BINS bytes from MAIN on, and the arenas on its list; *RET: all of
 * them are some.
 */
static struct error *arenas_follow(struct glibc *glibc, uint64_t main, uint64_t bins, uint64_t next,
				   bool *ret)
{
	size_t before = glibc->arena_count;
	uint64_t words[BIN_WORDS + 3];
	struct glibc_turn turn = {0};

	*ret = false;
	try(arena_add(glibc, main, bins, true));
	while (next != main) {
		if (glibc->follows++ > ARENAS_MAX || !glibc_pointer(next) ||
		    glibc_turn_seen(&turn, next) ||
		    !read_quietly(glibc, next + bins, words, sizeof(words)) ||
		    !are_bins(words, next + bins)) {
			glibc->arena_count = before;
			return NULL;
		}
		try(arena_add(glibc, next, bins, false));
		next = words[BIN_WORDS + 2];
	}
	*ret = true;
	return NULL;
}

/* The bins of main_arena lie at ADDRESS, perhaps. */
static struct error *main_try(struct glibc *glibc, const uint64_t *words, uint64_t address,
			      bool *ret)
{
	size_t i;

	*ret = false;
	for (i = 0; i < array_size(bins_offsets) && !*ret; i++)
		try(arenas_follow(glibc, address - bins_offsets[i], bins_offsets[i],
				  words[NEXT / 8], ret));
	return NULL;
}

/* WORDS: what is at ADDRESS. */
static struct error *data_search(struct glibc *glibc, const uint64_t *words, size_t count,
				 uint64_t address)
{
	size_t i = 0, least = 0;

	while (i + 1 < count) {
		uint64_t self = address + i * 8 - 16;
		bool found = false;
		size_t first;

		if (words[i] != self || words[i + 1] != self) {
			i++;
			continue;
		}
		/* The bins before this one are not empty. */
		first = i - least < BIN_WORDS - 2 ? (i - least) % 2 + least : i - (BIN_WORDS - 2);
		for (; first <= i && !found; first += 2)
			if (first + NEXT / 8 < count && glibc->tries++ < TRIES_MAX &&
			    are_bins(words + first, address + first * 8))
				try(main_try(glibc, words + first, address + first * 8, &found));
		i = found ? first - 2 + NEXT / 8 : i + 2;
		if (found)
			least = i;
	}
	return NULL;
}

/* mp_, before whose sbrk_base are mmapped_mem and max_mmapped_mem, and their numbers. */
static void parameters_search(struct glibc *glibc, const uint64_t *words, size_t count,
			      uint64_t address)
{
	size_t i;

	for (i = 5; i < count && glibc->start_brk; i++) {
		uint64_t mapped = words[i - 2], max = words[i - 1];
		/* int hp_flags (since 2.35), n_mmaps, n_mmaps_max, max_n_mmaps, no_dyn_threshold */
		bool old = words[i - 4] >> 32 == N_MMAPS_MAX;
		bool new = (words[i - 4] & UINT32_MAX) == N_MMAPS_MAX;

		if (words[i] != glibc_align(glibc->start_brk, 16) || mapped % GLIBC_PAGE ||
		    mapped > max || max >= GLIBC_ADDRESS_MAX || !(old || new))
			continue;
		glibc->parameters = address + (i - 2) * 8;
		return;
	}
}

static struct error *data_read(struct glibc *glibc, uint64_t start, uint64_t end)
{
	cleanup_free uint64_t *words = NULL;

	if (end - start > DATA_MAX)
		end = start + DATA_MAX;
	words = malloc(end - start);
	if (!words)
		return error_create_errno(ERROR_FAILED, ENOMEM, "the C library's data");
	try(memory_read(glibc->memory, start, words, end - start));
	try(data_search(glibc, words, (end - start) / 8, start));
	parameters_search(glibc, words, (end - start) / 8, start);
	return NULL;
}

/* The data of the file whose mapping WANTED says is it: writable, and .bss behind it. */
static struct error *file_search(struct glibc *glibc, bool libc, bool *ret_mapped)
{
	size_t i;

	for (i = 0; i < glibc->map_count; i++) {
		const struct process_map *map = &glibc->maps[i];
		uint64_t end = map->end;

		if (!(libc ? is_libc(map) : is_program(glibc, map)))
			continue;
		*ret_mapped = true;
		if (!map->readable || !map->writable || map->shared)
			continue;
		/* One piece: .data may end, and mp_ begin, within a page. */
		if (i + 1 < glibc->map_count && glibc->maps[i + 1].start == end &&
		    !glibc->maps[i + 1].inode && !glibc->maps[i + 1].path[0] &&
		    glibc->maps[i + 1].readable && glibc->maps[i + 1].end - end < DATA_MAX)
			end = glibc->maps[i + 1].end;
		try(data_read(glibc, map->start, end));
	}
	return NULL;
}

/* Another allocator among what is mapped, by its name; NULL for none. */
static const char *other_allocator(const struct glibc *glibc)
{
	static const char *const names[] = {"jemalloc", "tcmalloc", "mimalloc", "hoard",
					    "snmalloc", "scudo",    "ld-musl"};
	size_t i, j;

	for (i = 0; i < glibc->map_count; i++)
		for (j = 0; glibc->maps[i].inode && j < array_size(names); j++)
			if (strstr(path_name(glibc->maps[i].path), names[j]))
				return path_name(glibc->maps[i].path);
	return NULL;
}

/* Has malloc taken anything from the kernel? Since 2.43 it is ready before it is used. */
static bool is_used(struct glibc *glibc)
{
	uint64_t system = 0, mapped = 0;

	if (glibc->arena_count > 1)
		return true;
	read_quietly(glibc, glibc->arenas[0].state + glibc->arenas[0].bins + NEXT + 24, &system,
		     sizeof(system));
	if (glibc->parameters)
		read_quietly(glibc, glibc->parameters, &mapped, sizeof(mapped));
	return system || mapped;
}

static void absent_set(struct glibc *glibc, const char *what)
{
	const char *other = other_allocator(glibc);

	snprintf(glibc->absent, sizeof(glibc->absent), "%s%s%.128s", what,
		 other ? "; it maps " : "", other ? other : "");
}

struct error *glibc_find(struct glibc *glibc)
{
	bool libc = false, program = false;
	unsigned int again;

	/* Bins change while they are read. */
	for (again = 0; !glibc->arena_count && again < FIND_AGAIN; again++) {
		try(file_search(glibc, true, &libc));
		if (!libc)
			try(file_search(glibc, false, &program));
	}
	if (!glibc->arena_count)
		absent_set(glibc,
			   libc ? "the C library's malloc was never used, or is not understood"
				: "it has no glibc");
	else if (!is_used(glibc))
		absent_set(glibc, "the C library's malloc holds nothing");
	return NULL;
}
