/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The sweep: where the object domain's frees are not probed, it takes the entries of dead blocks
 * out of the shadow (bpf/shadow.h). What the pools say decides (user/python/heap/pools.h): a block is
 * dead if it is on its pool's free list, was never carved in its pool as that is now, does not
 * begin where a block of that pool does, or lies in memory that is no pool or none any more.
 *
 * The target runs meanwhile, and its probe tells of a block before the interpreter takes it off the
 * free list. So an entry whose block is found dead is only suspected at first: it gets a mark that
 * the BPF programs overwrite when they hand the address out. It is taken out if the pool, read once
 * more, says the same, the mark is still there, and the block is not the one that its heap handed
 * out last. That one is only taken for dead while all threads sleep.
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

/* What the sweep asks of its tracer. */
struct sweep_tracer {
	struct memory *memory; /* of the target */
	const struct tmbpf_handed *handed;
	void *context;
	/* Whether no thread of the target is about to take a block: all of them sleep. */
	bool (*asleep)(void *context);
	/*
	 * The block at ADDRESS that holds a code object is dead; ENTRY still has the value EXPECTED if
	 * its address was not handed out meanwhile. What is known of the code object ends.
	 */
	void (*end_code)(void *context, uint64_t address, const uint32_t *entry, uint32_t expected);
	/* ENTRY was taken out. */
	void (*drop)(void *context, uint32_t entry);
};

struct sweep_counters {
	uint64_t pools;    /* that were looked at */
	uint64_t dead;     /* entries taken out */
	uint64_t unstable; /* pools that never held together: their entries were left */
};

struct error *sweep_create(const struct python_heap *heap, const struct sweep_tracer *tracer,
			   struct sweep **ret);
/* NULL is accepted. */
void sweep_destroy(struct sweep *sweep);

/* Bytes of address space that a slab covers. */
uint64_t sweep_range(const struct sweep *sweep);

/*
 * Takes the dead out of the slab ENTRIES (TMBPF_SLAB_ENTRIES), which covers the memory from ADDRESS
 * on. Fails if the target cannot be read at
 * all; COUNTERS are added to.
 */
struct error *sweep_slab(struct sweep *sweep, uint32_t *entries, uint64_t address,
			 struct sweep_counters *counters);

#endif
