// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What happens at a probe. Each probe's cookie is the index of its record in `sites`, which says what the instruction
 * there means and where its arguments are.
 *
 * Object domain: the GIL is held, so pymalloc's answer is predicted at the call, and nothing need be probed on the way
 * out. Requests of 0 and of more than 512 bytes go on to the raw domain, which sees them itself.
 *
 * Raw domain: the arguments are seen at the call of libc's function, the pointer at the first probe-able instruction
 * after the return (RESULT), known by return address and stack pointer. A tail jump returns to a caller that need
 * not be known: then the return probe of the second program catches it, where user space allowed that.
 *
 * Other domains: what numpy and others tell tracemalloc of blocks of their own, whether it is on or not.
 */
#include "vmlinux.h"

#include "domain.h"
#include "fork.h"
#include "heap.h"
#include "sample.h"
#include "shadow.h"
#include "state.h"
#include "walk.h"
#include "x86.h"

char LICENSE[] SEC("license")
= "Dual BSD/GPL";

static __always_inline __u64 saturated_product(__u64 a, __u64 b)
{
	__u64 most = a ? ~0ULL / a : ~0ULL;

	/* Kept apart, or clang makes a 128-bit product of it, which BPF has not. */
	asm volatile("" : "+r"(most));
	return b > most ? ~0ULL : a * b; /* a call that overflows fails */
}

/*
 * A calloc or a realloc may call malloc, or have it inlined with a guard of its own, and that is probed as well: then the
 * thread's event before this one was theirs, in a caller or in the same function. Said once.
 */
static __always_inline bool seen_by_outer(struct thread *thread, __u64 address)
{
	bool again = thread->outer == address &&
		     thread->stack_pointer <= thread->outer_stack_pointer;

	thread->outer = 0;
	return cfg.lazy && again;
}

/* Object domain: SIZE bytes are about to be allocated. Where, if that could be told; else 0. */
static __always_inline __u64 object_malloc(struct thread *thread, __u64 tstate,
					   const struct heap *heap, __u64 size)
{
	enum prediction prediction;
	__u64 address;
	__u32 stack;

	if (!size || size > TMBPF_SIZE_MAX) {
		thread->object_request = size + 1;
		return 0;
	}
	prediction = predict(thread, heap, size, &address);
	if (prediction == PREDICTION_FAILED) {
		count_loss(TMBPF_LOSS_HEAP_UNREADABLE);
		return 0;
	}
	stack = stack_of(thread, tstate);
	size = size > cfg.hook_extra ? size - cfg.hook_extra : 0;
	if (prediction == PREDICTED) {
		block_hand(heap, address);
		shadow_note(address, size, stack, seen_by_outer(thread, address));
		return address;
	}
	thread->no_arena = heap->usable_arenas;
	if (refill.active) {
		count_loss(TMBPF_LOSS_REFILL_PENDING);
		return 0;
	}
	refill.usedpools = heap->usedpools;
	refill.index = thread->refill_class - 1;
	refill.size = size;
	refill.stack = stack;
	refill.active = 1;
	return 0;
}

static __always_inline void object_free(struct thread *thread, __u64 address)
{
	__u64 outer;

	if (!address || shadow_remove(address))
		return;
	if (address == thread->object_moved) {
		thread->object_moved = 0;
		return;
	}
	/* A large block is the raw domain's, and removed where libc frees it. */
	if (bpf_map_lookup_elem(&large, &address))
		return;
	/* With debug hooks around that domain as well it begins before this. */
	outer = address - cfg.hook_delta;
	if (cfg.hook_delta && bpf_map_lookup_elem(&large, &outer)) {
		code_end(address + cfg.hook_delta);
		return;
	}
	thread->object_freed = address;
	unknown_free(address);
}

/* The same by calloc or realloc. */
static __always_inline void object_outer(struct thread *thread, __u64 tstate,
					 const struct heap *heap, __u64 size)
{
	thread->outer = object_malloc(thread, tstate, heap, size);
	thread->outer_stack_pointer = thread->stack_pointer;
}

