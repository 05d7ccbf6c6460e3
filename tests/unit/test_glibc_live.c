// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * malloc's heaps of a live process: a child that allocates and frees what is known, and what its
 * own mallinfo2() says. With TMBPF_MALLINFO="PID FORDBLKS UORDBLKS HBLKHD", the process of that pid
 * is held against these numbers of its own (tests/oracle/malloc does so for each C library found).
 */
#include "support.h"
#include "base/cleanup.h"
#include "target/malloc/glibc.h"
#include "target/process/process.h"
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS     6000
#define THREADS    3
#define PER_THREAD (BLOCKS / THREADS)

enum kept { KEPT, FREED };

/* Shared with the child. */
struct table {
	struct mallinfo2 after;
	uint64_t address[BLOCKS], size[BLOCKS];
	uint8_t kept[BLOCKS];
};

struct walked {
	uint64_t *in_use;
	size_t count, capacity;
	const struct glibc_totals *totals;
};

static bool is_glibc(void)
{
#ifdef __SANITIZE_ADDRESS__
	return false;
#else
	return true;
#endif
}

static uint64_t size_of(unsigned int i)
{
	static const uint32_t sizes[] = {16,   24,   40,   100,   128,   600,
					 1032, 1040, 4000, 60000, 140000};

	/* Mapped ones are few. */
	return sizes[i % (i % 97 ? 10 : 11)] + i % 5;
}

/* A part of the blocks, each third freed: so many that no cache or fastbin holds them all. */
static void blocks_make(struct table *table, size_t from, size_t to)
{
	size_t i;

	for (i = from; i < to; i++) {
		void *block = malloc(size_of(i));

		if (!block)
			_exit(1);
		memset(block, 0x5a, size_of(i));
		table->address[i] = (uintptr_t)block;
		table->size[i] = malloc_usable_size(block);
	}
	for (i = from; i < to; i += 3) {
		free((void *)table->address[i]); // NOLINT
		table->kept[i] = FREED;
	}
}

struct part {
	struct table *table;
	size_t from;
	int word, stay;
};

static void *thread_run(void *argument)
{
	struct part *part = argument;
	char byte = 0;

	blocks_make(part->table, part->from, part->from + PER_THREAD);
	if (write(part->word, &byte, 1) != 1)
		_exit(1);
	/* The thread's cache lives as long as it does. */
	while (read(part->stay, &byte, 1) != 1)
		;
	return NULL;
}

/* Says a word on WORD when it is ready, and again for each word it is told. */
static void child_run(struct table *table, bool threads, int word, int told)
{
	static struct part parts[THREADS];
	pthread_t thread;
	int ready[2], stay[2];
	char byte = 0;
	size_t i;

	if (pipe(ready) || pipe(stay) || write(word, &byte, 1) != 1 || read(told, &byte, 1) != 1)
		_exit(1);
	if (!threads)
		blocks_make(table, 0, BLOCKS);
	for (i = 0; threads && i < THREADS; i++) {
		parts[i] = (struct part){table, i * PER_THREAD, ready[1], stay[0]};
		if (pthread_create(&thread, NULL, thread_run, &parts[i]) ||
		    read(ready[0], &byte, 1) != 1)
			_exit(1);
	}
	table->after = mallinfo2();
	if (write(word, &byte, 1) != 1)
		_exit(1);
	while (read(told, &byte, 1) > 0)
		;
	_exit(0);
}

static struct error *walked_see(void *context, const struct glibc_chunk *chunk)
{
	struct walked *walked = context;

	if (glibc_state_free(chunk->state))
		return NULL;
	if (walked->count == walked->capacity) {
		walked->capacity = walked->capacity * 2 + 1024;
		walked->in_use =
			reallocarray(walked->in_use, walked->capacity, 2 * sizeof(uint64_t));
		assert_non_null(walked->in_use);
	}
	walked->in_use[walked->count * 2] = chunk->address;
	walked->in_use[walked->count++ * 2 + 1] = chunk->size;
	return NULL;
}

static int pair_compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static uint64_t fordblks(const struct glibc_totals *totals)
{
	return totals->states[GLIBC_FASTBIN].bytes + totals->states[GLIBC_BIN].bytes +
	       totals->top.bytes;
}

static uint64_t uordblks(const struct glibc_totals *totals)
{
	return totals->states[GLIBC_IN_USE].bytes + totals->states[GLIBC_TCACHE].bytes +
	       totals->overhead + totals->unknown;
}

/* The blocks in use now, sorted. */
static struct glibc *walk(struct process *process, struct walked *ret)
{
	struct glibc *glibc = NULL;

	memset(ret, 0, sizeof(*ret));
	support_ok(glibc_create(process, NULL, 0, NULL, &glibc));
	assert_null(glibc_absent(glibc));
	support_ok(glibc_each(glibc, walked_see, ret));
	ret->totals = glibc_totals(glibc);
	assert_int_equal(ret->totals->broken, 0);
	assert_int_equal(ret->totals->unknown, 0);
	assert_int_equal(ret->totals->mapped_unknown, 0);
	if (ret->count)
		qsort(ret->in_use, ret->count, 2 * sizeof(uint64_t), pair_compare);
	return glibc;
}

