// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How samples are tracked, on memory of this process, and what estimates make of them. */
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "python/python.h"
#include "target/malloc/glibc.h"
#include "target/process/process.h"
#include "target/process/resident.h"
#include "trace/sampling/classes.h"
#include "trace/sampling/tracked.h"
#include "trace/sampling/samples_internal.h"

static struct samples samples;
static struct sample list[64];
static struct estimate_window slices[16];

/* Slices of a second; samples are put into LIST. */
static void start(size_t slice_count)
{
	memset(&samples, 0, sizeof(samples));
	memset(list, 0, sizeof(list));
	for (size_t i = 0; i < slice_count; i++)
		slices[i] = (struct estimate_window){i * NSEC_PER_SEC, (i + 1) * NSEC_PER_SEC,
						     i * NSEC_PER_SEC, (i + 1) * NSEC_PER_SEC};
	samples.list = list;
	samples.slices = slices;
	samples.slice_count = slice_count;
}

static struct sample *put(uint8_t kind, uint32_t traceback, uint32_t slice, uint64_t size)
{
	struct sample *sample = &list[samples.count++];

	samples.fresh = samples.count;
	*sample = (struct sample){
		.kind = kind,
		.traceback = traceback,
		.slice = slice,
		.size = size,
		.resident = size,
		.weight = 1,
		.died = ESTIMATE_ALIVE,
		.place = SAMPLE_OTHER,
	};
	return sample;
}

static struct sample *put_at(uint8_t kind, const void *address, uint64_t size)
{
	struct sample *sample = put(kind, 0, 0, size);

	sample->address = (uintptr_t)address;
	sample->place = SAMPLE_UNKNOWN;
	return sample;
}

static const struct estimate_row *row_of(const struct estimate *estimate, uint32_t traceback)
{
	for (size_t i = 0; i < estimate->count; i++)
		if (estimate->rows[i].traceback == traceback)
			return &estimate->rows[i];
	fail_msg("no row of %u", traceback);
	return NULL;
}

/*
 * Traceback 1 gets a block in each slice, 2 touches pages of its own, 3 makes blocks that die in
 * the next slice. The growth of large memory is known; that of small chunks is too small a part to
 * be given to anyone.
 */
static void test_estimate(void **state)
{
	struct estimate_class classes[2] = {
		{.by_size = true, .total = 1e5, .growth = 5e4, .unit_size = 1},
		{.by_size = true, .total = 1e8, .growth = 13e6, .unit_size = 1},
	};
	struct tracebacks tracebacks = {.count = 4};
	struct estimate_input input = {
		.classes = classes, .class_count = 2, .now = 10 * NSEC_PER_SEC};
	cleanup(estimate_cleanup) struct estimate *estimate = NULL;
	struct native_memory *native = NULL;
	struct process *process;
	struct python python = {0};

	(void)state;
	start(10);
	samples.tracebacks = &tracebacks;
	support_ok(process_create(getpid(), &process));
	python.process = process;
	support_ok(native_memory_create(&python, &native));
	for (uint32_t i = 0; i < 10; i++) {
		put(TMBPF_SAMPLE_LARGE, 1, i, 1 << 20);
		put(TMBPF_SAMPLE_FAULT, 2, i, 4096)->weight = 64;
		put(TMBPF_SAMPLE_LARGE, 3, i, 1 << 20)->died = i < 9 ? (i + 2) * NSEC_PER_SEC
								     : ESTIMATE_ALIVE;
	}
	support_ok(samples_estimate(&samples, native, &input, classes, &estimate));
	assert_true(row_of(estimate, 1)->grows);
	assert_float_equal(row_of(estimate, 1)->size_growth.value, 10 * 1048576.0, 3e5);
	assert_float_equal(row_of(estimate, 1)->count_growth.value, 10, 0.3);
	assert_true(row_of(estimate, 2)->grows);
	assert_float_equal(row_of(estimate, 2)->size_growth.value, 10 * 64 * 4096, 1e5);
	assert_float_equal(row_of(estimate, 2)->count_growth.value, 0, 1e-9);
	assert_false(row_of(estimate, 3)->grows);
	assert_int_equal(estimate->rows[0].traceback, 1);
	native_memory_destroy(native);
	process_destroy(process);
}

static struct estimate *estimate_of(uint32_t traceback, double growth, double error, bool grows)
{
	struct estimate *estimate = calloc(1, sizeof(*estimate));

	assert_non_null(estimate);
	estimate->rows = calloc(1, sizeof(*estimate->rows));
	assert_non_null(estimate->rows);
	estimate->count = 1;
	estimate->attributed = growth;
	estimate->rows[0] = (struct estimate_row){.traceback = traceback,
						  .windows = 3,
						  .size_growth = {growth, error},
						  .grows = grows};
	return estimate;
}

