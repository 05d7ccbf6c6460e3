// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What an interpreter's domains allocate by, told from its tables alone. */
#include "probe_fake.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory_fake.h"
#include "base/cleanup.h"
#include "probe/domains.h"
#include "python/python.h"

#define BIAS    0x10000000ULL
#define CONTEXT (BIAS + 0x800000) /* of hooks */

/* The interpreter's file as probe_fake.h has it, mapped BIAS above its addresses. */
struct mapped {
	struct fake *fake;
	struct memory_fake memory;
	struct python python;
};

static void mapped_init(struct mapped *mapped, uint32_t version)
{
	struct python *python = &mapped->python;

	memset(mapped, 0, sizeof(*mapped));
	mapped->fake = fake_create();
	memory_fake_init(&mapped->memory);
	/* Its maps are this test's own. */
	mapped->memory.process.pid = getpid();
	memcpy(memory_fake_add(&mapped->memory, FAKE_DATA + BIAS, FAKE_DATA_SIZE),
	       mapped->fake->file + (FAKE_DATA - FAKE_TEXT), FAKE_DATA_SIZE);
	memory_fake_add(&mapped->memory, CONTEXT, 4096);
	mapped->fake->segments[0].executable = true;
	python->process = &mapped->memory.process;
	python->image = &mapped->fake->image;
	python->version = version;
	python->bias = BIAS;
	python->layout.runtime.allocators_raw = python->layout.runtime.allocators_mem =
		python->layout.runtime.allocators_obj = PYTHON_NO_OFFSET;
	if (version < 0x030c0000)
		return;
	python->runtime = FAKE_DATA + BIAS;
	python->layout.runtime.allocators_raw = FAKE_RAW - FAKE_DATA;
	python->layout.runtime.allocators_mem = FAKE_MEM - FAKE_DATA;
	python->layout.runtime.allocators_obj = FAKE_OBJ - FAKE_DATA;
}

static void mapped_deinit(struct mapped *mapped)
{
	memory_fake_deinit(&mapped->memory);
	fake_destroy(mapped->fake);
}

/*
 * The table at ADDRESS of the file holds these now: a context, and functions that begin at
 * FUNCTION.
 */
static void table_put(struct mapped *mapped, uint64_t address, uint64_t context, uint64_t function)
{
	const uint64_t table[5] = {context, function, function + 1, function + 2, function + 3};

	memory_fake_put(&mapped->memory, address + BIAS, table, sizeof(table));
}

/* The table at ADDRESS holds what the one at FROM holds in the file. */
static void table_copy(struct mapped *mapped, uint64_t address, uint64_t from)
{
	uint64_t table[5];

	memcpy(table, mapped->fake->file + (from - FAKE_TEXT), sizeof(table));
	for (size_t i = 1; i < 5; i++)
		table[i] += BIAS;
	memory_fake_put(&mapped->memory, address + BIAS, table, sizeof(table));
}

static void assert_kinds(const struct mapped *mapped, enum python_allocator_kind raw,
			 enum python_allocator_kind mem, enum python_allocator_kind obj)
{
	struct domain_allocator found[DOMAINS];

	support_ok(domains_read(&mapped->python, found));
	assert_string_equal(python_allocator_name(found[DOMAIN_RAW].kind),
			    python_allocator_name(raw));
	assert_string_equal(python_allocator_name(found[DOMAIN_MEM].kind),
			    python_allocator_name(mem));
	assert_string_equal(python_allocator_name(found[DOMAIN_OBJ].kind),
			    python_allocator_name(obj));
}

static void assert_source(const struct mapped *mapped, const char *source)
{
	struct domain_allocator found[DOMAINS];

	support_ok(domains_read(&mapped->python, found));
	assert_int_equal(found[DOMAIN_OBJ].kind, PYTHON_ALLOCATOR_OTHER);
	assert_string_equal(found[DOMAIN_OBJ].source, source);
}

/* The tables as a process has them from the start, by VERSION. */
static void start_put(struct mapped *mapped, uint32_t version)
{
	mapped_init(mapped, version);
	table_copy(mapped, FAKE_DATA + 0x20, FAKE_RAW);
	table_copy(mapped, FAKE_DATA + 0x60, FAKE_OBJ);
	table_copy(mapped, FAKE_RAW, FAKE_RAW);
	table_copy(mapped, FAKE_MEM, FAKE_OBJ);
	table_copy(mapped, FAKE_OBJ, FAKE_OBJ);
}

static void test_own(void **state)
{
	static const uint32_t versions[] = {0x030c01f0, 0x030f00f0};
	struct mapped mapped;

	(void)state;
	for (size_t i = 0; i < array_size(versions); i++) {
		start_put(&mapped, versions[i]);
		assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_PYMALLOC,
			     PYTHON_ALLOCATOR_PYMALLOC);
		/* PYTHONMALLOC=malloc */
		table_copy(&mapped, FAKE_MEM, FAKE_RAW);
		table_copy(&mapped, FAKE_OBJ, FAKE_RAW);
		assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_MALLOC,
			     PYTHON_ALLOCATOR_MALLOC);
		mapped_deinit(&mapped);
	}
}