/* pymalloc_realloc, Objects/obmalloc.c: a block stays where it is if it fits and wastes less than a quarter. */
static __always_inline void object_realloc(struct thread *thread, __u64 tstate,
					   const struct heap *heap, __u64 old, __u64 size)
{
	__u32 bytes, stack;

	if (!old) {
		object_outer(thread, tstate, heap, size);
		return;
	}
	if (!pool_class(pool_room(thread), old, &bytes)) {
		thread->object_request = size + 1;
		return; /* the raw domain's */
	}
	if (size <= bytes && 4 * size > 3 * (__u64)bytes) {
		if (cfg.births)
			return; /* no birth */
		stack = stack_of(thread, tstate);
		shadow_remove(old);
		shadow_add(old, size > cfg.hook_extra ? size - cfg.hook_extra : 0, stack);
		return;
	}
	if (shadow_remove(old))
		thread->object_moved = old;
	object_outer(thread, tstate, heap, size);
}

/* The traced block that holds the object at ADDRESS; 0: none. */
static __always_inline __u64 shadow_holder(__u64 address)
{
	__u64 block = address - cfg.hook_delta;
	__u32 *entry;
	int i;

	for (i = 0; i < 3; i++, block -= 16) {
		entry = shadow_entry(block, false);
		/* If its own block is from before tracing began, what is found may be its neighbour. */
		if (entry && *entry && (!i || entry_size(*entry) > 16 * (__u64)i))
			return block;
	}
	return 0;
}

/* The same where entries may be left from blocks of another class: the pool says where its block begins. */
static __always_inline __u64 pool_holder(struct thread *thread, __u64 address)
{
	__u32 bytes, inside;

	if (!pool_block(pool_room(thread), address, &bytes, &inside) || inside < cfg.hook_delta ||
	    (inside -= cfg.hook_delta) > 32 || inside % 16)
		return 0;
	return address - cfg.hook_delta - inside;
}

/*
 * The object at ADDRESS comes back from a free list: its block has a new owner. Since 3.8 tracemalloc gives it the new
 * traceback (_PyTraceMalloc_NewReference, _PyTraceMalloc_TraceRef, Python/tracemalloc.c). The block starts
 * before the object by what the garbage collector and managed dicts need: 0, 16 or 32 bytes.
 */
__noinline int object_reuse(THREAD_GIVEN, __u64 address)
{
	THREAD_OF_GIVEN;
	__u64 tstate, block;
	__u32 stack;

	if (!thread || !(block = cfg.lazy || cfg.births ? pool_holder(thread, address)
							: shadow_holder(address)))
		return 0; /* from before tracing began */
	if (!thread_state_holder(&tstate)) {
		count_loss(TMBPF_LOSS_THREAD_STATE);
		return 0;
	}
	stack = stack_of(thread, tstate);
	if (cfg.births)
		birth_add(block, 0, stack, TMBPF_BIRTH_REUSED);
	else
		shadow_assign(block, stack);
	return 0;
}

__noinline int object_event(THREAD_GIVEN, __u32 action, __u64 a, __u64 b)
{
	THREAD_OF_GIVEN;
	struct heap heap;
	__u64 tstate;

	if (!thread)
		return 0;
	thread->no_arena = 0;
	if (action == TMBPF_OBJ_FREE && cfg.heap_kind == TMBPF_HEAP_STATIC && !refill.active) {
		object_free(thread, a);
		return 0;
	}
	if (!thread_state_holder(&tstate) || (cfg.heap_kind != TMBPF_HEAP_STATIC && !tstate) ||
	    !heap_of(tstate, &heap)) {
		count_loss(TMBPF_LOSS_THREAD_STATE);
		if (action == TMBPF_OBJ_FREE)
			object_free(thread, a);
		return 0;
	}
	refill_settle(thread, &heap);
	switch (action) {
	case TMBPF_OBJ_MALLOC:
		object_malloc(thread, tstate, &heap, a);
		break;
	case TMBPF_OBJ_CALLOC:
		object_outer(thread, tstate, &heap, saturated_product(a, b));
		break;
	case TMBPF_OBJ_REALLOC:
		object_realloc(thread, tstate, &heap, a, b);
		break;
	case TMBPF_OBJ_FREE:
		object_free(thread, a);
		break;
	}
	return 0;
}

/* The size that the caller asked for, where a request of SIZE bytes reached libc. */
static __always_inline __u64 raw_requested(struct thread *thread, __u64 size)
{
	__u64 object = thread->object_request;

	thread->object_request = 0;
	/* _PyMem_RawMalloc makes 1 of 0; then the object domain's request says 0. */
	if (object && (object - 1 + cfg.hook_extra == size || (object == 1 && size <= 1)))
		size = object - 1;
	return size > cfg.hook_extra ? size - cfg.hook_extra : 0;
}

