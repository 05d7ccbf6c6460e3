// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pages, maps, task storage and the ring buffer, in the memory of the test. */
#include "bpf_emulation.h"
#include "numbered.h"
#include "support.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAPS_MAX 16

/* linux/bpf.h */
#define NOEXIST        1
#define FORCE_WAKEUP   2
#define STORAGE_CREATE 1

struct page {
	struct numbered numbered;
	uint8_t bytes[EMULATION_PAGE];
};

struct item {                     /* of a hash table */
	struct numbered numbered; /* its key */
	uint64_t value[];
};

struct map {
	const void *handle;
	uint32_t value_size, entries;
	uint8_t *array;
	struct map **inner;
	bool hash;
	struct numbered_table items;
};

struct storage {
	struct storage *next;
	const void *handle, *task;
	uint64_t value[];
};

struct record {
	struct record *next;
	size_t size;
	uint64_t bytes[];
};

struct emulation emulation;

static struct numbered_table pages;
static struct map maps[MAPS_MAX];
static size_t map_count;
static struct storage *storages;
static struct record *ring_first, **ring_end = &ring_first, *ring_taken;

static void map_deinit(struct map *map)
{
	for (uint32_t i = 0; map->inner && i < map->entries; i++) {
		if (map->inner[i])
			map_deinit(map->inner[i]);
		free(map->inner[i]);
	}
	free(map->inner);
	free(map->array);
	numbered_clear(&map->items);
}

void emulation_reset(void)
{
	numbered_clear(&pages);
	while (map_count)
		map_deinit(&maps[--map_count]);
	memset(maps, 0, sizeof(maps));
	while (storages) {
		struct storage *next = storages->next;

		free(storages);
		storages = next;
	}
	emulation_ring_drop(0);
	memset(&emulation, 0, sizeof(emulation));
	emulation.ring_limit = UINT64_MAX;
}

static struct page *page_find(uint64_t address)
{
	return numbered_find(&pages, address / EMULATION_PAGE);
}

void memory_map(uint64_t address, uint64_t size)
{
	for (uint64_t number = address / EMULATION_PAGE;
	     number <= (address + size - 1) / EMULATION_PAGE; number++)
		if (!page_find(number * EMULATION_PAGE))
			numbered_add(&pages, number, sizeof(struct page));
}

void memory_unmap(uint64_t address, uint64_t size)
{
	for (uint64_t at = address; at < address + size; at += EMULATION_PAGE) {
		assert_non_null(page_find(at));
		numbered_remove(&pages, at / EMULATION_PAGE);
	}
}

bool memory_mapped(uint64_t address)
{
	return page_find(address);
}

/* How much of SIZE bytes at ADDRESS lies in its page. */
static size_t page_part(uint64_t address, size_t size)
{
	size_t part = EMULATION_PAGE - address % EMULATION_PAGE;

	return part < size ? part : size;
}

/* Where the byte at ADDRESS is; the test fails if nothing is mapped there. */
static uint8_t *page_byte(uint64_t address)
{
	struct page *page = page_find(address);

	if (!page) {
		fail_msg("nothing is mapped at 0x%llx", (unsigned long long)address);
		abort();
	}
	return page->bytes + address % EMULATION_PAGE;
}

void memory_put(uint64_t address, const void *data, size_t size)
{
	const uint8_t *from = data;

	while (size) {
		size_t part = page_part(address, size);

		memcpy(page_byte(address), from, part);
		from += part;
		address += part;
		size -= part;
	}
}

void memory_put_u64(uint64_t address, uint64_t value)
{
	memory_put(address, &value, sizeof(value));
}

void memory_put_u32(uint64_t address, uint32_t value)
{
	memory_put(address, &value, sizeof(value));
}

void memory_put_u8(uint64_t address, uint8_t value)
{
	memory_put(address, &value, sizeof(value));
}

static bool memory_get(void *ret, size_t size, uint64_t address)
{
	uint8_t *to = ret;

	while (size) {
		struct page *page = page_find(address);
		size_t part = page_part(address, size);

		if (!page)
			return false;
		memcpy(to, page->bytes + address % EMULATION_PAGE, part);
		to += part;
		address += part;
		size -= part;
	}
	return true;
}

uint64_t memory_u64(uint64_t address)
{
	uint64_t value = 0;

	assert_true(memory_get(&value, sizeof(value), address));
	return value;
}

uint32_t memory_u32(uint64_t address)
{
	uint32_t value = 0;

	assert_true(memory_get(&value, sizeof(value), address));
	return value;
}

long emulation_read(void *ret, uint32_t size, uint64_t address)
{
	emulation.reads++;
	if (memory_get(ret, size, address))
		return 0;
	memset(ret, 0, size);
	return -EFAULT;
}

static struct map *map_add(const void *handle, uint32_t value_size, uint32_t entries)
{
	struct map *map = &maps[map_count++];

	assert_true(map_count <= MAPS_MAX);
	*map = (struct map){.handle = handle, .value_size = value_size, .entries = entries};
	return map;
}

