// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which frame a file's name and line are, remembered while a large pickle is read. */
#include "format/frame_cache.h"
#include "base/cleanup.h"
#include "base/error.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void frame_cache_deinit(struct frame_cache *cache)
{
	free(cache->buckets);
	*cache = (struct frame_cache){0};
}

static struct error *buckets_create(struct frame_cache *cache)
{
	size_t size = sizeof(*cache->buckets) << FRAME_CACHE_BITS;

	cache->buckets = aligned_alloc(sizeof(*cache->buckets), size);
	if (!cache->buckets)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a table of frames");
	memset(cache->buckets, 0, size);
	return NULL;
}

struct error *frame_cache_add(struct frame_cache *cache, const struct frame *frame, uint32_t index)
{
	struct frame_bucket *bucket;

	if (!cache->buckets)
		try(buckets_create(cache));
	bucket = &cache->buckets[frame_cache_bucket(frame_cache_key(frame))];
	bucket->keys[bucket->next] = frame_cache_key(frame);
	bucket->frames[bucket->next] = index + 1;
	bucket->next = (bucket->next + 1) % FRAME_CACHE_PLACES;
	return NULL;
}
