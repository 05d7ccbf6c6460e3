// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Free chunks that their neighbours call in use: those of the threads' caches and of the fastbins
 * (malloc/malloc.c). Both are lists. Since 2.32 a link is XORed with its own address shifted
 * right by 12 (PROTECT_PTR), but not the heads.
 *
 * A cache (tcache_perthread_struct) is a chunk itself:
 *   2.26 to 2.29   char counts[64], entries[64]
 *   2.30 to 2.41   uint16_t counts[64], entries[64]
 *   2.42 on        uint16_t num_slots[76] (what may still come), entries[76]; the last 12 are for
 *                  larger chunks, by powers of two
 * Since 2.29 the word behind the link is the cache's address, since 2.34 a number of the process's,
 * and it is zeroed when the chunk is handed out.
 */
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "target/malloc/glibc_internal.h"

#define SMALL_BINS     64
#define LARGE_BINS     12
#define FASTBINS       10
#define CACHES_MAX     (1U << 20)
#define CACHE_LIST_MAX 65536
#define REFRESHES_MAX  16
#define LIST_AGAIN     16 /* a list is short, and changes often */

/* What a tcache_perthread_struct of any version may be. */
struct cache {
	uint64_t address;
	size_t bins;
	uint16_t slots[SMALL_BINS + LARGE_BINS];  /* counts or num_slots */
	uint32_t counts[SMALL_BINS + LARGE_BINS]; /* most that a list may have */
	uint64_t entries[SMALL_BINS + LARGE_BINS];
};

/* The chunk's size for a cache, and its layout. */
static const struct {
	uint64_t chunk;
	size_t bins, count_size;
} cache_layouts[] = {
	{0x250, SMALL_BINS, 1},
	{0x290, SMALL_BINS, 2},
	{0x300, SMALL_BINS + LARGE_BINS, 2},
};

/* Reads what lies over a page's border as well. */
static bool peek_all(struct glibc *glibc, uint64_t address, void *ret, size_t size)
{
	uint8_t *to = ret;

	while (size) {
		size_t part = GLIBC_PAGE - address % GLIBC_PAGE;

		if (part > size)
			part = size;
		if (!glibc_peek_again(&glibc->small, address, to, part))
			return false;
		address += part;
		to += part;
		size -= part;
	}
	return true;
}

/* A cache as it is now; false if ADDRESS holds none. */
static bool cache_read(struct glibc *glibc, uint64_t address, uint64_t size, struct cache *ret)
{
	uint8_t raw[0x300];
	size_t i, layout;

	for (layout = 0; layout < array_size(cache_layouts); layout++)
		if (cache_layouts[layout].chunk == size)
			break;
	if (layout == array_size(cache_layouts) || !peek_all(glibc, address, raw, size - 8))
		return false;
	ret->address = address;
	ret->bins = cache_layouts[layout].bins;
	for (i = 0; i < ret->bins; i++) {
		uint16_t count = raw[i];
		size_t bytes = cache_layouts[layout].count_size;

		if (bytes == 2)
			memcpy(&count, raw + i * 2, 2);
		memcpy(&ret->entries[i], raw + ret->bins * bytes + i * 8, 8);
		if (ret->entries[i] && !glibc_pointer(ret->entries[i]))
			return false;
		ret->slots[i] = count;
		/* Of num_slots nothing follows. */
		if (ret->bins == SMALL_BINS && !count != !ret->entries[i])
			return false;
		ret->counts[i] = ret->bins == SMALL_BINS ? count : CACHE_LIST_MAX;
	}
	return true;
}

/* May a chunk of SIZE be in bin I of a cache? */
static bool cache_fits(size_t i, uint64_t size)
{
	uint64_t chunk = size & ~GLIBC_FLAGS;

	if (i < SMALL_BINS)
		return chunk == GLIBC_CHUNK_MIN + i * 16;
	/* The first of the larger ones goes up to 2 KiB. */
	return chunk > GLIBC_CHUNK_MIN + (SMALL_BINS - 1) * 16 &&
	       chunk < 0x800ULL << (i - SMALL_BINS) && chunk >= (0x400ULL << (i - SMALL_BINS));
}

/* An empty one has nothing that tells, but for the same number of free slots everywhere. */
static bool cache_is_fresh(const struct cache *cache)
{
	size_t i;

	for (i = 1; i < cache->bins; i++)
		if (cache->slots[i] != cache->slots[0])
			return false;
	return cache->bins > SMALL_BINS && cache->slots[0];
}

