/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tells from the code whether an object is taken from a free list. The code looked at is that which
 * leads to a root, a place that tells of new objects. A list is linked through its objects (the
 * head becomes the object's successor), or an array with a count, or has room for one object.
 */
#ifndef TMBPF_PROBE_FIND_FREELIST_POP_H
#define TMBPF_PROBE_FIND_FREELIST_POP_H

#include <stdbool.h>
#include <stdint.h>

#include "probe/code/listing.h"
#include "probe/find/site.h"

struct builder;

/* Instructions that lead to one root. */
#define TRAIL_MAX 256

/* The first one is the root. Each instruction is there once, with the step that follows it. */
struct trail {
	struct step {
		struct x86_instruction instruction;
		uint16_t next, depth;
		bool alone; /* it is reached from one place only */
	} steps[TRAIL_MAX];
	unsigned count;
};

/* The ways to ROOT, backwards from it, the nearest TRAIL_MAX instructions of them. */
void trail_make(struct listing *listing, const struct x86_instruction *root, struct trail *trail);

/* Whether the test at the trail's root is for a new object: it also asks for those that die. */
bool trail_tells_new(struct listing *listing, const struct trail *trail);

/*
 * Follows the trail from the step INDEX, which may load a list's head, or an array's count where
 * COUNTED. True if an object is taken there and goes to the root. RET_TAKEN: the instruction behind
 * the one that takes it. RET_SITE: where it can be probed apart from new objects; its address is 0
 * if nowhere.
 */
bool freelist_pop_follow(struct builder *builder, const struct trail *trail, unsigned index,
			 bool counted, uint64_t *ret_taken, struct site *ret_site);

#endif
