// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Programs made up by chance, from the probes to the tracebacks that user space tells: every block
 * that such a program holds has to be where and whose it is, while records are taken from the ring
 * now and then and stack ids are given back.
 */
#include "tracer_fake.h"

#include "bpf_model.h"
#include "bpf_tracer.h"

#include "bpf_sweep.h"

#define EVENTS      100000
#define CHECK_EVERY 5000

struct total { /* what one traceback holds */
	uint64_t count, size;
	char text[TEXT_MAX];
};

struct totals {
	struct total *list;
	size_t count, capacity;
	struct lookup lookup; /* by text */
};

static struct symbols *symbols;
static uint64_t now; /* nanoseconds */

static void drain(void)
{
	const struct tmbpf_record *record;
	size_t size;

	while ((record = emulation_ring_take(&size)))
		symbols_record(symbols, record, size);
}

static void sweep(void)
{
	now += 400000000 + chance(1000000000);
	drain();
	symbols_sweep(symbols, now);
}

static void row_text(const struct symbols_row *row, char ret[TEXT_MAX])
{
	size_t at = 0;

	for (uint32_t i = 0; i < row->nframe; i++)
		at += snprintf(ret + at, TEXT_MAX - at, "%s:%s:%u ", row->frames[i].filename,
			       row->frames[i].name, row->frames[i].lineno);
	snprintf(ret + at, TEXT_MAX - at, "%u", row->total_nframe);
}

static struct error *blocks_add(void *context, const struct symbols_row *row)
{
	*(uint64_t *)context += row->count;
	return NULL;
}

/* Live blocks in all. */
static uint64_t rows_blocks(void)
{
	uint64_t blocks = 0;

	support_ok(symbols_each(symbols, blocks_add, &blocks));
	return blocks;
}

static struct error *row_compare(void *context, const struct symbols_row *row)
{
	char text[TEXT_MAX];

	row_text(row, text);
	assert_string_equal(text, (const char *)context);
	return NULL;
}

static bool total_equal(const void *context, uint32_t position, const void *key)
{
	return !strcmp(((const struct totals *)context)->list[position].text, key);
}

static struct total *total_find(const struct totals *totals, const char *text)
{
	uint64_t hash = lookup_hash(0, text, strlen(text));
	uint32_t found = lookup_find(&totals->lookup, hash, total_equal, totals, text);

	return found == LOOKUP_NONE ? NULL : &totals->list[found];
}

static void total_add(struct totals *totals, const char *text, uint64_t count, uint64_t size)
{
	struct total *total = total_find(totals, text);

	if (!total) {
		support_ok(array_reserve(&totals->list, &totals->capacity, totals->count, 1,
					 sizeof(*total)));
		support_ok(lookup_add(&totals->lookup, lookup_hash(0, text, strlen(text)),
				      (uint32_t)totals->count));
		total = &totals->list[totals->count++];
		*total = (struct total){0};
		snprintf(total->text, sizeof(total->text), "%s", text);
	}
	total->count += count;
	total->size += size;
}

static void totals_deinit(struct totals *totals)
{
	lookup_deinit(&totals->lookup);
	free(totals->list);
}

static struct error *row_total(void *context, const struct symbols_row *row)
{
	char text[TEXT_MAX];

	row_text(row, text);
	assert_true(row->total_count >= row->count && row->total_size >= row->size);
	if (row->count)
		total_add(context, text, row->count, row->size);
	return NULL;
}

static void totals_compare(void)
{
	struct totals have = {0}, want = {0};

	for (size_t i = 0; i < m.count; i++)
		if (m.blocks[i].traced)
			total_add(&want, m.blocks[i].text, 1, m.blocks[i].size);
	support_ok(symbols_each(symbols, row_total, &have));
	assert_int_equal(have.count, want.count);
	for (size_t i = 0; i < want.count; i++) {
		const struct total *total = &want.list[i];
		const struct total *other = total_find(&have, total->text);

		assert_non_null(other);
		assert_int_equal(other->count, total->count);
		assert_int_equal(other->size, total->size);
	}
	totals_deinit(&have);
	totals_deinit(&want);
}

