// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The programs. Each probe's cookie is the index of its record in `sites`, which says what the
 * instruction there means and where its arguments are. What is done then, by domain: object.h,
 * raw.h, domain.h; for large blocks that are sampled: large.h.
 */
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "domain.h"
#include "fork.h"
#include "kernel.h"
#include "large.h"
#include "object.h"
#include "raw.h"
#include "sample.h"
#include "state.h"
#include "thread.h"
#include "x86.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

static __always_inline struct thread *thread_current(void)
{
	struct thread *thread = thread_get();

	if (!thread) {
		count_loss(TMBPF_LOSS_THREAD_STORAGE);
		return NULL;
	}
	if (cfg.mode == TMBPF_MODE_SAMPLED && thread->window != state.window) {
		/* What an earlier sampling window left half done is over. */
		thread->pending.returns = 0;
		thread->object_request = thread->hook_request = thread->no_arena = 0;
		thread->refill_class = 0;
		thread->window = state.window;
	}
	return thread;
}

static __always_inline int site_event(struct pt_regs *regs, const struct tmbpf_site *site)
{
	__u64 a = 0, b = 0;
	__u32 action = site->action;
	struct thread *thread;

	if (site->flags & TMBPF_SITE_GUARD && !flag_zero(regs)) {
		count_event(TMBPF_EVENT_INACTIVE);
		return 0;
	}
	thread = thread_current();
	if (!thread)
		return 0;
	if (action == TMBPF_RESULT) {
		result_event(regs, site, thread);
		return 0;
	}
	if (action == TMBPF_REFILL) {
		count_event(TMBPF_EVENT_REFILL);
		if (!thread->refill_class)
			count_loss(TMBPF_LOSS_REFILL_UNANNOUNCED);
		thread->refill_class = 0;
		return 0;
	}
	if (!value_read(regs, &site->a[0], &a) || !value_read(regs, &site->a[1], &b)) {
		count_loss(TMBPF_LOSS_ARGUMENT_UNREADABLE);
		return 0;
	}
	if (action == TMBPF_FREELIST_POP) {
		count_event(TMBPF_EVENT_FREELIST_POP);
		return object_popped(THREAD_GIVE(thread), a);
	}
	if (action == TMBPF_HOOK) {
		count_event(TMBPF_EVENT_HOOK);
		thread->hook_request = 1;
		return 0;
	}
	if (action == TMBPF_TRACK || action == TMBPF_UNTRACK) {
		track_event(regs, site, thread, a, b);
		return 0;
	}
	if (action > TMBPF_RAW_FREE)
		return 0;
	add(&state.events[action], 1);
	if (cfg.mode == TMBPF_MODE_LAZY)
		thread->stack_pointer = stack_pointer(regs);
	if (action <= TMBPF_OBJ_FREE)
		return object_event(THREAD_GIVE(thread), action, a, b);
	if (action != TMBPF_RAW_FREE && !raw_return(regs, site, thread)) {
		count_loss(TMBPF_LOSS_ARGUMENT_UNREADABLE);
		return 0;
	}
	if (raw_event(THREAD_GIVE(thread), action, a, b) && site->flags & TMBPF_SITE_TAIL &&
	    !raw_return_known(thread->call_returns)) {
		if (cfg.return_probes)
			return 1; /* wanted: the return probe sees it */
		thread->pending.returns = 0;
		count_loss(TMBPF_LOSS_RESULT_UNKNOWN);
	}
	return 0;
}

static __always_inline struct tmbpf_site *site_at(struct pt_regs *regs)
{
	__u64 address = instruction_pointer(regs);
	__u32 *known, index;

	if (cfg.by_address) {
		known = bpf_map_lookup_elem(&addresses, &address);
		if (!known)
			return NULL;
		index = *known;
	} else {
		index = bpf_get_attach_cookie(regs);
	}
	return bpf_map_lookup_elem(&sites, &index);
}

static __always_inline void probe_site(struct pt_regs *regs)
{
	struct tmbpf_site *site;

	if (!state.tracing)
		return;
	site = site_at(regs);
	if (!site)
		return;
	if (cfg.mode == TMBPF_MODE_SAMPLED && !site->hit)
		site->hit = 1;
	if (!turn_begin())
		return;
	site_event(regs, site);
	turn_end();
}