static const uint64_t *walked_find(const struct walked *walked, uint64_t address)
{
	return walked->count ? bsearch(&address, walked->in_use, walked->count,
				       2 * sizeof(uint64_t), pair_compare)
			     : NULL;
}

static void blocks_compare(const struct table *table, const struct walked *before,
			   const struct walked *after, bool exactly)
{
	size_t i, kept = 0, new = 0;

	for (i = 0; i < BLOCKS; i++) {
		const uint64_t *found = walked_find(after, table->address[i]);

		/* An address that was freed may have been given out again. */
		if (table->kept[i] == FREED)
			continue;
		kept++;
		assert_non_null(found);
		assert_int_equal(found[1], table->size[i]);
	}
	for (i = 0; i < after->count; i++)
		new += !walked_find(before, after->in_use[i * 2]);
	/* A free chunk of before may be one of those kept: it was not in use then. */
	if (exactly)
		assert_int_equal(new, kept);
	else
		assert_in_range(new, kept, kept + 16 * THREADS);
}

static void live(bool threads)
{
	struct table *table = mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct walked before, after;
	struct glibc *first, *second;
	struct process *process = NULL;
	int word[2], told[2];
	char byte = 0;
	pid_t pid;

	assert_ptr_not_equal(table, MAP_FAILED);
	assert_int_equal(pipe(word), 0);
	assert_int_equal(pipe(told), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(word[0]);
		close(told[1]);
		child_run(table, threads, word[1], told[0]);
	}
	close(word[1]);
	close(told[0]);
	assert_int_equal(read(word[0], &byte, 1), 1);
	support_ok(process_create(pid, &process));
	first = walk(process, &before);
	assert_int_equal(write(told[1], &byte, 1), 1);
	assert_int_equal(read(word[0], &byte, 1), 1);
	second = walk(process, &after);
	blocks_compare(table, &before, &after, !threads);
	assert_int_equal(fordblks(after.totals), table->after.fordblks);
	assert_int_equal(uordblks(after.totals), table->after.uordblks);
	assert_int_equal(after.totals->states[GLIBC_MAPPED].bytes, table->after.hblkhd);
	assert_true(after.totals->states[GLIBC_TCACHE].count > 0);
	assert_int_equal(after.totals->arenas, threads ? 1 + THREADS : 1);
	glibc_destroy(first);
	glibc_destroy(second);
	free(before.in_use);
	free(after.in_use);
	process_destroy(process);
	close(told[1]);
	close(word[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(table, sizeof(*table));
}

static void test_main_arena(void **state)
{
	(void)state;
	live(false);
}

static void test_threads(void **state)
{
	(void)state;
	live(true);
}

/* The process that TMBPF_MALLINFO names. */
static void test_mallinfo(void **state)
{
	const char *text = getenv("TMBPF_MALLINFO");
	struct process *process = NULL;
	uint64_t free_bytes, used, mapped;
	struct walked walked;
	struct glibc *glibc;
	int pid;

	(void)state;
	assert_non_null(text);
	assert_int_equal(sscanf(text, "%d %" SCNu64 " %" SCNu64 " %" SCNu64, &pid, &free_bytes,
				&used, &mapped),
			 4);
	support_ok(process_create(pid, &process));
	glibc = walk(process, &walked);
	assert_int_equal(fordblks(walked.totals), free_bytes);
	assert_int_equal(uordblks(walked.totals), used);
	assert_int_equal(walked.totals->states[GLIBC_MAPPED].bytes, mapped);
	glibc_destroy(glibc);
	free(walked.in_use);
	process_destroy(process);
}

/* What is looked for in this very process. */
struct wanted {
	uint64_t address, size, count;
};

static struct error *own_see(void *context, const struct glibc_chunk *chunk)
{
	struct wanted *wanted = context;

	wanted->count++;
	if (chunk->address == wanted->address && !glibc_state_free(chunk->state))
		wanted->size = chunk->size;
	return NULL;
}

/* While it does the walk itself. With a sanitizer's malloc there is nothing to find. */
static void test_own(void **state)
{
	struct process *process = NULL;
	struct glibc *glibc;
	void *mapped = malloc(1 << 20);
	struct wanted wanted = {.address = (uintptr_t)mapped};

	(void)state;
	assert_non_null(mapped);
	support_ok(process_create(getpid(), &process));
	support_ok(glibc_create(process, NULL, 0, NULL, &glibc));
	support_ok(glibc_each(glibc, own_see, &wanted));
	if (is_glibc()) {
		assert_null(glibc_absent(glibc));
		assert_true(wanted.count > 10);
		assert_true(wanted.size >= 1 << 20);
	}
	glibc_destroy(glibc);
	process_destroy(process);
	free(mapped);
}

int main(void)
{
	const struct CMUnitTest own[] = {
		cmocka_unit_test(test_own),
	};
	const struct CMUnitTest child[] = {
		cmocka_unit_test(test_main_arena),
		cmocka_unit_test(test_threads),
	};
	const struct CMUnitTest given[] = {
		cmocka_unit_test(test_mallinfo),
	};
	int failed;

	if (getenv("TMBPF_MALLINFO"))
		return cmocka_run_group_tests(given, NULL, NULL);
	failed = cmocka_run_group_tests(own, NULL, NULL);
	if (is_glibc())
		failed += cmocka_run_group_tests(child, NULL, NULL);
	return failed;
}
