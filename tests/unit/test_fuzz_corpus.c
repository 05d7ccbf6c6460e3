// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What `make fuzz` begins with, and what it once failed on: given to the same functions, once. */
#include "support.h"
#include "../fuzz/targets.h"
#include "base/cleanup.h"
#include <string.h>

/* The Makefile says where. */
#ifndef FUZZ_CORPUS
#define FUZZ_CORPUS "tests/fuzz/corpus"
#endif

static void replay(const char *target, void (*run)(const uint8_t *data, size_t size))
{
	cleanup_free char *folder = support_path(FUZZ_CORPUS, target);
	cleanup_dir DIR *dir = opendir(folder);
	const struct dirent *entry;
	int count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		cleanup_free char *path = NULL;
		cleanup_free uint8_t *data = NULL;
		cleanup_free uint8_t *exact = NULL;
		size_t size;

		if (entry->d_name[0] == '.')
			continue;
		path = support_path(folder, entry->d_name);
		data = support_read(path, &size);
		/* So that a sanitizer sees a read of what lies behind. */
		exact = malloc(size);
		assert_true(exact || size == 0);
		if (size > 0)
			memcpy(exact, data, size);
		run(exact, size);
		count++;
	}
	assert_true(count > 0);
}

static void test_gzip(void **state)
{
	(void)state;
	replay("gzip", fuzz_gzip);
}

static void test_pprof(void **state)
{
	(void)state;
	replay("pprof", fuzz_pprof);
}

static void test_pprof_info(void **state)
{
	(void)state;
	replay("pprof_info", fuzz_pprof_info);
}

static void test_wire(void **state)
{
	(void)state;
	replay("wire", fuzz_wire);
}

static void test_tracemalloc(void **state)
{
	(void)state;
	replay("tracemalloc", fuzz_tracemalloc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gzip),        cmocka_unit_test(test_pprof),
		cmocka_unit_test(test_pprof_info),  cmocka_unit_test(test_wire),
		cmocka_unit_test(test_tracemalloc),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
