// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Page faults and large blocks, which are sampled all the time: bpf/sample.h. */
#include "bpf_sites.h"

static struct bpf_perf_event_data fault;

static void sampled_world(void)
{
	world();
	cfg.mode = TMBPF_MODE_SAMPLED;
	cfg.window_allocations = HOST_ALLOCATIONS;
	cfg.large_least = 32768;
	state.tracing = 0;
	state.sampling = 1;
	emulation.pid_tgid = (__u64)cfg.pid << 32 | 9999;
	fault = (struct bpf_perf_event_data){.sample_period = 7, .addr = 0x7f5500001008};
}

static void hit_large(__u32 site)
{
	emulation.cookie = site;
	assert_int_equal(probe_large(&regs), 0);
}

/* The next SAMPLE record; NULL: there is none. What comes before it is counted in RET_CODES. */
static const struct tmbpf_record_sample *sample_next(unsigned *ret_codes)
{
	const struct tmbpf_record *record;
	size_t size;

	*ret_codes = 0;
	while ((record = emulation_ring_take(&size))) {
		assert_int_equal(record->size, size);
		if (record->type == TMBPF_RECORD_SAMPLE)
			return (const struct tmbpf_record_sample *)record;
		assert_int_equal(record->type, TMBPF_RECORD_CODE);
		assert_true(((const struct tmbpf_record_code *)record)->id & TMBPF_CODE_SAMPLED);
		++*ret_codes;
	}
	return NULL;
}

static void test_fault(void **context)
{
	const struct tmbpf_record_sample *sample;
	unsigned codes_told;
	uint64_t id;

	(void)context;
	sampled_world();
	page_fault(&fault);
	sample = sample_next(&codes_told);
	assert_non_null(sample);
	assert_int_equal(codes_told, 1);
	assert_int_equal(sample->kind, TMBPF_SAMPLE_FAULT);
	assert_int_equal(sample->address, 0x7f5500001008);
	assert_int_equal(sample->weight, 7);
	assert_int_equal(sample->nframe, 1);
	assert_int_equal(sample->total_nframe, 1);
	id = sample->frames[0].code;
	page_fault(&fault);
	sample = sample_next(&codes_told);
	assert_int_equal(codes_told, 0);
	assert_int_equal(sample->frames[0].code, id);
	/* A child of a fork. */
	emulation.pid_tgid = (__u64)(cfg.pid + 1) << 32 | 9999;
	page_fault(&fault);
	assert_null(sample_next(&codes_told));
	emulation.pid_tgid = (__u64)cfg.pid << 32 | 9999;
	state.sampling = 0;
	page_fault(&fault);
	assert_null(sample_next(&codes_told));
	assert_int_equal(state.fault_hits, 2);
	/* Windows know nothing of it. */
	assert_int_equal(emulation_count(&codes), 0);
	assert_int_equal(state.next_stack, TMBPF_STACK_FIRST);
	host_lost_nothing();
}

/* Another code object at the same address is another, also with the same line and file. */
static void test_code_replaced(void **context)
{
	const struct tmbpf_record_sample *sample;
	struct fake_frame frame = {.unit = 20};
	unsigned codes_told;
	uint64_t id, name;

	(void)context;
	sampled_world();
	frame.code = fake_code("a", "f", 1);
	fake_frames(&frame, 1);
	page_fault(&fault);
	sample = sample_next(&codes_told);
	id = sample->frames[0].code;
	/* Its name is another str at the same address: only its hash tells. */
	name = memory_u64(frame.code + cfg.code_name);
	memory_put_u64(name + cfg.unicode_length + 8, 4711);
	page_fault(&fault);
	sample = sample_next(&codes_told);
	assert_int_equal(codes_told, 1);
	assert_int_not_equal(sample->frames[0].code, id);
	memory_put_u64(name + cfg.unicode_length + 8, 0);
	page_fault(&fault);
	sample = sample_next(&codes_told);
	assert_int_equal(codes_told, 0);
	assert_int_equal(sample->frames[0].code, id);
	/* Its line table. */
	memory_put_u8(memory_u64(frame.code + cfg.code_linetable) + cfg.bytes_data + 2, 0x85);
	page_fault(&fault);
	sample = sample_next(&codes_told);
	assert_int_equal(codes_told, 1);
	assert_int_not_equal(sample->frames[0].code, id);
}

