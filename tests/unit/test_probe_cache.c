// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Plans kept between runs: found again, and never believed when they do not fit. */
#include "probe_fake.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

static char *folder;
static struct fake *fake;
static struct python python;

static int setup(void **state)
{
	(void)state;
	folder = support_folder();
	setenv("TMBPF_CACHE", folder, 1);
	fake = fake_create();
	memcpy(fake->image.build_id, "\x12\x34\x56\x78", 4);
	fake->image.build_id_size = 4;
	memset(&python, 0, sizeof(python));
	python.version = 0x030b02f0;
	python.image = &fake->image;
	python.layout.runtime.allocators_raw = PYTHON_NO_OFFSET;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_destroy(fake);
	support_folder_remove(folder);
	unsetenv("TMBPF_CACHE");
	return 0;
}

/* The path of the only plan that is kept, to be freed; NULL for none. */
static char *kept(void)
{
	cleanup_free char *plans = support_path(folder, "plans");
	DIR *dir = opendir(plans);
	struct dirent *entry;
	char *path = NULL;

	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "secret"))
			continue;
		assert_null(path);
		path = support_path(plans, entry->d_name);
	}
	if (dir)
		closedir(dir);
	return path;
}

static ino_t inode(const char *path)
{
	struct stat status;

	assert_int_equal(stat(path, &status), 0);
	return status.st_ino;
}

/* Loads, and compares with one made anew. */
static void load(void)
{
	struct plan *made, *loaded;

	support_ok(plan_create(&python, &made));
	support_ok(plan_load(&python, &loaded));
	assert_int_equal(loaded->site_count, made->site_count);
	for (size_t i = 0; i < made->site_count; i++) {
		const struct site *a = &made->sites[i], *b = &loaded->sites[i];

		assert_int_equal(a->offset, b->offset);
		assert_int_equal(a->kind, b->kind);
		assert_int_equal(a->returns, b->returns);
		assert_int_equal(a->a[0].displacement, b->a[0].displacement);
		assert_int_equal(a->a[0].base, b->a[0].base);
	}
	assert_memory_equal(made->functions, loaded->functions, sizeof(made->functions));
	assert_int_equal(made->refill, loaded->refill);
	assert_int_equal(made->usable_arenas, loaded->usable_arenas);
	assert_memory_equal(&made->audit, &loaded->audit, sizeof(made->audit));
	assert_int_equal(made->warning_count, loaded->warning_count);
	for (size_t i = 0; i < made->warning_count; i++)
		assert_string_equal(made->warnings[i], loaded->warnings[i]);
	plan_destroy(made);
	plan_destroy(loaded);
}

static void test_kept(void **state)
{
	cleanup_free char *plans = support_path(folder, "plans"), *path = NULL;
	struct stat status;
	ino_t first;

	(void)state;
	load();
	assert_int_equal(stat(plans, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0700);
	path = kept();
	assert_non_null(path);
	assert_non_null(strstr(path, "/12345678-"));
	first = inode(path);
	load();
	/* It was used, not written again. */
	assert_int_equal(inode(path), first);
}

static void test_damaged(void **state)
{
	cleanup_free char *path = NULL;
	cleanup_free uint8_t *data = NULL;
	size_t size;

	(void)state;
	load();
	path = kept();
	assert_non_null(path);
	data = support_read(path, &size);
	for (size_t at = 0; at < size; at += 97) {
		ino_t damaged;

		data[at] ^= 0x10;
		support_write(path, data, size);
		damaged = inode(path);
		load();
		assert_int_not_equal(inode(path), damaged);
		data[at] ^= 0x10;
	}
	support_write(path, data, size / 2);
	load();
	support_write(path, data, 0);
	load();
}

/* Another file with the same build-id has a plan of its own. */
static void test_same_build_id(void **state)
{
	cleanup_free char *first = NULL;

	(void)state;
	load();
	first = kept();
	assert_non_null(first);
	assert_int_equal(unlink(first), 0);
	fake->file[FAKE(end) - FAKE_TEXT] = 0x90;
	load();
	{
		cleanup_free char *second = kept();

		assert_non_null(second);
		assert_string_not_equal(first, second);
	}
}

/* A folder that others may write to is not used. */
static void test_open_folder(void **state)
{
	cleanup_free char *plans = support_path(folder, "plans");

	(void)state;
	assert_int_equal(mkdir(plans, 0777), 0);
	assert_int_equal(chmod(plans, 0777), 0);
	load();
	assert_null(kept());
	assert_int_equal(support_entries(plans), 0);
}

static void test_no_folder(void **state)
{
	(void)state;
	setenv("TMBPF_CACHE", "/proc/nowhere", 1);
	load();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_build_id, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_folder, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
