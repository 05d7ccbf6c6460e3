// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What memory limits leave, with a /proc and control groups of our own. */
#include "support.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "target/container/memcg_headroom.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Hierarchies at /one and /two. */
static int setup(void **state)
{
	char *root = support_folder(), *mounts;

	assert_true(asprintf(&mounts,
			     "36 35 0:30 / %s/one rw - cgroup cgroup rw,memory\n"
			     "37 35 0:31 / %s/two rw - cgroup2 cgroup2 rw\n",
			     root, root) > 0);
	support_put(root, "proc/self/mountinfo", mounts);
	free(mounts);
	*state = root;
	return 0;
}

static int teardown(void **state)
{
	support_folder_remove(*state);
	return 0;
}

static uint64_t memcg_headroom_of(const char *root, uint64_t enough)
{
	uint64_t room = 0;

	support_ok(memcg_headroom_read(root, 10, enough, &room));
	return room;
}

static void test_version_2(void **state)
{
	const char *root = *state;

	support_put(root, "proc/10/cgroup", "0::/shop/web\n");
	assert_int_equal(memcg_headroom_of(root, 0), MEMCG_HEADROOM_UNLIMITED);
	support_put(root, "two/shop/web/memory.max", "max\n");
	support_put(root, "two/shop/web/memory.current", "1000\n");
	assert_int_equal(memcg_headroom_of(root, 0), MEMCG_HEADROOM_UNLIMITED);
	support_put(root, "two/shop/memory.max", "5000\n");
	support_put(root, "two/shop/memory.current", "1500\n");
	assert_int_equal(memcg_headroom_of(root, 0), 3500);
	support_put(root, "two/shop/web/memory.max", "1200\n");
	assert_int_equal(memcg_headroom_of(root, 0), 200);
	/* A group that is over its limit has no room. */
	support_put(root, "two/shop/web/memory.current", "1300\n");
	assert_int_equal(memcg_headroom_of(root, 0), 0);
	/*
	 * Pages of files can be reclaimed, unless somebody has them mapped or they are not written
	 * yet.
	 */
	support_put(root, "two/shop/web/memory.stat",
		    "anon 9\nfile 99999\nfile_mapped 100\nfile_dirty 10\nfile_writeback 1\n"
		    "inactive_file 400\nactive_file 200\nworkingset_activate_file 7777\n");
	assert_int_equal(memcg_headroom_of(root, 0), 0);
	assert_int_equal(memcg_headroom_of(root, 1), 489);
	support_put(root, "two/shop/web/memory.stat",
		    "file_mapped 100\ninactive_file 50\nactive_file\n");
	assert_int_equal(memcg_headroom_of(root, 1), 0);
}

static void test_version_1(void **state)
{
	const char *root = *state;

	support_put(root, "proc/10/cgroup", "9:hugetlb,memory:/box\n3:memory_not:/other\n0::/\n");
	/* The mount does not have all of its names. */
	assert_int_equal(memcg_headroom_of(root, 0), MEMCG_HEADROOM_UNLIMITED);
	support_put(root, "proc/10/cgroup", "9:memory:/box\n0::/\n");
	support_put(root, "one/box/memory.limit_in_bytes", "10000\n");
	support_put(root, "one/box/memory.usage_in_bytes", "9000\n");
	support_put(root, "one/box/memory.stat", "inactive_file 5\ntotal_inactive_file 300\n");
	assert_int_equal(memcg_headroom_of(root, 1000), 1000);
	assert_int_equal(memcg_headroom_of(root, 1001), 1300);
	support_put(root, "one/memory.limit_in_bytes", "9223372036854771712\n");
	support_put(root, "one/memory.usage_in_bytes", "77777\n");
	assert_int_equal(memcg_headroom_of(root, 1000), 1000);
	/* Damaged files tell nothing. */
	support_put(root, "one/box/memory.limit_in_bytes", "none\n");
	assert_int_equal(memcg_headroom_of(root, 1000), 9223372036854771712ull - 77777);
}

static void test_gone(void **state)
{
	uint64_t room = 7;
	struct error *error = memcg_headroom_read(*state, 4194303, 0, &room);

	assert_non_null(error);
	assert_int_equal(error_kind(error), ERROR_NOTHING);
	assert_int_equal(room, 7);
	error_destroy(error);
}

/* A kernel without control groups has processes, and no /proc/PID/cgroup. */
static void test_no_groups(void **state)
{
	support_put(*state, "proc/10/stat", "10 (python3) S 1\n");
	assert_int_equal(memcg_headroom_of(*state, 0), MEMCG_HEADROOM_UNLIMITED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_version_2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_version_1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_groups, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