/* A fresh arena's first block comes in with the next event. */
static void settle(void)
{
	unsigned task = host_task;

	if (!refill.active)
		return;
	thread_switch(0);
	if (cfg.mode == TMBPF_MODE_LAZY) {
		struct heap heap = {0};

		assert_true(heap_of(fake_tstate, &heap));
		refill_settle(host_thread(), &heap);
	} else {
		hit(AT_FREE, 0, 0);
	}
	thread_switch(task);
}

/* The block has to be known, with its size and whose it is; or not at all. */
static bool block_check(const struct block *block)
{
	__u64 size = 0;
	__u32 stack = 0;

	if (block->raw) {
		struct tmbpf_raw_block *found = bpf_map_lookup_elem(&raw_blocks, &block->address);

		if (found)
			size = found->size, stack = found->stack;
	} else {
		__u32 *entry = shadow_entry(block->address, false);

		if (entry && *entry)
			size = entry_size(*entry), stack = ENTRY_STACK(*entry);
	}
	assert_int_equal(!!stack, block->traced);
	if (!stack)
		return false;
	assert_int_equal(size, block->size);
	support_ok(symbols_stack(symbols, stack, size, row_compare, block->text));
	return true;
}

static void check(void)
{
	struct symbols_counters counters;
	size_t traced = 0;

	settle();
	if (cfg.mode == TMBPF_MODE_LAZY)
		reap(false);
	drain();
	host_lost_nothing();
	assert_int_equal(state.leaked_stacks, 0);
	if (cfg.mode != TMBPF_MODE_LAZY)
		assert_int_equal(state.current, m.current);
	for (size_t i = 0; i < m.count; i++)
		traced += block_check(&m.blocks[i]);
	assert_int_equal(rows_blocks(), traced);
	totals_compare();
	symbols_counters(symbols, &counters);
	assert_int_equal(counters.unresolved_frames, 0);
	assert_in_range(counters.codes, 0, CODES);
	/* What has gone leaves nothing behind. */
	assert_in_range(counters.stacks, 0, cfg.stack_limit);
}

/* As bpf_model.h says, with all that user space needs. */
static void world(unsigned minor, enum sites_hooks hooks)
{
	model_start(minor, hooks);
	fake_process.memory.read = process_read;
	support_ok(symbols_create(NULL, &fake_process, &symbols));
	now = 0;
}

/* Forgets all, as tracer_clear() and symbols_clear() do: what is held is from before now. */
static void clear(void)
{
	for (__u32 i = 0; i < HOST_SLABS; i++)
		memset(emulation_lookup(emulation_lookup(&slabs, &i), &(__u32){0}), 0,
		       TMBPF_SLAB_ENTRIES * sizeof(__u32));
	emulation_hash_clear(&raw_blocks);
	emulation_hash_clear(&codes);
	memset(emulation_lookup(&stacks, &(__u32){0}), 0,
	       (cfg.bucket_mask + 1) * sizeof(struct tmbpf_bucket));
	memset(emulation_lookup(&stats, &(__u32){0}), 0,
	       cfg.stack_limit * sizeof(struct tmbpf_stack_stats));
	refill.active = 0;
	state.next_stack = TMBPF_STACK_FIRST;
	state.recycled_head = state.recycled_tail = 0;
	state.current = state.peak = state.returned_stack = 0;
	emulation_ring_drop(0);
	symbols_clear(symbols);
	for (size_t i = 0; i < m.count; i++)
		m.blocks[i].traced = false;
	m.current = m.peak = 0;
	m.peak_exact = true;
}