bool glibc_cache_is(struct glibc *glibc, uint64_t address, uint64_t size, bool first)
{
	struct glibc_header header;
	struct cache cache;
	bool any = false;
	size_t i;

	glibc->small.start = glibc->small.end = 0;
	if (!cache_read(glibc, address, size, &cache))
		return false;
	for (i = 0; i < cache.bins; i++) {
		if (!cache.entries[i])
			continue;
		if (!glibc_peek_again(&glibc->small, cache.entries[i] - 16, &header,
				      sizeof(header)) ||
		    !cache_fits(i, header.size))
			return false;
		any = true;
	}
	/* Up to 2.41 a thread takes its cache first of all. */
	return any || cache_is_fresh(&cache) || (first && cache.bins == SMALL_BINS);
}

struct error *glibc_cache_add(struct glibc *glibc, uint64_t address)
{
	size_t i;

	for (i = 0; i < glibc->cache_count; i++)
		if (glibc->caches[i] == address)
			return NULL;
	if (glibc->cache_count >= CACHES_MAX)
		return NULL;
	try(array_reserve(&glibc->caches, &glibc->cache_capacity, glibc->cache_count, 1,
			  sizeof(*glibc->caches)));
	glibc->caches[glibc->cache_count++] = address;
	return NULL;
}

/* The link LINK, which lies at ADDRESS, as it is or freed of its protection; false: neither. */
static bool link_follow(const struct glibc *glibc, uint64_t address, uint64_t link, uint64_t to,
			uint64_t *ret)
{
	uint64_t revealed = link ^ (address >> 12);

	/* TO: from what it points to to an address in an area. */
	if (!revealed || (glibc_pointer(revealed) && glibc_area_at(glibc, revealed + to))) {
		*ret = revealed;
		return true;
	}
	if (!link || (glibc_pointer(link) && glibc_area_at(glibc, link + to))) {
		*ret = link;
		return true;
	}
	return false;
}

/* Which key the entries bear; votes over all. */
struct votes {
	uint64_t total, cache, value, lead;
};

static void votes_add(struct votes *votes, uint64_t cache, uint64_t key)
{
	/* It was handed out just now. */
	if (!key)
		return;
	votes->total++;
	votes->cache += key == cache;
	if (!votes->lead)
		votes->value = key;
	votes->lead += votes->value == key ? 1 : -1;
}

static void votes_decide(const struct votes *votes, struct glibc *glibc)
{
	if (!votes->total)
		return;
	glibc->key = GLIBC_KEY_NONE;
	if (votes->cache * 2 > votes->total)
		glibc->key = GLIBC_KEY_CACHE;
	else if (votes->lead && votes->value)
		glibc->key = GLIBC_KEY_RANDOM;
	glibc->key_value = votes->value;
}

/* One list of a cache, *RET_WHOLE: to its end. */
static struct error *cache_list(struct glibc *glibc, const struct cache *cache, size_t bin,
				struct votes *votes, bool *ret_whole)
{
	uint64_t entry = cache->entries[bin], n;
	struct glibc_turn turn = {0};

	*ret_whole = false;
	for (n = 0; entry && n < cache->counts[bin]; n++) {
		struct {
			struct glibc_header header;
			uint64_t link, key;
		} chunk;
		struct glibc_area *area = glibc_area_at(glibc, entry);

		if (!peek_all(glibc, entry - 16, &chunk, sizeof(chunk)) ||
		    !cache_fits(bin, chunk.header.size) || glibc_turn_seen(&turn, entry))
			return NULL;
		votes_add(votes, cache->address, chunk.key);
		if (area)
			try(glibc_area_mark(area, GLIBC_MARK_TCACHE, entry));
		if (!link_follow(glibc, entry, chunk.link, 0, &entry))
			return NULL;
	}
	*ret_whole = true;
	return NULL;
}

/* A list is read again, with its head, where it changed underneath. */
static struct error *cache_bin(struct glibc *glibc, uint64_t address, size_t bin,
			       struct votes *votes, bool *ret_whole)
{
	unsigned int again;
	struct cache cache;
	bool whole = false;

	for (again = 0; !whole && again < LIST_AGAIN; again++) {
		uint64_t size;

		whole = true;
		glibc->totals.read_again += again == 1;
		/* Neighbours come from one read, unless it did not do. */
		if (again || !bin)
			glibc->small.start = glibc->small.end = 0;
		/* A thread that ended gave its cache back. */
		if (glibc_peek_again(&glibc->small, address - 8, &size, sizeof(size)) &&
		    cache_read(glibc, address, size & ~GLIBC_FLAGS, &cache) && bin < cache.bins)
			try(cache_list(glibc, &cache, bin, votes, &whole));
	}
	*ret_whole = whole;
	return NULL;
}

