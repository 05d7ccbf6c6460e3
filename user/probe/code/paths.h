/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Walks over the control flow of a listing, backwards. Bounded. */
#ifndef TMBPF_PROBE_CODE_PATHS_H
#define TMBPF_PROBE_CODE_PATHS_H

#include "probe/code/listing.h"

#define PATHS_MAX 512 /* instructions of one walk */

enum path_verdict {
	PATH_ON,   /* go on behind it */
	PATH_ENDS, /* this path ends where it should */
	PATH_FAILS /* it does not: the walk ends */
};

/*
 * Says what to make of the edge from the instruction BEFORE, which flows or jumps to ADDRESS.
 * BEFORE is NULL where ADDRESS is a function's entry, or where nothing is known to lead there.
 */
typedef enum path_verdict (*path_judge)(void *context, const struct x86_instruction *before,
					uint64_t address);

/*
 * Follows all paths that lead to ADDRESS backwards. True if each ended where JUDGE wants it to;
 * false if one failed, or after LIMIT (at most PATHS_MAX) instructions.
 */
bool paths_backward(struct listing *listing, uint64_t address, unsigned limit, path_judge judge,
		    void *context);

/* Whether control goes on to the next instruction. */
bool path_flows(const struct x86_instruction *instruction);

/* The instruction that flows into ADDRESS, if one does; padding behind a jump does not count. */
bool path_flows_into(struct listing *listing, uint64_t address, struct x86_instruction *ret);

#endif
