/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the glibc*.c files share, from the bottom up: each file uses those above it only. */
#ifndef TMBPF_TARGET_MALLOC_GLIBC_INTERNAL_H
#define TMBPF_TARGET_MALLOC_GLIBC_INTERNAL_H

#include "target/malloc/glibc.h"
#include "target/process/memory.h"
#include "target/process/process.h"

#define GLIBC_PAGE         4096ULL
#define GLIBC_BUFFER       (512ULL << 10) /* bytes read at a time */
#define GLIBC_BUFFER_PAGES (GLIBC_BUFFER / GLIBC_PAGE)
#define GLIBC_HEAP_MAX     (64ULL << 20) /* HEAP_MAX_SIZE */
#define GLIBC_CHUNK_MIN    0x20ULL       /* MINSIZE */
#define GLIBC_ADDRESS_MAX  (1ULL << 47)
#define GLIBC_AGAIN        4 /* times that what does not hold together is read again */

/* malloc_chunk: prev_size, then size with three flags in its low bits. */
#define GLIBC_PREV_INUSE 1ULL
#define GLIBC_IS_MMAPPED 2ULL
#define GLIBC_NON_MAIN   4ULL
#define GLIBC_FLAGS      7ULL

struct glibc_header {
	uint64_t prev_size, size;
};

/* One bit for each 16 bytes of a MiB. */
#define GLIBC_MARKS_SPAN 20
struct glibc_marks {
	uint64_t bits[(1 << GLIBC_MARKS_SPAN) / 16 / 64];
};

enum glibc_mark { GLIBC_MARK_TCACHE, GLIBC_MARK_FASTBIN, GLIBC_MARKS };

/* Memory that an arena has from the kernel, without a gap. */
struct glibc_area {
	uint64_t start, first, end; /* FIRST: where chunks begin */
	size_t arena;               /* whose */
	bool heap;                  /* a heap_info's; else sbrk()'s or what stands in for it */
	bool brk;                   /* sbrk()'s */
	uint64_t most;              /* the highest END that was seen */
	/* By MiB from START on, as many as SPANS; NULL where nothing is marked. */
	struct glibc_marks **marks[GLIBC_MARKS];
	size_t spans[GLIBC_MARKS];
};

struct glibc_arena {
	uint64_t state; /* address of malloc_state */
	uint64_t bins;  /* offset of its bins */
	bool main;
};

/* What a page of a buffer is. */
enum glibc_page { GLIBC_PAGE_ABSENT, GLIBC_PAGE_SWAPPED, GLIBC_PAGE_READ };

struct glibc_buffer {
	struct memory *memory;
	int pagemap;       /* of /proc/PID; -1: every page is there */
	uint64_t capacity; /* bytes that DATA has room for */
	uint64_t start, end;
	bool whole; /* every page of it was read */
	uint8_t pages[GLIBC_BUFFER_PAGES];
	uint8_t *data;
};

/* What a buffer found, by its place in the buffer. */
struct glibc_found {
	uint32_t offset;
	bool bin;
	uint64_t size;
};
#define GLIBC_FOUND_MAX (GLIBC_BUFFER / GLIBC_CHUNK_MIN)

/* How a chunk tells that it is in a thread's cache: the word behind its link. */
enum glibc_key {
	GLIBC_KEY_NONE,   /* up to 2.28: not at all */
	GLIBC_KEY_CACHE,  /* 2.29 to 2.33: the cache's address */
	GLIBC_KEY_RANDOM, /* since: a number of the process's */
};