static struct error *caches_read(struct glibc *glibc)
{
	struct votes votes = {0};
	size_t i, j;

	glibc_areas_clear(glibc, GLIBC_MARK_TCACHE);
	for (i = 0; i < glibc->cache_count; i++) {
		bool whole = true;

		for (j = 0; j < SMALL_BINS + LARGE_BINS && whole; j++)
			try(cache_bin(glibc, glibc->caches[i], j, &votes, &whole));
		glibc->totals.broken += !whole;
	}
	votes_decide(&votes, glibc);
	return NULL;
}

/* One fastbin, by the address of a chunk, not of its memory. */
static struct error *fastbin_list(struct glibc *glibc, uint64_t chunk, uint64_t size,
				  bool *ret_whole)
{
	struct glibc_turn turn = {0};

	*ret_whole = false;
	while (chunk) {
		struct glibc_area *area = glibc_area_at(glibc, chunk);
		struct {
			struct glibc_header header;
			uint64_t link;
		} read;

		if (!area || glibc_turn_seen(&turn, chunk) ||
		    !peek_all(glibc, chunk, &read, sizeof(read)) ||
		    (read.header.size & ~GLIBC_FLAGS) != size)
			return NULL;
		try(glibc_area_mark(area, GLIBC_MARK_FASTBIN, chunk + 16));
		if (!link_follow(glibc, chunk + 16, read.link, 0, &chunk))
			return NULL;
	}
	*ret_whole = true;
	return NULL;
}

static struct error *fastbins_read(struct glibc *glibc)
{
	size_t i, j;

	glibc_areas_clear(glibc, GLIBC_MARK_FASTBIN);
	for (i = 0; i < glibc->arena_count; i++) {
		const struct glibc_arena *arena = &glibc->arenas[i];
		uint64_t at = arena->state + arena->bins - 16 - FASTBINS * 8;

		/* There are none since 2.43. */
		for (j = 0; arena->bins > 16 + FASTBINS * 8 && j < FASTBINS; j++) {
			unsigned int again;
			bool whole = false;

			for (again = 0; !whole && again < LIST_AGAIN; again++) {
				uint64_t head = 0;

				glibc->totals.read_again += again == 1;
				if (!glibc_peek(&glibc->small, at + j * 8, &head, sizeof(head)) ||
				    (head && !glibc_pointer(head)))
					continue;
				try(fastbin_list(glibc, head, GLIBC_CHUNK_MIN + j * 16, &whole));
			}
			glibc->totals.broken += !whole;
		}
	}
	return NULL;
}

struct error *glibc_lists_read(struct glibc *glibc)
{
	try(caches_read(glibc));
	return fastbins_read(glibc);
}

static bool is_cache(const struct glibc *glibc, uint64_t address)
{
	size_t i;

	for (i = 0; i < glibc->cache_count; i++)
		if (glibc->caches[i] == address)
			return true;
	return false;
}

struct error *glibc_state_of(struct glibc *glibc, const struct glibc_area *area, uint64_t address,
			     const uint64_t *memory, enum glibc_state *ret)
{
	bool listed = area && glibc_area_marked(area, GLIBC_MARK_TCACHE, address);
	uint64_t next;

	*ret = area ? GLIBC_IN_USE : GLIBC_MAPPED;
	if (glibc->key == GLIBC_KEY_RANDOM && memory[1] == glibc->key_value) {
		/* It came into a cache after that was read; or else kept what was left in it. */
		if (!listed && area && glibc->refreshes < REFRESHES_MAX) {
			glibc->refreshes++;
			try(caches_read(glibc));
			listed = glibc_area_marked(area, GLIBC_MARK_TCACHE, address);
		}
		if (listed || !area)
			*ret = GLIBC_TCACHE;
	} else if (listed && (glibc->key == GLIBC_KEY_NONE ||
			      (glibc->key == GLIBC_KEY_CACHE && is_cache(glibc, memory[1])))) {
		*ret = GLIBC_TCACHE;
	} else if (area && glibc_area_marked(area, GLIBC_MARK_FASTBIN, address) &&
		   link_follow(glibc, address, memory[0], 0, &next)) {
		*ret = GLIBC_FASTBIN;
	}
	return NULL;
}
