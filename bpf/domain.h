/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Blocks of tracemalloc's other domains than Python's own. Extensions tell of theirs by
 * PyTraceMalloc_Track() and _Untrack(), whether tracemalloc is on or off. They are kept among the
 * raw domain's, under keys of their own.
 */
#ifndef TMBPF_DOMAIN_H
#define TMBPF_DOMAIN_H

#include "intern.h"
#include "kernel.h"
#include "shadow.h"
#include "shared/block.h"
#include "shared/loss.h"
#include "shared/site.h"
#include "state.h"
#include "thread.h"
#include "x86.h"

/*
 * The place of DOMAIN, which is not 0, in the list of those that were seen. TMBPF_DOMAINS_MAX:
 * there is no room.
 */
static __always_inline __u32 domain_place(__u32 domain)
{
	__u32 i;

	for (i = 0; i < TMBPF_DOMAINS_MAX; i++) {
		__u32 known = *(volatile __u32 *)&state.domains[i];

		if (!known)
			known = compare_exchange(&state.domains[i], 0, domain) ?: domain;
		if (known == domain)
			break;
	}
	return i;
}

/*
 * A block of another domain is there, or has another size: unlike malloc's, it may be told of again
 * (tracemalloc_add_trace, Modules/_tracemalloc.c).
 */
static __always_inline void domain_block_add(__u64 key, __u64 size, __u32 stack)
{
	struct tmbpf_raw_block block = {.size = size, .stack = stack}, before = {0}, *old;

	old = bpf_map_lookup_elem(&raw_blocks, &key);
	if (old)
		before = *old;
	if (bpf_map_update_elem(&raw_blocks, &key, &block, BPF_ANY)) {
		count_loss(TMBPF_LOSS_RAW_BLOCKS_FULL);
		return; /* what was known of it stays */
	}
	if (old)
		totals_remove(before.stack, before.size);
	totals_add(stack, size);
}

static __always_inline void domain_block_remove(__u64 key)
{
	struct tmbpf_raw_block *found = bpf_map_lookup_elem(&raw_blocks, &key), block;

	if (!found) {
		add(&state.unknown_frees, 1);
		return;
	}
	block = *found;
	if (!bpf_map_delete_elem(&raw_blocks, &key))
		totals_remove(block.stack, block.size);
}

/*
 * The program tells tracemalloc, which may be off, of the block at ADDRESS, which an allocator of
 * its own (numpy's) handed out. With TRACK it has SIZE bytes; without, it is gone.
 */
__noinline int domain_event(THREAD_GIVEN, __u64 address, __u64 size, __u32 domain, __u32 track)
{
	THREAD_OF_GIVEN;
	__u32 place = 0;
	__u64 key = address;

	if (!thread)
		return 0;
	if (domain) {
		place = domain_place(domain);
		if (place >= TMBPF_DOMAINS_MAX || address >> TMBPF_DOMAIN_SHIFT) {
			count_loss(TMBPF_LOSS_DOMAINS_FULL);
			return 0;
		}
		key = TMBPF_DOMAIN_KEY(address, place);
	}
	if (cfg.mode == TMBPF_MODE_SAMPLED) {
		if (track)
			window_allocation_add(address, size,
					      stack_of_domain(THREAD_GIVE(thread), domain),
					      TMBPF_ALLOCATION_RAW);
	} else if (track) {
		domain_block_add(key, size, stack_of_domain(THREAD_GIVE(thread), domain));
	} else {
		domain_block_remove(key);
	}
	return 0;
}

static __always_inline void track_event(struct pt_regs *regs, const struct tmbpf_site *site,
					struct thread *thread, __u64 address, __u64 size)
{
	bool track = site->action == TMBPF_TRACK;
	__u64 domain;

	if (!value_read(regs, &site->a[2], &domain)) {
		count_loss(TMBPF_LOSS_ARGUMENT_UNREADABLE);
		return;
	}
	count_event(track ? TMBPF_EVENT_TRACK : TMBPF_EVENT_UNTRACK);
	domain_event(THREAD_GIVE(thread), address, size, domain, track);
}

#endif