struct glibc {
	struct memory *memory;
	struct process *process; /* NULL: made up by a test */
	uint64_t start_brk;
	uint64_t threads;
	char absent[256], other[128];
	struct process_map *maps;
	size_t map_count;
	const struct glibc_range *excluded;
	size_t excluded_count;
	struct glibc_range *own_excluded;
	struct glibc_arena *arenas;
	size_t arena_count, arena_capacity;
	struct glibc_area *areas; /* sorted */
	size_t area_count, area_capacity;
	uint64_t *caches; /* addresses of tcache_perthread_structs */
	size_t cache_count, cache_capacity;
	enum glibc_key key;
	uint64_t key_value;
	unsigned int refreshes;
	uint64_t system; /* glibc_system_bytes() before the walk */
	unsigned int tries;
	unsigned int follows;              /* arenas looked at while they were searched for */
	size_t morecore_arena;             /* whose memory is looked for */
	uint64_t morecore_left;            /* bytes of it */
	uint64_t parameters;               /* address of mp_.mmapped_mem; 0 not found */
	struct glibc_buffer buffer, small; /* SMALL: a page, for lists */
	struct glibc_found *found;
	struct glibc_totals totals;
	struct error *(*visit)(void *context, const struct glibc_chunk *chunk);
	void *context;
};

/* glibc_buffer.c */
struct error *glibc_buffer_init(struct glibc_buffer *buffer, struct memory *memory, int pagemap,
				uint64_t size);
void glibc_buffer_deinit(struct glibc_buffer *buffer);
/*
 * What is there of START (a page's) to END, as much of it as there is room for: nothing where END
 * is not behind START.
 */
void glibc_buffer_load(struct glibc_buffer *buffer, uint64_t start, uint64_t end);
/* SIZE bytes at ADDRESS that lie in one page; NULL outside and where there is no page. */
const void *glibc_buffer_at(struct glibc_buffer *buffer, uint64_t address, size_t size);
/* SIZE bytes at ADDRESS, in one page, as they are now. False where there is no page. */
bool glibc_peek(struct glibc_buffer *small, uint64_t address, void *ret, size_t size);
/* The same, from the page that SMALL holds if it is that one. */
bool glibc_peek_again(struct glibc_buffer *small, uint64_t address, void *ret, size_t size);
/* The first page from START on, before END, that is there (or swapped out); END if none is. */
uint64_t glibc_pages_next(struct glibc_buffer *small, uint64_t start, uint64_t end);

/* glibc_find.c */
struct error *glibc_find(struct glibc *glibc);

/* glibc_areas.c */
/* sbrk()'s memory, and the heaps of the other arenas. */
struct error *glibc_areas_find(struct glibc *glibc);
/* To be followed by glibc_areas_sort() before the next look-up. */
struct error *glibc_area_add(struct glibc *glibc, const struct glibc_area *area);
/* Puts them in order; what overlaps another one is left out, and counted. */
void glibc_areas_sort(struct glibc *glibc);
/*
 * Sets its end to where it is now: at its start where it is no more. Fails where the process' maps
 * cannot be read, as when it has ended.
 */
struct error *glibc_area_refresh(struct glibc *glibc, struct glibc_area *area);
/*
 * The same for all areas when they have been walked; counts what was given back since they were
 * found.
 */
struct error *glibc_areas_settle(struct glibc *glibc);
/* The address of its top; 0 where it cannot be read. */
uint64_t glibc_arena_top(struct glibc *glibc, const struct glibc_arena *arena);
/* The area that ADDRESS lies in, or NULL. */
struct glibc_area *glibc_area_at(const struct glibc *glibc, uint64_t address);
void glibc_areas_deinit(struct glibc *glibc);
/* Nothing where ADDRESS lies past the area's end. */
struct error *glibc_area_mark(struct glibc_area *area, enum glibc_mark mark, uint64_t address);
bool glibc_area_marked(const struct glibc_area *area, enum glibc_mark mark, uint64_t address);
/* Removes all marks of a kind. */
void glibc_areas_clear(struct glibc *glibc, enum glibc_mark mark);

/* glibc_free.c */
/* Is there a thread's cache in the chunk of SIZE whose memory is at ADDRESS? FIRST: of its area. */
bool glibc_cache_is(struct glibc *glibc, uint64_t address, uint64_t size, bool first);
struct error *glibc_cache_add(struct glibc *glibc, uint64_t address);
/* Marks what the threads' caches and the fastbins hold. */
struct error *glibc_lists_read(struct glibc *glibc);
/* Of a chunk that its neighbour calls in use: is it? MEMORY: the memory's first 16 bytes. */
struct error *glibc_state_of(struct glibc *glibc, const struct glibc_area *area, uint64_t address,
			     const uint64_t *memory, enum glibc_state *ret);

