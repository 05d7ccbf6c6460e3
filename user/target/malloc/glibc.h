/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The heaps of glibc's malloc in a process, walked from outside (malloc/malloc.c, malloc/arena.c of
 * glibc 2.26 to 2.43; x86-64). Only reads, and only of pages that the process has touched: reading
 * others would grow its page tables.
 *
 * The arenas are found by their structure in the C library's data, for malloc has no symbol for
 * them: bins that point to themselves, and a list of arenas that comes back to the first.
 *
 * A running target changes all of it meanwhile. What does not hold together is read again a few
 * times. Then the walk goes on where chunks hold together again, and what lies between is counted.
 */
#ifndef TMBPF_TARGET_MALLOC_GLIBC_H
#define TMBPF_TARGET_MALLOC_GLIBC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct process;
struct glibc;

enum glibc_state {
	GLIBC_IN_USE,
	GLIBC_MAPPED,  /* in use, a mapping of its own */
	GLIBC_TCACHE,  /* free, in a thread's cache */
	GLIBC_FASTBIN, /* free, in a fastbin */
	GLIBC_BIN,     /* free, in another bin */
	GLIBC_STATES
};

static inline bool glibc_state_free(enum glibc_state state)
{
	return state >= GLIBC_TCACHE;
}

struct glibc_chunk {
	uint64_t address; /* what malloc() returned */
	uint64_t size;    /* bytes usable there, as malloc_usable_size() says */
	uint64_t total;   /* bytes with what malloc adds */
	enum glibc_state state;
	/*
	 * The memory's first bytes as they were read: all of most chunks, at least a page of longer
	 * ones. Pages never touched are zero. Good during the call.
	 */
	const uint8_t *start;
	size_t start_size;
};

/* Addresses from START on, END not among them. */
struct glibc_range {
	uint64_t start, end;
};

struct glibc_sum {
	uint64_t count, bytes; /* bytes with what malloc adds */
};

/*
 * What the last walk found. Where it could read everything while nothing changed, mallinfo2() says
 * the same:
 *   fordblks  FASTBIN + BIN + top        uordblks  IN_USE + TCACHE + overhead + unknown
 *   hblkhd    MAPPED
 */
struct glibc_totals {
	struct glibc_sum states[GLIBC_STATES];
	struct glibc_sum top; /* free, at the end of each arena */
	uint64_t overhead;    /* bytes: the arenas' and threads' own records, ends of heaps */
	/*
	 * bytes of heaps where no chunks could be made out, and what others than malloc took by
	 * sbrk() amid its own
	 */
	uint64_t unknown;
	uint64_t mapped_unknown; /* bytes that malloc says it has mapped and that were not found */
	/*
	 * bytes of heaps that were given back to the kernel during the walk: what was in them
	 * counts as what it was, where the walk came by before, or not at all
	 */
	uint64_t vanished;
	uint64_t arenas, heaps;
	uint64_t caches; /* threads' caches */
	uint64_t broken; /* times that chunks or lists did not hold together, however often read */
	uint64_t read_again; /* times that they did only when they were read again */
};

/*
 * Finds the heaps of PROCESS. What lies in the COUNT ranges EXCLUDED (sorted, not overlapping; NULL
 * for none) is not taken for chunks that have mappings of their own: other allocators' arenas.
 *
 * It works where glibc's malloc is not in use as well; glibc_absent() then says so. OTHER is the
 * file whose malloc is used instead, so that nothing is looked for; NULL for none.
 */
struct error *glibc_create(struct process *process, const struct glibc_range *excluded,
			   size_t count, const char *other, struct glibc **ret);
/* NULL is accepted. */
void glibc_destroy(struct glibc *glibc);

/* Why there is nothing to walk, as the end of a sentence; NULL if there is. */
const char *glibc_absent(const struct glibc *glibc);
/* OTHER of glibc_create(). */
const char *glibc_other(const struct glibc *glibc);

/*
 * Calls VISIT for each chunk, free ones too; the heaps' in the order of their addresses, those with
 * mappings of their own after them. It takes a buffer's memory (about 1 MiB), and up to 16 KiB for
 * each MiB of heap that has chunks in caches or fastbins. To be called once; fails with VISIT's
 * error, and if the process has ended. Threads' caches themselves are malloc's own and are not
 * visited.
 */
struct error *glibc_each(struct glibc *glibc,
			 struct error *(*visit)(void *context, const struct glibc_chunk *chunk),
			 void *context);

/* The memory that the heap I has from the kernel, used or not; false if there are not so many. */
bool glibc_heap_range(const struct glibc *glibc, size_t i, struct glibc_range *ret);

const struct glibc_totals *glibc_totals(const struct glibc *glibc);

#endif