/* The debug hooks' context is a letter and the table behind them. */
static void debug_put(struct mapped *mapped, uint64_t from)
{
	table_copy(mapped, CONTEXT + 8 - BIAS, from);
	memory_fake_put_u64(&mapped->memory, CONTEXT, 'o');
	table_put(mapped, FAKE_OBJ, CONTEXT, FAKE(refill) + BIAS);
}

static void test_hooks(void **state)
{
	struct mapped mapped;

	(void)state;
	start_put(&mapped, 0x030d00f0);
	debug_put(&mapped, FAKE_OBJ);
	assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_PYMALLOC,
		     PYTHON_ALLOCATOR_PYMALLOC);
	debug_put(&mapped, FAKE_RAW);
	assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_PYMALLOC,
		     PYTHON_ALLOCATOR_MALLOC);
	/* One that leads back to itself is known as nobody's. */
	memory_fake_put_u64(&mapped.memory, CONTEXT + 8, CONTEXT);
	memory_fake_put_u64(&mapped.memory, CONTEXT + 16, FAKE(refill) + BIAS);
	assert_source(&mapped, "code of no file");
	/* Functions of another file, and of none. */
	table_put(&mapped, FAKE_OBJ, 0, 0x10000);
	assert_source(&mapped, "code of no file");
	table_put(&mapped, FAKE_OBJ, 0, (uint64_t)(uintptr_t)mapped_init);
	assert_source(&mapped, "test_domains");
	mapped_deinit(&mapped);
}

static void test_mimalloc(void **state)
{
	static const char name[] = "mimalloc_debug";
	struct mapped mapped;

	(void)state;
	start_put(&mapped, 0x030d00f0);
	memcpy(mapped.fake->file + (FAKE_DATA + 0x800 - FAKE_TEXT), name, sizeof(name));
	table_put(&mapped, FAKE_MEM, 0, FAKE(refill) + BIAS);
	table_put(&mapped, FAKE_OBJ, 0, FAKE(refill) + BIAS);
	assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_MIMALLOC,
		     PYTHON_ALLOCATOR_MIMALLOC);
	/* With a context it is somebody's hook, as in an interpreter that is older or has none. */
	table_put(&mapped, FAKE_OBJ, CONTEXT, FAKE(refill) + BIAS);
	assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_MIMALLOC,
		     PYTHON_ALLOCATOR_OTHER);
	table_put(&mapped, FAKE_OBJ, 0, FAKE(refill) + BIAS);
	mapped.python.version = 0x030c01f0;
	assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_OTHER,
		     PYTHON_ALLOCATOR_OTHER);
	mapped.python.version = 0x030d00f0;
	memset(mapped.fake->file + (FAKE_DATA + 0x800 - FAKE_TEXT), 'x', 8);
	assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_OTHER,
		     PYTHON_ALLOCATOR_OTHER);
	mapped_deinit(&mapped);
}

/* Up to 3.11 nobody says where the tables are: what any of mem's and obj's leads to counts. */
static void test_older(void **state)
{
	struct mapped mapped;

	(void)state;
	start_put(&mapped, 0x030b02f0);
	assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_PYMALLOC,
		     PYTHON_ALLOCATOR_PYMALLOC);
	table_copy(&mapped, FAKE_OBJ, FAKE_RAW);
	assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_MALLOC,
		     PYTHON_ALLOCATOR_MALLOC);
	table_put(&mapped, FAKE_OBJ, 0, 0x10000);
	assert_kinds(&mapped, PYTHON_ALLOCATOR_MALLOC, PYTHON_ALLOCATOR_OTHER,
		     PYTHON_ALLOCATOR_OTHER);
	mapped_deinit(&mapped);
}

static void test_untold(void **state)
{
	struct domain_allocator found[DOMAINS];
	struct mapped mapped;

	(void)state;
	/* No table stands out in the file. */
	mapped_init(&mapped, 0x030b02f0);
	memset(mapped.fake->file + (FAKE_DATA - FAKE_TEXT), 0, FAKE_DATA_SIZE);
	support_fails(domains_read(&mapped.python, found), ERROR_FAILED, "cannot be told");
	mapped_deinit(&mapped);
	mapped_init(&mapped, 0x030d00f0);
	memset(mapped.fake->file + (FAKE_DATA - FAKE_TEXT), 0, FAKE_DATA_SIZE);
	support_fails(domains_read(&mapped.python, found), ERROR_FAILED, "at first");
	mapped_deinit(&mapped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own),      cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_mimalloc), cmocka_unit_test(test_older),
		cmocka_unit_test(test_untold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