/* glibc_emit.c */
/* Counts a chunk and visits it, but for a thread's cache, which is malloc's own. */
struct error *glibc_emit(struct glibc *glibc, const struct glibc_chunk *chunk);

/* glibc_walk.c */
enum glibc_end {
	GLIBC_END_MORE, /* the buffer's */
	GLIBC_END_AREA, /* the area's, which lies at the walk's place or before it */
	GLIBC_END_TOP,
	GLIBC_END_FENCE, /* what closes a heap's memory */
	GLIBC_END_BROKEN,
};
struct glibc_walk {
	struct glibc *glibc;
	struct glibc_area *area;
	uint64_t first; /* chunk of the area */
	uint64_t at;    /* the next chunk */
	uint64_t limit; /* no chunk from here on is asked for */
	uint64_t asked; /* AT when it was asked last whether the walk goes on */
	/* Buffers that were loaded, and how many may be, by the area's size. */
	uint64_t loads, loads_most;
	uint64_t given_up; /* bytes that were left when the walk did not get on */
	uint64_t top;      /* of the arena */
	size_t found;      /* in glibc->found */
	uint64_t top_size; /* at GLIBC_END_TOP */
};
void glibc_walk_init(struct glibc_walk *walk, struct glibc *glibc, struct glibc_area *area,
		     uint64_t at);
/*
 * Whether there is more to walk: here alone a walk's place is held against the area's end as it is
 * now and against its limit. A walk that has not moved since this was asked last is over, too, and
 * so is one that has read several times as much as the area has: what is left of it is unknown.
 */
bool glibc_walk_goes_on(struct glibc_walk *walk);
/* The chunks from AT on that the buffer holds. */
enum glibc_end glibc_walk_buffer(struct glibc_walk *walk);
/* Finds the threads' caches among the chunks. */
struct error *glibc_walk_caches(struct glibc *glibc);
struct error *glibc_walk_areas(struct glibc *glibc);

/* Do a good many chunks, or as many as there are to the area's end, begin at ADDRESS? */
bool glibc_walk_starts(struct glibc_walk *walk, uint64_t address);

/* glibc_mapped.c */
struct error *glibc_mapped_each(struct glibc *glibc);
/* Calls EACH for anonymous memory that nothing is known of, piece by piece. */
struct error *glibc_unknown_each(struct glibc *glibc,
				 struct error *(*each)(struct glibc *glibc, uint64_t start,
						       uint64_t end));

/* glibc_morecore.c */
/* Adds what main_arenas have where sbrk() did not do, and sorts. */
struct error *glibc_morecore_find(struct glibc *glibc);
/* What malloc says it has for the arenas. */
uint64_t glibc_system_bytes(struct glibc *glibc);

/* glibc.c: with what glibc_create() reads of /proc already there; PAGEMAP is taken over. */
struct error *glibc_init(struct glibc *glibc, struct memory *memory, int pagemap);

static inline uint64_t glibc_align(uint64_t value, uint64_t to)
{
	return (value + to - 1) & ~(to - 1);
}

/*
 * Bytes from ADDRESS to the area's end as it is now, 0 where that lies before ADDRESS. No
 * difference to an area's end is taken anywhere else: a target moves it either way from one read to
 * the next.
 */
static inline uint64_t glibc_area_left(const struct glibc_area *area, uint64_t address)
{
	return address < area->end ? area->end - address : 0;
}

static inline bool glibc_pointer(uint64_t value)
{
	return value >= GLIBC_PAGE && value < GLIBC_ADDRESS_MAX && !(value & 15);
}

/* Notices that a list comes back to where it was (Brent's algorithm). All zero is a new one. */
struct glibc_turn {
	uint64_t value, count, limit;
};

static inline bool glibc_turn_seen(struct glibc_turn *turn, uint64_t value)
{
	if (turn->count && value == turn->value)
		return true;
	if (turn->count++ == turn->limit) {
		turn->limit = turn->limit * 2 + 1;
		turn->value = value;
	}
	return false;
}

#endif
