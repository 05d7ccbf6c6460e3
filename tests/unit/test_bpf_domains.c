// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Blocks of other domains: PyTraceMalloc_Track() and _Untrack(), in bpf/tmbpf.bpf.c. */
#include "bpf_sites.h"

#define NUMPY 389047U
#define BLOCK 0x7f0000001000ULL

enum { AT_TRACK = array_size(known_sites), AT_UNTRACK };

static void world_tracked(void)
{
	world();
	*(struct tmbpf_site *)bpf_map_lookup_elem(&sites, &(__u32){AT_TRACK}) = (struct tmbpf_site){
		.action = TMBPF_TRACK, .a = {VALUE(RSI), VALUE(R12), VALUE(RDI)}};
	*(struct tmbpf_site *)bpf_map_lookup_elem(&sites, &(__u32){AT_UNTRACK}) =
		(struct tmbpf_site){.action = TMBPF_UNTRACK,
				    .a = {VALUE(RSI), NO_VALUE, VALUE(RDI)}};
}

static void track(__u32 domain, __u64 address, __u64 size)
{
	/* The caller's upper half of edi is anything. */
	regs.di = 0xabcd00000000ULL | domain;
	regs.si = address;
	regs.r12 = size;
	hit(AT_TRACK);
}

static void untrack(__u32 domain, __u64 address)
{
	regs.di = domain;
	regs.si = address;
	hit(AT_UNTRACK);
}

/* What was announced last of a stack. */
static const struct tmbpf_record_stack *stack_told(void)
{
	static struct tmbpf_record_stack told;
	const struct tmbpf_record *record;
	size_t size;

	memset(&told, 0, sizeof(told));
	while ((record = emulation_ring_take(&size)))
		if (record->type == TMBPF_RECORD_STACK)
			memcpy(&told, record, sizeof(told));
	assert_int_equal(told.record.type, TMBPF_RECORD_STACK);
	return &told;
}

static void test_track(void **context)
{
	(void)context;
	world_tracked();
	track(NUMPY, BLOCK, 5000);
	assert_int_equal(stack_told()->domain, NUMPY);
	host_holds(TMBPF_STACK_FIRST, 1, 5000);
	/* Once more: it has another size. */
	track(NUMPY, BLOCK, 70);
	host_holds(TMBPF_STACK_FIRST, 1, 70);
	assert_int_equal(state.current, 70);
	assert_int_equal(state.peak, 5000);
	untrack(NUMPY, BLOCK);
	host_holds(TMBPF_STACK_FIRST, 0, 0);
	assert_int_equal(state.current, 0);
	assert_int_equal(state.unknown_frees, 0);
	untrack(NUMPY, BLOCK);
	assert_int_equal(state.unknown_frees, 1);
	assert_int_equal(state.events[TMBPF_EVENT_TRACK], 2);
	assert_int_equal(state.events[TMBPF_EVENT_UNTRACK], 2);
	host_lost_nothing();
}

/*
 * One address in several domains, malloc's own among them: each has blocks and stacks of its own.
 */
static void test_domains_apart(void **context)
{
	(void)context;
	world_tracked();
	raw_malloc(100, BLOCK);
	track(NUMPY, BLOCK, 200);
	track(UINT32_MAX, BLOCK, 300);
	host_holds(TMBPF_STACK_FIRST, 1, 100);
	host_holds(TMBPF_STACK_FIRST + 1, 1, 200);
	host_holds(TMBPF_STACK_FIRST + 2, 1, 300);
	assert_int_equal(stack_told()->domain, UINT32_MAX);
	untrack(UINT32_MAX, BLOCK);
	raw_free(BLOCK);
	host_holds(TMBPF_STACK_FIRST, 0, 0);
	host_holds(TMBPF_STACK_FIRST + 1, 1, 200);
	host_holds(TMBPF_STACK_FIRST + 2, 0, 0);
	assert_int_equal(state.current, 200);
	/* Another block of malloc's there is none that would have been freed unseen. */
	raw_malloc(100, BLOCK);
	assert_int_equal(state.current, 300);
	host_lost_nothing();
}

/* Python's own domain may be told of as well. */
static void test_default_domain(void **context)
{
	(void)context;
	world_tracked();
	track(0, BLOCK, 200);
	assert_raw_block(BLOCK, 200);
	assert_int_equal(stack_told()->domain, 0);
	untrack(0, BLOCK);
	assert_int_equal(state.current, 0);
	host_lost_nothing();
}

static void test_no_frames(void **context)
{
	const struct tmbpf_record_stack *told;

	(void)context;
	world_tracked();
	fake_frames(NULL, 0);
	track(NUMPY, BLOCK, 200);
	told = stack_told();
	assert_int_equal(told->domain, NUMPY);
	assert_int_equal(told->nframe, 0);
	host_holds(told->id, 1, 200);
	track(0, BLOCK, 300);
	host_holds(TMBPF_STACK_UNKNOWN, 1, 300);
	host_lost_nothing();
}

static void test_too_many_domains(void **context)
{
	(void)context;
	world_tracked();
	for (__u32 i = 0; i < TMBPF_DOMAINS_MAX; i++)
		track(NUMPY + i, BLOCK, 10);
	assert_int_equal(state.current, 10 * TMBPF_DOMAINS_MAX);
	host_lost_nothing();
	track(1, BLOCK, 10);
	untrack(1, BLOCK);
	track(NUMPY, BLOCK, 20);
	/* An address that is none would be taken for one of another domain. */
	track(NUMPY, 1ULL << TMBPF_DOMAIN_SHIFT, 20);
	assert_int_equal(state.current, 10 * TMBPF_DOMAINS_MAX + 10);
	host_lost(TMBPF_LOSS_DOMAINS_FULL, 3);
}

static void test_window_allocations(void **context)
{
	struct tmbpf_allocation *listed;

	(void)context;
	world_tracked();
	cfg.mode = TMBPF_MODE_SAMPLED;
	cfg.window_allocations = HOST_ALLOCATIONS;
	track(NUMPY, BLOCK, 200);
	untrack(NUMPY, BLOCK);
	assert_int_equal(state.window_allocations, 1);
	listed = bpf_map_lookup_elem(&window_allocations, &(__u32){0});
	assert_int_equal(listed->address, BLOCK);
	assert_int_equal(listed->size, 200);
	assert_int_equal(listed->kind, TMBPF_ALLOCATION_RAW);
	assert_int_equal(stack_told()->domain, NUMPY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_track),
		cmocka_unit_test(test_domains_apart),
		cmocka_unit_test(test_default_domain),
		cmocka_unit_test(test_no_frames),
		cmocka_unit_test(test_too_many_domains),
		cmocka_unit_test(test_window_allocations),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	emulation_reset();
	return failed;
}
