// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The hash table: linear probing, at most half full, seeded. */
#include "base/lookup.h"
#include "base/cleanup.h"
#include "base/error.h"
#include <errno.h>
#include <string.h>
#include <sys/random.h>

static uint64_t process_seed;

/* At the start of the process, so that no hash has to ask whether it is there. */
__attribute__((constructor)) static void process_seed_init(void)
{
	/* At an early boot there may be no entropy yet: any seed is then as good. */
	if (getrandom(&process_seed, sizeof(process_seed), GRND_NONBLOCK) != sizeof(process_seed))
		process_seed = (uintptr_t)&process_seed ^ (uint64_t)getpid() << 32;
}

uint64_t lookup_hash_number(uint64_t seed, uint64_t number)
{
	return lookup_mix(number ^ process_seed ^ 0x9e3779b97f4a7c15, seed ^ 0xd6e8feb86659fd93);
}

uint64_t lookup_hash(uint64_t seed, const void *data, size_t size)
{
	const char *bytes = data;
	uint64_t hash = lookup_hash_number(seed, size);
	uint64_t word;

	for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		hash = lookup_hash_number(hash, word);
	}
	word = 0;
	if (size > 0)
		memcpy(&word, bytes, size);
	return lookup_hash_number(hash, word);
}

static uint32_t fold(uint64_t hash)
{
	return (uint32_t)(hash ^ hash >> 32);
}

uint32_t lookup_find(const struct lookup *lookup, uint64_t hash, lookup_equal equal,
		     const void *context, const void *key)
{
	uint32_t folded = fold(hash);

	if (lookup->size == 0)
		return LOOKUP_NONE;
	for (size_t i = folded & (lookup->size - 1);; i = (i + 1) & (lookup->size - 1)) {
		const struct lookup_slot *slot = &lookup->slots[i];

		if (slot->position == LOOKUP_NONE)
			return LOOKUP_NONE;
		if (slot->hash == folded && equal(context, slot->position, key))
			return slot->position;
	}
}

static void slots_put(struct lookup_slot *slots, size_t size, struct lookup_slot slot)
{
	size_t i = slot.hash & (size - 1);

	while (slots[i].position != LOOKUP_NONE)
		i = (i + 1) & (size - 1);
	slots[i] = slot;
}

static struct error *lookup_grow(struct lookup *lookup)
{
	size_t size = lookup->size ? lookup->size * 4 : 64;
	struct lookup_slot *slots = reallocarray(NULL, size, sizeof(*slots));

	if (!slots)
		return error_create_errno(ERROR_FAILED, ENOMEM, "a table of %zu slots", size);
	memset(slots, 0xff, size * sizeof(*slots));
	for (size_t i = 0; i < lookup->size; i++) {
		if (lookup->slots[i].position != LOOKUP_NONE)
			slots_put(slots, size, lookup->slots[i]);
	}
	free(lookup->slots);
	lookup->slots = slots;
	lookup->size = size;
	return NULL;
}

struct error *lookup_add(struct lookup *lookup, uint64_t hash, uint32_t position)
{
	/* At most half full, so that a search ends soon. */
	if (lookup->used >= lookup->size / 2)
		try(lookup_grow(lookup));
	slots_put(lookup->slots, lookup->size, (struct lookup_slot){fold(hash), position});
	lookup->used++;
	return NULL;
}

/* The place of POSITION, which was added with HASH. */
static size_t slot_of(const struct lookup *lookup, uint64_t hash, uint32_t position)
{
	size_t i = fold(hash) & (lookup->size - 1);

	while (lookup->slots[i].position != position)
		i = (i + 1) & (lookup->size - 1);
	return i;
}

void lookup_remove(struct lookup *lookup, uint64_t hash, uint32_t position)
{
	struct lookup_slot *slots = lookup->slots;
	size_t mask = lookup->size - 1, hole = slot_of(lookup, hash, position);

	/*
	 * What lies behind the hole moves into it, unless its search begins behind the hole. No
	 * mark of what was removed has to stay, so no number of removals makes a search longer.
	 */
	for (size_t i = (hole + 1) & mask; slots[i].position != LOOKUP_NONE; i = (i + 1) & mask) {
		if (((i - slots[i].hash) & mask) < ((i - hole) & mask))
			continue;
		slots[hole] = slots[i];
		hole = i;
	}
	slots[hole].position = LOOKUP_NONE;
	lookup->used--;
}

void lookup_move(struct lookup *lookup, uint64_t hash, uint32_t from, uint32_t to)
{
	lookup->slots[slot_of(lookup, hash, from)].position = to;
}

void lookup_deinit(struct lookup *lookup)
{
	free(lookup->slots);
	*lookup = (struct lookup){0};
}