static void test_merge(void **state)
{
	struct estimate *a = estimate_of(1, 100, 3, true), *b = estimate_of(2, 300, 4, true),
			*c = estimate_of(1, 50, 4, false), *d = estimate_of(2, 0, 500, false);

	(void)state;
	support_ok(estimate_merge(a, b));
	support_ok(estimate_merge(a, c));
	assert_int_equal(a->count, 2);
	assert_int_equal(a->rows[0].traceback, 2);
	assert_float_equal(row_of(a, 1)->size_growth.value, 150, 1e-9);
	assert_float_equal(row_of(a, 1)->size_growth.error, 5, 1e-9);
	assert_true(row_of(a, 1)->grows);
	assert_float_equal(a->attributed, 450, 1e-9);
	/* What the other puts in doubt is not shown to grow. */
	support_ok(estimate_merge(a, d));
	assert_false(row_of(a, 2)->grows);
	assert_int_equal(a->rows[0].traceback, 1);
	estimate_destroy(a);
	estimate_destroy(b);
	estimate_destroy(c);
	estimate_destroy(d);
}

#ifndef __SANITIZE_ADDRESS__ /* its malloc is not glibc's */
static void self_start(void)
{
	start(1);
	support_ok(process_create(getpid(), &samples.process));
	support_ok(resident_create(samples.process, &samples.resident));
}

static void self_end(void)
{
	resident_destroy(samples.resident);
	process_destroy(samples.process);
}

/*
 * A block lives until it is freed; a page until it is given back, or a block is allocated over it.
 */
static void test_look(void **state)
{
	size_t size = 8 << 20;
	char *block = malloc(size), *pages = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct sample *allocation, *given, *kept, *covered;

	(void)state;
	assert_true(block && pages != MAP_FAILED);
	/*
	 * Only what is touched is resident, whatever the system does with huge pages. malloc's
	 * memory begins in a page.
	 */
	assert_int_equal(madvise(block - (uintptr_t)block % 4096, size, MADV_NOHUGEPAGE), 0);
	assert_int_equal(madvise(pages, 1 << 20, MADV_NOHUGEPAGE), 0);
	memset(block, 1, size / 2);
	memset(pages, 1, 1 << 20);
	self_start();
	allocation = put_at(TMBPF_SAMPLE_LARGE, block, size);
	allocation->resident = 0;
	assert_int_equal(tracked_chunk(samples.process, allocation->address,
				       &allocation->chunk_size),
			 TRACKED_USED);
	given = put_at(TMBPF_SAMPLE_FAULT, pages + 5000, 4096);
	kept = put_at(TMBPF_SAMPLE_FAULT, pages + 9000, 4096);
	covered = put_at(TMBPF_SAMPLE_FAULT, block + 100, 4096);
	support_ok(samples_look(&samples));
	assert_true(sample_alive(allocation));
	assert_true(allocation->resident >= size / 2 &&
		    allocation->resident < size / 2 + (1 << 20));
	assert_true(sample_alive(given) && sample_alive(kept));
	assert_false(sample_alive(covered));
	assert_int_equal(madvise(pages + 4096, 4096, MADV_DONTNEED), 0);
	free(block);
	support_ok(samples_look(&samples));
	assert_false(sample_alive(allocation));
	assert_false(sample_alive(given));
	assert_true(sample_alive(kept));
	munmap(pages, 1 << 20);
	self_end();
}
#endif

/* A page in a chunk is its owner's as long as the chunk is what it was. */
static void test_walk(void **state)
{
	static const struct glibc_chunk
		first = {.address = 0x5010, .size = 0x2ff8, .total = 0x3000, .state = GLIBC_IN_USE},
		smaller = {.address = 0x5010,
			   .size = 0x1ff8,
			   .total = 0x2000,
			   .state = GLIBC_IN_USE},
		large = {.address = 0x20010,
			 .size = 0x10ff0,
			 .total = 0x11000,
			 .state = GLIBC_MAPPED},
		spare = {.address = 0x9010, .size = 0xff8, .total = 0x1000, .state = GLIBC_BIN};
	struct sample *small_page, *large_page, *free_page;
	struct native_memory_visitor visitor;

	(void)state;
	start(1);
	small_page = put_at(TMBPF_SAMPLE_FAULT, (const void *)0x6123, 4096);
	free_page = put_at(TMBPF_SAMPLE_FAULT, (const void *)0x9500, 4096);
	large_page = put_at(TMBPF_SAMPLE_FAULT, (const void *)0x20008, 4096);
	support_ok(samples_walk_begin(&samples, &visitor));
	visitor.visit(visitor.context, &first);
	visitor.visit(visitor.context, &spare);
	visitor.visit(visitor.context, &large);
	assert_int_equal(small_page->place, SAMPLE_SMALL);
	assert_int_equal(large_page->place, SAMPLE_LARGE);
	assert_true(free_page->ending);
	assert_false(small_page->ending);
	/* Once more in the opposite order, as what lies in mappings may come first. */
	free_page->ending = false;
	support_ok(samples_walk_begin(&samples, &visitor));
	visitor.visit(visitor.context, &large);
	visitor.visit(visitor.context, &smaller);
	assert_true(small_page->ending);
	assert_false(large_page->ending);
	free(samples.sorted);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_estimate),
		cmocka_unit_test(test_merge),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(test_look),
#endif
		cmocka_unit_test(test_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