/*
 * What sampling windows cost is counted here. The kernel's own count (BPF_ENABLE_STATS) is of all
 * programs of the machine, and needs CAP_SYS_ADMIN.
 */
SEC("uprobe")
int probe(struct pt_regs *regs)
{
	__u64 began = cfg.mode == TMBPF_MODE_SAMPLED ? bpf_ktime_get_ns() : 0;

	probe_site(regs);
	if (cfg.mode != TMBPF_MODE_SAMPLED)
		return 0;
	add(&state.hits, 1);
	add(&state.hit_ns, bpf_ktime_get_ns() - began);
	return 0;
}

/*
 * The raw domain's tail jumps, as a uprobe session. At the jump it says whether the return is
 * wanted (0) or not (1); at the return it reads the result. ip tells which of the two this is: at
 * the return it is the awaited address.
 */
SEC("uprobe")
int probe_session(struct pt_regs *regs)
{
	const struct tmbpf_site *site;
	struct thread *thread;

	if (!state.tracing)
		return 1;
	thread = thread_find();
	if (thread && thread->pending.returns &&
	    thread->pending.returns == instruction_pointer(regs) &&
	    thread->pending.stack_pointer == stack_pointer(regs)) {
		count_event(TMBPF_EVENT_RETURN);
		raw_end(thread, return_value(regs));
		return 0;
	}
	site = site_at(regs);
	return site && site_event(regs, site) ? 0 : 1;
}

/* Large blocks, whether a sampling window is open or not. */
SEC("uprobe")
int probe_large(struct pt_regs *regs)
{
	const struct tmbpf_site *site;

	if (!state.sampling)
		return 0;
	site = site_at(regs);
	if (!site || !turn_begin())
		return 0;
	large_event(regs, site);
	turn_end();
	return 0;
}

/* The same for tail jumps, as probe_session(). */
SEC("uprobe")
int probe_large_session(struct pt_regs *regs)
{
	const struct tmbpf_site *site;
	struct thread *thread;

	if (!state.sampling)
		return 1;
	thread = thread_find();
	if (thread && thread->large.returns && thread->large.returns == instruction_pointer(regs) &&
	    thread->large.stack_pointer == stack_pointer(regs)) {
		large_answer(thread, return_value(regs));
		return 0;
	}
	site = site_at(regs);
	return site && large_event(regs, site) ? 0 : 1;
}

/* Before Linux 5.13 children of a fork inherit the event, too. */
SEC("perf_event")
int page_fault(struct bpf_perf_event_data *context)
{
	if (!state.sampling || bpf_get_current_pid_tgid() >> 32 != cfg.pid || !turn_begin())
		return 0;
	fault_event(context->addr, context->sample_period);
	turn_end();
	return 0;
}

/*
 * A child has a copy of its parent's memory with its breakpoints, which user space takes out.
 * vfork's has its parent's own.
 */
SEC("raw_tp/sched_process_fork")
int process_fork(__u64 *arguments)
{
	const struct task_struct *parent = (void *)arguments[0], *child = (void *)arguments[1];

	if (bpf_get_current_pid_tgid() >> 32 != cfg.pid ||
	    BPF_CORE_READ(child, mm) == BPF_CORE_READ(parent, mm))
		return 0;
	add(&state.forks, 1);
	fork_note(BPF_CORE_READ(child, tgid));
	return 0;
}

/*
 * The target becomes another program: what was traced is gone, and the new one is not understood.
 */
SEC("raw_tp/sched_process_exec")
int process_exec(void *context)
{
	struct tmbpf_record record = {TMBPF_RECORD_EXEC, sizeof(record)};

	(void)context;
	if (bpf_get_current_pid_tgid() >> 32 != cfg.pid)
		return 0;
	state.tracing = state.sampling = 0;
	bpf_ringbuf_output(&ring, &record, sizeof(record), BPF_RB_FORCE_WAKEUP);
	return 0;
}
