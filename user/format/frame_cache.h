/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames that were seen of late, by file name and line. Python writes a frame into a pickle again
 * for each traceback that it is in, and most are the same few: a look here spares one into the
 * tables, which goes to three places of memory.
 */
#ifndef TMBPF_FORMAT_FRAME_CACHE_H
#define TMBPF_FORMAT_FRAME_CACHE_H

#include "snapshot/tables.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_CACHE_PLACES 5
#define FRAME_CACHE_BITS   13

/* A line of the processor's cache. */
struct frame_bucket {
	uint64_t keys[FRAME_CACHE_PLACES];   /* file name and line */
	uint32_t frames[FRAME_CACHE_PLACES]; /* index of the tables, plus one; 0: nothing is here */
	uint32_t next;                       /* the place to be taken by the next one */
};

_Static_assert(sizeof(struct frame_bucket) == 64, "a line of the processor's cache");

/* All zero is an empty one. */
struct frame_cache {
	struct frame_bucket *buckets; /* 1 << FRAME_CACHE_BITS */
};

void frame_cache_deinit(struct frame_cache *cache);

/* Keeps FRAME, which was not found, as INDEX of the tables; another may be forgotten for it. */
struct error *frame_cache_add(struct frame_cache *cache, const struct frame *frame, uint32_t index);

static inline uint64_t frame_cache_key(const struct frame *frame)
{
	return (uint64_t)frame->filename << 32 | frame->lineno;
}

static inline size_t frame_cache_bucket(uint64_t key)
{
	return key * 0x9e3779b97f4a7c15 >> (64 - FRAME_CACHE_BITS);
}

/* Whether FRAME is here; *RET is then its index. Names of functions are not looked at. */
static inline bool frame_cache_find(const struct frame_cache *cache, const struct frame *frame,
				    uint32_t *ret)
{
	uint64_t key = frame_cache_key(frame);
	const struct frame_bucket *bucket;
	uint32_t found = 0;

	if (!cache->buckets)
		return false;
	bucket = &cache->buckets[frame_cache_bucket(key)];
	/* One of them at most; which one cannot be foreseen, so there is no branch for it. */
	for (size_t i = 0; i < FRAME_CACHE_PLACES; i++)
		found |= bucket->keys[i] == key ? bucket->frames[i] : 0;
	if (found == 0)
		return false;
	*ret = found - 1;
	return true;
}

#endif
