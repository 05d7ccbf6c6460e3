/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Large blocks of the raw domain, which are sampled all the time like page faults; see sample.h. */
#ifndef TMBPF_LARGE_H
#define TMBPF_LARGE_H

#include "kernel.h"
#include "raw.h"
#include "sample.h"
#include "shared/loss.h"
#include "shared/record.h"
#include "shared/site.h"
#include "size.h"
#include "state.h"
#include "thread.h"
#include "x86.h"

/*
 * So many large blocks a tick are sampled; the rest is lost. They cannot be thinned, as all of them
 * are tracked.
 */
#define LARGE_TICK_MAX 1024

static __always_inline void large_allocated(struct thread *thread, __u64 address, __u64 size,
					    __u32 domain)
{
	__u64 now = bpf_ktime_get_ns();

	if (now - state.large_tick > SAMPLE_TICK_NS) {
		state.large_tick = now;
		state.large_samples = 0;
	}
	thread->domain = domain;
	if (fetch_add(&state.large_samples, 1) >= LARGE_TICK_MAX ||
	    sample_send(THREAD_GIVE(thread), TMBPF_SAMPLE_LARGE, address, size, 1))
		count_loss(TMBPF_LOSS_LARGE);
	thread->domain = 0;
	add(&state.large_ns, bpf_ktime_get_ns() - now);
}

/* libc has answered the request for a large block by ADDRESS. */
static __always_inline void large_answer(struct thread *thread, __u64 address)
{
	__u64 size = thread->large.size;

	thread->large.returns = 0;
	if (address)
		large_allocated(thread, address, size > cfg.hook_extra ? size - cfg.hook_extra : 0,
				0);
}

/* A large block of another domain: nothing need be waited for. */
static __always_inline int large_track(struct pt_regs *regs, const struct tmbpf_site *site)
{
	__u64 address, size, domain;
	struct thread *thread;

	if (!value_read(regs, &site->a[0], &address) || !value_read(regs, &site->a[1], &size) ||
	    !value_read(regs, &site->a[2], &domain)) {
		count_loss(TMBPF_LOSS_ARGUMENT_UNREADABLE);
		return 0;
	}
	if (size < cfg.large_least)
		return 0;
	thread = thread_get();
	if (thread)
		large_allocated(thread, address, size, domain);
	else
		count_loss(TMBPF_LOSS_LARGE);
	return 0;
}

/* What is asked of libc by a call or jump at SITE; 0 if that is no allocation. */
static __always_inline __u64 large_request(struct pt_regs *regs, const struct tmbpf_site *site)
{
	__u64 a = 0, b = 0;

	if (site->action < TMBPF_RAW_MALLOC || site->action > TMBPF_RAW_REALLOC)
		return 0;
	if (!value_read(regs, &site->a[0], &a) || !value_read(regs, &site->a[1], &b)) {
		count_loss(TMBPF_LOSS_ARGUMENT_UNREADABLE);
		return 0;
	}
	if (site->action == TMBPF_RAW_MALLOC)
		return a;
	return site->action == TMBPF_RAW_CALLOC ? saturated_product(a, b) : b;
}

/* The result of a large block's call, if this is it. */
static __always_inline void large_result(struct pt_regs *regs, const struct tmbpf_site *site)
{
	struct thread *thread = thread_find();
	__u64 address;

	if (!thread || !thread->large.returns ||
	    stack_pointer(regs) - site->stack_delta != thread->large.stack_pointer ||
	    (site->returns && site->returns != thread->large.returns))
		return;
	if (value_read(regs, &site->a[0], &address)) {
		large_answer(thread, address);
		return;
	}
	count_loss(TMBPF_LOSS_ARGUMENT_UNREADABLE);
	thread->large.returns = 0;
}

/* 1: its result is to be caught by a return probe. */
static __always_inline int large_event(struct pt_regs *regs, const struct tmbpf_site *site)
{
	struct thread *thread;
	__u64 size;

	add(&state.large_hits, 1);
	if (site->action == TMBPF_RESULT) {
		large_result(regs, site);
		return 0;
	}
	if (site->action == TMBPF_TRACK)
		return large_track(regs, site);
	size = large_request(regs, site);
	if (size < cfg.large_least)
		return 0;
	thread = thread_get();
	if (!thread || !raw_return(regs, site, thread)) {
		count_loss(TMBPF_LOSS_LARGE);
		return 0;
	}
	thread->large.size = size;
	thread->large.returns = thread->call_returns;
	thread->large.stack_pointer = thread->call_stack_pointer;
	if (!(site->flags & TMBPF_SITE_TAIL) || raw_return_known(thread->call_returns))
		return 0;
	if (cfg.large_returns)
		return 1;
	thread->large.returns = 0;
	count_loss(TMBPF_LOSS_LARGE);
	return 0;
}

#endif