static __always_inline bool raw_awaited(struct thread *thread)
{
	bool announced = thread->hook_request;
	__u64 installed;

	thread->hook_request = 0;
	if (announced || (!cfg.hooked_raw && !state.hooked_later))
		return true;
	/* The hooks may have been taken out since (tracemalloc.stop): then every call is a caller's. */
	return cfg.raw_table && read_word(cfg.raw_table, &installed) && installed == cfg.raw_malloc;
}

/* A raw allocation of SIZE bytes, which gives up OLD (0: none), begins; thread->call_* say where it will return. */
static __always_inline void raw_begin(struct thread *thread, __u64 size, __u64 old)
{
	struct pending *pending = &thread->pending;

	if (pending->returns)
		count_loss(TMBPF_LOSS_RESULT_MISSED);
	pending->size = raw_requested(thread, size);
	pending->returns = thread->call_returns;
	pending->stack_pointer = thread->call_stack_pointer;
	pending->old = old;
	/* Another thread may be given the old address before we see the result, so it goes first. */
	if (old && !cfg.births && !large_remove(old, &pending->old_block))
		pending->old = 0;
}

static __always_inline void raw_end(struct thread *thread, __u64 address)
{
	struct pending *pending = &thread->pending;
	__u64 tstate;
	__u32 stack;

	pending->returns = 0;
	if (cfg.births && address == pending->old)
		return; /* no birth */
	if (!address) { /* it failed: a realloc has left the old block alone */
		if (pending->old && !cfg.births)
			large_add(pending->old, pending->old_block.size, pending->old_block.stack);
		return;
	}
	if (thread_state_own(&tstate)) {
		stack = stack_of(thread, tstate);
	} else {
		count_loss(TMBPF_LOSS_THREAD_STATE);
		stack = TMBPF_STACK_LOST;
	}
	large_add(address, pending->size, stack);
}

#define ARENA_OBJECT_SIZE     48
#define INITIAL_ARENA_OBJECTS 16
/* 2^8 entries (arena_map_bot with 48-bit addresses, 3.10 on) and more, 8 bytes each (Objects/obmalloc.c) */
#define ARENA_MAP_NODE_MIN 2048

/*
 * Memory that pymalloc takes for its own tables while it adds an arena (new_arena, arena_map_get,
 * Objects/obmalloc.c): the array of arena objects, doubled, and nodes of the arena map. These calls are nested in an
 * allocation, so tracemalloc does not count them.
 */
static __always_inline bool raw_is_arena_table(const struct thread *thread, __u32 action, __u64 a,
					       __u64 b)
{
	__u64 size = b - cfg.hook_extra, objects = size / ARENA_OBJECT_SIZE, arena;

	/* As soon as the arena is there, what this thread asks for is its own. */
	if (!thread->no_arena || !read_word(thread->no_arena, &arena) || arena)
		return false;
	if (action == TMBPF_RAW_REALLOC)
		return size % ARENA_OBJECT_SIZE == 0 && objects >= INITIAL_ARENA_OBJECTS &&
		       !(objects & (objects - 1));
	return action == TMBPF_RAW_CALLOC && a == 1 && size >= ARENA_MAP_NODE_MIN &&
	       !(size & (size - 1));
}

static __always_inline bool raw_return_known(__u64 address)
{
	return bpf_map_lookup_elem(&returns, &address);
}

/* 1: the call's result is awaited. */
__noinline int raw_event(THREAD_GIVEN, __u32 action, __u64 a, __u64 b)
{
	THREAD_OF_GIVEN;
	struct tmbpf_large block;

	if (!thread)
		return 0;
	if (raw_is_arena_table(thread, action, a, b))
		return 0;
	switch (action) {
	case TMBPF_RAW_FREE:
		large_code_end(a);
		if (a && !large_remove(a, &block) && a != thread->object_freed &&
		    a + cfg.hook_delta != thread->object_freed)
			unknown_free(a);
		thread->object_freed = 0;
		return 0;
	case TMBPF_RAW_MALLOC:
		if (!raw_awaited(thread))
			return 0;
		raw_begin(thread, a, 0);
		return 1;
	case TMBPF_RAW_CALLOC:
		if (!raw_awaited(thread))
			return 0;
		raw_begin(thread, saturated_product(a, b), 0);
		return 1;
	case TMBPF_RAW_REALLOC:
		if (!raw_awaited(thread))
			return 0;
		raw_begin(thread, b, a);
		return 1;
	}
	return 0;
}

