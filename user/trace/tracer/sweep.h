/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sweep: if frees of the object domain are not probed, it takes the entries of dead blocks out
 * of the shadow (bpf/shadow.h). The pools decide (user/python/heap/pools.h). A block is dead if it
 * is on its pool's free list, if the pool as it is now has not carved it, if no block of the pool
 * begins there, or if its memory is no pool (any more).
 *
 * The target runs meanwhile, and its probe tells of a block before the interpreter takes it off the
 * free list. So an entry whose block is found dead is at first only a suspect: it gets a mark,
 * which the BPF programs overwrite when they hand the address out. It is taken out if the pool,
 * read once more, says the same, the mark is still there, and the block is not the last one that
 * its heap handed out. That one is only taken for dead while all threads sleep.
 */
#ifndef TMBPF_TRACE_TRACER_SWEEP_H
#define TMBPF_TRACE_TRACER_SWEEP_H

#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "python/python.h"
#include "tmbpf.h"

struct error;
struct memory;
struct sweep;

/* What the sweep needs of its tracer. */
struct sweep_tracer {
	struct memory *memory; /* the target's */
	const struct tmbpf_handed *handed;
	void *context;
	/* Whether no thread of the target is about to take a block: all of them sleep. */
	bool (*asleep)(void *context);
	/*
	 * The block at ADDRESS, which holds a code object, is dead: what is known of that is to
	 * end. But if ENTRY has not the value EXPECTED any more, its address was handed out
	 * meanwhile.
	 */
	void (*end_code)(void *context, uint64_t address, const uint32_t *entry, uint32_t expected);
	/* ENTRY was taken out. */
	void (*drop)(void *context, uint32_t entry);
};

struct sweep_counters {
	uint64_t pools;    /* that were looked at */
	uint64_t dead;     /* entries that were taken out */
	uint64_t unstable; /* pools that changed whenever they were read: their entries stay */
};

struct error *sweep_create(const struct python_heap *heap, const struct sweep_tracer *tracer,
			   struct sweep **ret);
/* NULL is accepted. */
void sweep_destroy(struct sweep *sweep);

/* Bytes of address space that a slab covers. */
uint64_t sweep_range(const struct sweep *sweep);

/*
 * Takes the dead out of a slab: ENTRIES (TMBPF_SLAB_ENTRIES) cover the memory from ADDRESS on. Adds
 * to COUNTERS. Fails if the target cannot be read at all.
 */
struct error *sweep_slab(struct sweep *sweep, uint32_t *entries, uint64_t address,
			 struct sweep_counters *counters);

#endif
