/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel is to the BPF programs, in this process: the memory of a target (pages at
 * addresses; what is not mapped cannot be read), maps, task storage, the ring buffer. All of it is
 * one static world, begun anew by emulation_reset(). Knows no kernel types, nor the programs.
 */
#ifndef TMBPF_TESTS_BPF_EMULATION_H
#define TMBPF_TESTS_BPF_EMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EMULATION_PAGE 4096

/* Frees everything, and sets what follows to its defaults. */
void emulation_reset(void);

extern struct emulation {
	uint64_t cookie;         /* of the probe that is hit */
	uint64_t pid_tgid;       /* of the current task */
	uint32_t random;         /* what the next random number is */
	uint64_t reads;          /* of the target's memory so far */
	uint64_t ring_limit;     /* bytes that the ring buffer holds; all there are by default */
	uint64_t ring_waiting;   /* bytes in it */
	uint64_t ring_wakeups;   /* records that were to wake user space */
	const void *no_storage;  /* this task storage map has no memory for a task that is new */
	uint64_t (*query)(void); /* what the ring says waits; NULL: what does */
} emulation;

/* The target's memory. Pages are zero when mapped. */
void memory_map(uint64_t address, uint64_t size);
void memory_unmap(uint64_t address, uint64_t size);
bool memory_mapped(uint64_t address);
/* These fail the test where nothing is mapped. */
void memory_put(uint64_t address, const void *data, size_t size);
void memory_put_u64(uint64_t address, uint64_t value);
void memory_put_u32(uint64_t address, uint32_t value);
void memory_put_u8(uint64_t address, uint8_t value);
uint64_t memory_u64(uint64_t address);
uint32_t memory_u32(uint64_t address);

/* As the kernel's: 0, or a negative errno with RET zeroed (bpf_probe_read_user_common()). */
long emulation_read(void *ret, uint32_t size, uint64_t address);

/* HANDLE stands for the map in the calls below. Keys of hash tables are of 8 bytes. */
void emulation_array(const void *handle, uint32_t value_size, uint32_t entries);
void emulation_hash(const void *handle, uint32_t value_size, uint32_t entries);
void emulation_array_of_maps(const void *handle, uint32_t entries);
/* Puts an array of one VALUE_SIZE value at INDEX of an array of maps. */
void emulation_inner(const void *handle, uint32_t index, uint32_t value_size);
/* How many entries a hash table has. */
uint32_t emulation_count(const void *handle);
void emulation_hash_clear(const void *handle);

void *emulation_lookup(const void *handle, const void *key);
long emulation_update(const void *handle, const void *key, const void *value, uint64_t flags);
long emulation_delete(const void *handle, const void *key);
void *emulation_storage(const void *handle, const void *task, uint32_t size, uint64_t flags);

long emulation_ring_output(const void *data, uint64_t size, uint64_t flags);
uint64_t emulation_ring_query(void);

/* Takes the oldest record out of the ring; NULL if there is none. Good until the next take. */
const void *emulation_ring_take(size_t *ret_size);
/* Takes all out. How many of TYPE, the first word of a record, there were. */
unsigned emulation_ring_drop(uint32_t type);

#endif