static __always_inline struct thread *thread_current(void)
{
	struct thread *thread = thread_get();

	if (!thread) {
		count_loss(TMBPF_LOSS_THREAD_STORAGE);
		return NULL;
	}
	if (cfg.births && thread->window_number != state.window) {
		/* What an earlier window left half done is over. */
		thread->pending.returns = 0;
		thread->object_request = thread->hook_request = thread->no_arena = 0;
		thread->refill_class = 0;
		thread->window_number = state.window;
	}
	return thread;
}

static __always_inline void result_event(struct pt_regs *regs, const struct tmbpf_site *site,
					 struct thread *thread)
{
	__u64 address;

	if (!thread->pending.returns ||
	    stack_pointer(regs) - site->stack_delta != thread->pending.stack_pointer ||
	    (site->returns && site->returns != thread->pending.returns))
		return;
	count_event(TMBPF_EVENT_RESULT);
	if (!value_read(regs, &site->a[0], &address)) {
		count_loss(TMBPF_LOSS_ARGUMENT_UNREADABLE);
		thread->pending.returns = 0;
		return;
	}
	raw_end(thread, address);
}

/* Where a raw call or tail jump will return, and with what stack pointer. */
static __always_inline bool raw_return(struct pt_regs *regs, const struct tmbpf_site *site,
				       struct thread *thread)
{
	thread->call_returns = site->returns;
	thread->call_stack_pointer = stack_pointer(regs);
	if (!(site->flags & TMBPF_SITE_TAIL))
		return true;
	thread->call_stack_pointer += 8;
	return read_word(stack_pointer(regs), &thread->call_returns);
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
	if (action == TMBPF_REUSE) {
		count_event(TMBPF_EVENT_REUSE);
		return object_reuse(THREAD_GIVE(thread), a);
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
	if (cfg.lazy)
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

	if (!state.window)
		return;
	site = site_at(regs);
	if (!site)
		return;
	if (cfg.births && !site->hit)
		site->hit = 1;
	if (!turn_take())
		return;
	site_event(regs, site);
	turn_end();
}

/*
 * What estimates cost is counted here: the kernel's own count (BPF_ENABLE_STATS) is of all programs of the machine, and
 * takes CAP_SYS_ADMIN.
 */
SEC("uprobe")
int probe(struct pt_regs *regs)
{
	__u64 began = cfg.births ? bpf_ktime_get_ns() : 0;

	probe_site(regs);
	if (!cfg.births)
		return 0;
	add(&state.hits, 1);
	add(&state.hit_ns, bpf_ktime_get_ns() - began);
	return 0;
}

/*
 * The raw domain's tail jumps, as a session: at the jump it says whether the return is wanted (0) or not (1), at the
 * return it takes the result. Which of the two a call is shows in ip: at the return it is the awaited address.
 */
SEC("uprobe")
int probe_session(struct pt_regs *regs)
{
	const struct tmbpf_site *site;
	struct thread *thread;

	if (!state.window)
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

/* Large blocks, windows or not. */
SEC("uprobe")
int probe_large(struct pt_regs *regs)
{
	const struct tmbpf_site *site;

	if (!state.sampling)
		return 0;
	site = site_at(regs);
	if (!site || !turn_take())
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
	if (!state.sampling || bpf_get_current_pid_tgid() >> 32 != cfg.pid || !turn_take())
		return 0;
	fault_event(context->addr, context->sample_period);
	turn_end();
	return 0;
}

/* A child has a copy of its parent's memory, breakpoints and all: user space takes them out. vfork's has its parent's own. */
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

/* The target becomes another program: what was traced is gone, and nothing of the new one is understood. */
SEC("raw_tp/sched_process_exec")
int process_exec(void *context)
{
	struct tmbpf_record record = {TMBPF_RECORD_EXEC, sizeof(record)};

	(void)context;
	if (bpf_get_current_pid_tgid() >> 32 != cfg.pid)
		return 0;
	state.window = state.sampling = 0;
	bpf_ringbuf_output(&ring, &record, sizeof(record), BPF_RB_FORCE_WAKEUP);
	return 0;
}