void emulation_array(const void *handle, uint32_t value_size, uint32_t entries)
{
	struct map *map = map_add(handle, value_size, entries);

	map->array = calloc(entries, value_size);
	assert_non_null(map->array);
}

void emulation_hash(const void *handle, uint32_t value_size, uint32_t entries)
{
	map_add(handle, value_size, entries)->hash = true;
}

void emulation_array_of_maps(const void *handle, uint32_t entries)
{
	struct map *map = map_add(handle, sizeof(struct map *), entries);

	map->inner = calloc(entries, sizeof(struct map *));
	assert_non_null(map->inner);
}

/* Inner maps are their own handles. */
static struct map *map_find(const void *handle)
{
	for (size_t i = 0; i < map_count; i++) {
		if (maps[i].handle == handle)
			return &maps[i];
		for (uint32_t inner = 0; maps[i].inner && inner < maps[i].entries; inner++)
			if (maps[i].inner[inner] && maps[i].inner[inner] == handle)
				return maps[i].inner[inner];
	}
	fail_msg("a map that was not set up");
	return NULL;
}

void emulation_inner(const void *handle, uint32_t index, uint32_t value_size)
{
	struct map *map = map_find(handle), *inner = calloc(1, sizeof(*inner));

	assert_true(inner && index < map->entries && !map->inner[index]);
	*inner = (struct map){.value_size = value_size, .entries = 1};
	inner->array = calloc(1, value_size);
	assert_non_null(inner->array);
	map->inner[index] = inner;
}

uint32_t emulation_count(const void *handle)
{
	return map_find(handle)->items.count;
}

void emulation_hash_clear(const void *handle)
{
	numbered_clear(&map_find(handle)->items);
}

static struct item *item_find(const struct map *map, const void *key)
{
	uint64_t number;

	memcpy(&number, key, sizeof(number));
	return numbered_find(&map->items, number);
}

void *emulation_lookup(const void *handle, const void *key)
{
	struct map *map = map_find(handle);
	struct item *item;
	uint32_t index;

	if (map->hash) {
		item = item_find(map, key);
		return item ? item->value : NULL;
	}
	memcpy(&index, key, sizeof(index));
	if (index >= map->entries)
		return NULL;
	return map->inner ? (void *)map->inner[index]
			  : map->array + (size_t)index * map->value_size;
}

long emulation_update(const void *handle, const void *key, const void *value, uint64_t flags)
{
	struct map *map = map_find(handle);
	struct item *item = item_find(map, key);
	uint64_t number;

	assert_true(map->hash);
	if (item && flags == NOEXIST)
		return -EEXIST;
	if (!item) {
		if (map->items.count >= map->entries)
			return -E2BIG;
		memcpy(&number, key, sizeof(number));
		item = numbered_add(&map->items, number,
				    sizeof(*item) + (map->value_size + 7) / 8 * 8);
	}
	memcpy(item->value, value, map->value_size);
	return 0;
}

/* Freed at once, so that AddressSanitizer sees what is used after it. */
long emulation_delete(const void *handle, const void *key)
{
	struct map *map = map_find(handle);
	struct item *item = item_find(map, key);

	if (!item)
		return -ENOENT;
	numbered_remove(&map->items, item->numbered.number);
	return 0;
}

void *emulation_storage(const void *handle, const void *task, uint32_t size, uint64_t flags)
{
	struct storage *storage;

	for (storage = storages; storage; storage = storage->next)
		if (storage->handle == handle && storage->task == task)
			return storage->value;
	if (!(flags & STORAGE_CREATE) || handle == emulation.no_storage)
		return NULL;
	storage = calloc(1, sizeof(*storage) + size);
	assert_non_null(storage);
	storage->handle = handle;
	storage->task = task;
	storage->next = storages;
	storages = storage;
	return storage->value;
}

long emulation_ring_output(const void *data, uint64_t size, uint64_t flags)
{
	struct record *record;

	if (size > emulation.ring_limit || emulation.ring_waiting > emulation.ring_limit - size)
		return -EAGAIN;
	record = calloc(1, sizeof(*record) + size);
	assert_non_null(record);
	record->size = size;
	memcpy(record->bytes, data, size);
	*ring_end = record;
	ring_end = &record->next;
	emulation.ring_waiting += size;
	emulation.ring_wakeups += flags == FORCE_WAKEUP;
	return 0;
}

uint64_t emulation_ring_query(void)
{
	return emulation.query ? emulation.query() : emulation.ring_waiting;
}

const void *emulation_ring_take(size_t *ret_size)
{
	struct record *record = ring_first;

	free(ring_taken);
	ring_taken = record;
	if (!record)
		return NULL;
	ring_first = record->next;
	if (!ring_first)
		ring_end = &ring_first;
	emulation.ring_waiting -= record->size;
	*ret_size = record->size;
	return record->bytes;
}

unsigned emulation_ring_drop(uint32_t type)
{
	const uint32_t *record;
	unsigned count = 0;
	size_t size;

	while ((record = emulation_ring_take(&size)))
		count += *record == type;
	return count;
}