/* It grows and shrinks, so that pools and arenas go and come back. */
static void play(int events)
{
	for (int i = 1; i <= events; i++) {
		reaping.full = m.count > BLOCKS_MAX - 100 || i / 4000 % 2;
		model_step(reaping.full);
		if (!chance(20))
			drain();
		if (!chance(150))
			sweep();
		if (cfg.mode != TMBPF_MODE_LAZY) {
			assert_int_equal(state.current + (refill.active ? refill.size : 0),
					 m.current);
			assert_true(state.peak <= m.peak);
		} else if (!chance(300)) {
			reap(true);
		}
		if (i % CHECK_EVERY == 0)
			check();
	}
	if (cfg.mode == TMBPF_MODE_LAZY)
		return;
	if (m.peak_exact)
		assert_int_equal(state.peak, m.peak);
	assert_in_range(m.peak - state.peak, 0, TMBPF_SIZE_MAX);
}

/* Whatever is held goes, and nothing is left of it. */
static void finish(void)
{
	struct symbols_counters counters;

	for (int i = 0; i < THREADS; i++)
		m.threads[i].depth = 0;
	thread_switch(0);
	while (m.count)
		block_free(&m.blocks[m.count - 1]);
	settle();
	if (cfg.mode == TMBPF_MODE_LAZY)
		reap(false);
	assert_int_equal(state.current, 0);
	for (int i = 0; i < 4; i++)
		sweep();
	symbols_counters(symbols, &counters);
	assert_int_equal(counters.codes, 0);
	assert_int_equal(counters.stacks, 0);
	assert_int_equal(rows_blocks(), 0);
	symbols_destroy(symbols);
}

static void run(unsigned minor, enum sites_hooks hooks)
{
	struct symbols_counters counters;

	world(minor, hooks);
	/* Before tracing begins. */
	play(3000);
	state.tracing = 1;
	play(EVENTS);
	symbols_counters(symbols, &counters);
	assert_in_range(counters.recycled, 1000, UINT64_MAX);
	clear();
	play(EVENTS / 4);
	/* It was no easy game. */
	assert_in_range(m.heap.arenas_made, 50, UINT64_MAX);
	assert_in_range(m.heap.pools_reused, 100, UINT64_MAX);
	assert_in_range(state.epoch, 500, UINT32_MAX);
	finish();
}

/* Without the raw domain the peak is exact to the byte. */
static void test_objects_alone(void **context)
{
	(void)context;
	world(12, SITES_PLAIN);
	m.objects_alone = true;
	state.tracing = 1;
	play(EVENTS);
	assert_true(m.peak_exact);
	finish();
}

static void test_static_heap(void **context)
{
	(void)context;
	run(8, SITES_PLAIN);
	run(10, SITES_PLAIN);
}

static void test_cframes(void **context)
{
	(void)context;
	run(11, SITES_PLAIN);
	run(12, SITES_PLAIN);
}

static void test_internal_frames(void **context)
{
	(void)context;
	run(13, SITES_PLAIN);
	run(14, SITES_PLAIN);
	run(15, SITES_PLAIN);
}

static void test_debug_hooks(void **context)
{
	(void)context;
	run(9, SITES_DEBUG);
	run(13, SITES_DEBUG);
}

/* What is held is told by the pools, while the target runs. */
static void test_lazy_free(void **context)
{
	(void)context;
	fake_lazy_free = true;
	memset(&reaping, 0, sizeof(reaping));
	for (unsigned minor = 8; minor <= 15; minor++)
		run(minor, SITES_PLAIN);
	run(9, SITES_DEBUG);
	run(13, SITES_DEBUG);
	fake_lazy_free = false;
	assert_in_range(reaping.counters.dead, 100000, UINT64_MAX);
	assert_in_range(reaping.ended, 1000, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_static_heap),     cmocka_unit_test(test_cframes),
		cmocka_unit_test(test_internal_frames), cmocka_unit_test(test_debug_hooks),
		cmocka_unit_test(test_objects_alone),   cmocka_unit_test(test_lazy_free),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	emulation_reset();
	return failed;
}
