// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The table of tracebacks: user/trace/symbols/tracebacks.c. */
#include "support.h"

#include "trace/symbols/symbols.h"

static int released[8];

static void fake_release(struct symbols *symbols, struct symbols_traceback *traceback)
{
	(void)symbols;
	released[(uintptr_t)traceback]++;
}

static struct symbols_line fake_line(const struct symbols_traceback *traceback)
{
	return (struct symbols_line){NULL, (uintptr_t)traceback / 2};
}

#define symbols_release        fake_release
#define symbols_traceback_line fake_line
#include "trace/symbols/tracebacks.c" /* NOLINT(bugprone-suspicious-include) */

static struct symbols_traceback *traceback(uintptr_t n)
{
	return (struct symbols_traceback *)n; /* NOLINT(performance-no-int-to-ptr) */
}

static struct tracebacks filled(void)
{
	struct tracebacks tracebacks = {0};
	uint32_t index;

	memset(released, 0, sizeof(released));
	for (uintptr_t n = 1; n < 8; n++) {
		support_ok(tracebacks_index(&tracebacks, traceback(n), &index));
		assert_int_equal(index, n - 1);
	}
	return tracebacks;
}

/* One that is known already is given back. */
static void test_known(void **state)
{
	struct tracebacks tracebacks = filled();
	uint32_t index;

	(void)state;
	support_ok(tracebacks_index(&tracebacks, traceback(3), &index));
	assert_int_equal(index, 2);
	assert_int_equal(released[3], 1);
	assert_int_equal(tracebacks.count, 7);
	tracebacks_deinit(&tracebacks);
	assert_int_equal(released[3], 2);
	assert_int_equal(released[7], 1);
}

static void test_kept(void **state)
{
	struct tracebacks tracebacks = filled();
	uint32_t map[8] = {0, 1, 0, 0, 1, 0, 1}, index;

	(void)state;
	support_ok(tracebacks_keep(&tracebacks, map));
	assert_int_equal(tracebacks.count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		static const uintptr_t kept[] = {2, 5, 7};

		assert_ptr_equal(tracebacks_get(&tracebacks, i), traceback(kept[i]));
		assert_int_equal(map[kept[i] - 1], i);
		assert_int_equal(released[kept[i]], 0);
		support_ok(tracebacks_index(&tracebacks, traceback(kept[i]), &index));
		assert_int_equal(index, i);
	}
	assert_int_equal(released[1], 1);
	assert_int_equal(released[6], 1);
	support_ok(tracebacks_index(&tracebacks, traceback(1), &index));
	assert_int_equal(index, 3);
	tracebacks_deinit(&tracebacks);
}

static void test_lines(void **state)
{
	struct tracebacks tracebacks = filled();
	uint32_t *lines;

	(void)state;
	support_ok(tracebacks_lines(&tracebacks, &lines));
	/* 1 | 2 3 | 4 5 | 6 7 */
	assert_int_equal(lines[0], 0);
	assert_int_equal(lines[1], 1);
	assert_int_equal(lines[2], 1);
	assert_int_equal(lines[4], 3);
	assert_int_equal(lines[6], 5);
	free(lines);
	tracebacks_deinit(&tracebacks);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
