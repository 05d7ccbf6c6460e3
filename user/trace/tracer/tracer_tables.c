// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The BPF maps that user space reads and changes itself, and the slabs of the shadow. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "trace/tracer/tracer_internal.h"

#define SLAB_BYTES (TMBPF_SLAB_ENTRIES * sizeof(uint32_t))

struct error *tracer_table_map(struct bpf_map *map, struct table *ret)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t size = ((size_t)bpf_map__value_size(map) + 7) / 8 * 8 * bpf_map__max_entries(map);
	void *data;

	size = (size + page - 1) / page * page;
	data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (data == MAP_FAILED)
		return error_create_errno(ERROR_FAILED, errno, "cannot map the BPF map %s",
					  bpf_map__name(map));
	ret->data = data;
	ret->size = size;
	return NULL;
}

void tracer_table_unmap(struct table *table)
{
	if (table->data)
		munmap(table->data, table->size);
}

void tracer_hash_clear(int map)
{
	uint64_t key;

	while (!bpf_map_get_next_key(map, NULL, &key))
		bpf_map_delete_elem(map, &key);
}

struct error *tracer_slab_map(const struct tracer *tracer, uint32_t index, uint32_t **ret)
{
	void *entries;

	if (index >= tracer->slab_count)
		return error_create_errno(ERROR_FAILED, ENOENT, "cannot map the shadow");
	entries = mmap(NULL, SLAB_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		       tracer->slab_fds[index], 0);
	if (entries == MAP_FAILED)
		return error_create_errno(ERROR_FAILED, errno, "cannot map the shadow");
	*ret = entries;
	return NULL;
}

void tracer_slab_unmap(uint32_t *entries)
{
	if (entries)
		munmap(entries, SLAB_BYTES);
}

/* Like shadow_entry() of bpf/shadow.h. */
bool tracer_chunk_slab(const struct tracer *tracer, uint64_t chunk, uint32_t *ret)
{
	const struct tmbpf_chunk *chunks = tracer->chunks.data;
	uint32_t mask = tracer->skeleton->rodata->cfg.chunk_mask;
	uint32_t place = tmbpf_chunk_place(chunk);

	for (uint32_t i = 0; i < TMBPF_CHUNK_PROBES; i++) {
		const struct tmbpf_chunk *entry = &chunks[(place + i) & mask];
		uint64_t found = __atomic_load_n(&entry->chunk, __ATOMIC_SEQ_CST);
		uint32_t slab = __atomic_load_n(&entry->slab, __ATOMIC_SEQ_CST);

		if (!found || (found == chunk && !slab))
			return false;
		if (found != chunk)
			continue;
		*ret = slab - 1;
		return slab <= tracer->options.slab_limit;
	}
	return false;
}

struct error *tracer_shadow(const struct tracer *tracer, uint64_t address, uint32_t count,
			    uint32_t *ret)
{
	uint64_t granule = address >> tracer->skeleton->rodata->cfg.granule_shift;

	while (count) {
		uint32_t first = granule & (TMBPF_SLAB_ENTRIES - 1), slab;
		uint32_t here = TMBPF_SLAB_ENTRIES - first < count ? TMBPF_SLAB_ENTRIES - first
								   : count;
		uint32_t *entries;

		memset(ret, 0, here * sizeof(*ret));
		if (tracer_chunk_slab(tracer, (granule >> TMBPF_SLAB_BITS) + 1, &slab)) {
			try(tracer_slab_map(tracer, slab, &entries));
			memcpy(ret, entries + first, here * sizeof(*ret));
			tracer_slab_unmap(entries);
		}
		ret += here;
		granule += here;
		count -= here;
	}
	return NULL;
}
