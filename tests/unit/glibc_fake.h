/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A process whose heaps of glibc's malloc are made up: one made by sbrk(), and where a test wants
 * them a thread's.
 */
#ifndef TMBPF_TESTS_GLIBC_FAKE_H
#define TMBPF_TESTS_GLIBC_FAKE_H

#include "memory_fake.h"
#include "target/malloc/glibc_internal.h"

#define DATA       0x7f1234560000ULL /* the C library's */
#define DATA_SIZE  0x4000
#define STATE      (DATA + 0xc60) /* main_arena */
#define HEAP       0x555500001000ULL
#define HEAP_SIZE  0x20000
#define ARENA      0x7f3000000000ULL /* a thread's first heap */
#define ARENA_SIZE 0x21000
#define SECOND     (ARENA + GLIBC_HEAP_MAX) /* its second one */
#define SEEN_MAX   8192

struct made {
	struct memory_fake fake;
	struct process_map maps[8]; /* ascending */
	size_t map_count;
	uint64_t bins; /* offset: which version */
	uint64_t end;  /* of sbrk()'s memory */
	uint64_t at;   /* the next chunk to be put */
};

struct seen {
	struct glibc_chunk list[SEEN_MAX];
	size_t count;
};

/*
 * main_arena with HEAP_SIZE bytes, or SIZE, which no chunks are in yet. To be freed by
 * memory_fake_deinit() of its FAKE.
 */
void made_init(struct made *made, uint64_t bins);
void made_init_sized(struct made *made, uint64_t bins, uint64_t size);

void made_put(struct made *made, uint64_t address, uint64_t value);
void made_map(struct made *made, uint64_t start, uint64_t size, const char *path);
/* An arena whose bins are empty, and whose list goes on at NEXT. */
void made_state(struct made *made, uint64_t state, uint64_t top, uint64_t next, uint64_t system);
/*
 * A thread's arena: two heaps, the second, of 0x3000 or SIZE bytes, with the top behind its only
 * chunk.
 */
void made_arena(struct made *made);
void made_arena_sized(struct made *made, uint64_t size);

/* A chunk of SIZE with FLAGS; its memory's address. */
uint64_t made_chunk(struct made *made, uint64_t size, uint64_t flags);
/* The same in a bin: what is behind it says so. To be followed by one without PREV_INUSE. */
void made_bin_chunk(struct made *made, uint64_t size);
/* The rest of memory that ends at END is the arena's top. */
void made_top(struct made *made, uint64_t state, uint64_t end);
/* COUNT chunks of some sizes, and the top. */
void made_chunks(struct made *made, size_t count);

/* What a walk starts with: glibc_init() was not called. Ended by made_walk_end(). */
struct glibc *made_walk_begin(struct made *made, const struct glibc_range *excluded, size_t count);
void made_walk_end(struct glibc *glibc);
/* Visits a chunk, which has to be readable, for CONTEXT, a struct seen. */
struct error *made_see(void *context, const struct glibc_chunk *chunk);
/* The whole of a walk that does not fail. Ended by made_walk_end(). */
struct glibc *made_walk(struct made *made, const struct glibc_range *excluded, size_t count,
			struct seen *seen);

/* All bytes of heaps that a walk told anything of. */
uint64_t made_bytes(const struct glibc_totals *totals);

#endif