/* A thread without Python code is sampled as one; where a frame cannot be read that is lost. */
static void test_no_stack(void **context)
{
	const struct tmbpf_record_sample *sample;
	unsigned codes_told;

	(void)context;
	sampled_world();
	fake_frame_set(0);
	page_fault(&fault);
	sample = sample_next(&codes_told);
	assert_int_equal(sample->nframe, 0);
	host_lost_nothing();
	fake_frame_set(0xdead0000);
	page_fault(&fault);
	assert_null(sample_next(&codes_told));
	host_lost(TMBPF_LOSS_FAULT, 1);
}

/*
 * Of many within a moment fewer are taken, each of which stands for more; all of them together stay
 * the same.
 */
static void test_thinned(void **context)
{
	const struct tmbpf_record_sample *sample;
	unsigned codes_told, taken = 0;
	uint64_t weight = 0;

	(void)context;
	sampled_world();
	for (unsigned i = 0; i < 64 * 1024; i++) {
		emulation.random = i;
		page_fault(&fault);
	}
	while ((sample = sample_next(&codes_told))) {
		taken++;
		weight += sample->weight;
	}
	assert_true(taken > 500 && taken < 1000);
	assert_true(weight > 7ull * 64 * 1024 * 9 / 10 && weight < 7ull * 64 * 1024 * 11 / 10);
	/* The next tick begins anew. */
	host_time += SAMPLE_TICK_NS;
	page_fault(&fault);
	assert_int_equal(sample_next(&codes_told)->weight, 7);
	host_lost_nothing();
}

static void large_malloc(__u64 size, __u64 address)
{
	regs.di = size;
	hit_large(AT_RAW_MALLOC);
	come_back(hit_large, address);
}

static void test_large(void **context)
{
	const struct tmbpf_record_sample *sample;
	unsigned codes_told;

	(void)context;
	sampled_world();
	large_malloc(32767, LARGE);
	assert_null(sample_next(&codes_told));
	large_malloc(32768, LARGE);
	sample = sample_next(&codes_told);
	assert_int_equal(sample->kind, TMBPF_SAMPLE_LARGE);
	assert_int_equal(sample->address, LARGE);
	assert_int_equal(sample->size, 32768);
	assert_int_equal(sample->weight, 1);
	large_malloc(1ull << 50, 0); /* it fails */
	assert_null(sample_next(&codes_told));
	/* calloc, and a realloc that stays where it was. */
	regs.di = 1000;
	regs.si = 50;
	hit_large(AT_RAW_CALLOC);
	come_back(hit_large, LARGE);
	assert_int_equal(sample_next(&codes_told)->size, 50000);
	regs.di = LARGE;
	regs.si = 60000;
	hit_large(AT_RAW_REALLOC);
	come_back(hit_large, LARGE);
	assert_int_equal(sample_next(&codes_told)->size, 60000);
	assert_int_equal(state.large_hits, 10);
	/* Frees and what is none of the raw domain's do not matter. */
	hit_large(AT_RAW_FREE);
	hit_large(AT_MALLOC);
	/* A window's own calls are not disturbed. */
	assert_int_equal(host_thread()->pending.returns, 0);
	host_lost_nothing();
}

/* A tail jump whose caller is not known: its result is lost, or seen by a return probe. */
static void test_large_tail(void **context)
{
	unsigned codes_told;

	(void)context;
	sampled_world();
	memory_put_u64(STACK, OTHER);
	regs.di = 40000;
	hit_large(AT_TAIL);
	host_lost(TMBPF_LOSS_LARGE, 1);
	state.losses[TMBPF_LOSS_LARGE] = 0;
	cfg.large_returns = 1;
	emulation.cookie = AT_TAIL;
	regs.di = 30000;
	assert_int_equal(probe_large_session(&regs), 1);
	regs.di = 40000;
	assert_int_equal(probe_large_session(&regs), 0);
	regs.ip = OTHER;
	regs.sp = STACK + 8;
	regs.ax = LARGE;
	assert_int_equal(probe_large_session(&regs), 0);
	assert_int_equal(sample_next(&codes_told)->size, 40000);
	host_lost_nothing();
}

static void test_large_many(void **context)
{
	unsigned codes_told, taken = 0;

	(void)context;
	sampled_world();
	for (unsigned i = 0; i < LARGE_TICK_MAX + 10; i++)
		large_malloc(40000, LARGE + 0x10000ull * i);
	while (sample_next(&codes_told))
		taken++;
	assert_int_equal(taken, LARGE_TICK_MAX);
	host_lost(TMBPF_LOSS_LARGE, 10);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fault),      cmocka_unit_test(test_code_replaced),
		cmocka_unit_test(test_no_stack),   cmocka_unit_test(test_thinned),
		cmocka_unit_test(test_large),      cmocka_unit_test(test_large_tail),
		cmocka_unit_test(test_large_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
