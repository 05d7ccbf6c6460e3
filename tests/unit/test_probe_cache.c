// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Plans kept between runs: found again, and never believed when they do not fit. */
#include "probe_fake.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"

#define SOMEBODY 54321

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

/* Others have none kept. */
static void needs_root(void)
{
	if (geteuid() != 0)
		skip();
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
	needs_root();
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
	needs_root();
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
	needs_root();
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

/* A plan as it is kept: where the sites begin in its file, and where the checksum is. */
struct kept {
	char *path;
	uint8_t *data;
	size_t size, checksum, site_count;
	struct site *sites; /* of which the first SITE_COUNT are to be changed; then kept_write() */
};

static uint32_t sum(const uint8_t *data, size_t size)
{
	return (uint32_t)crc32(0, data, (uInt)size);
}

static struct kept kept_read(void)
{
	struct kept plan = {.path = kept()};
	struct plan *made;
	uint32_t before;

	assert_non_null(plan.path);
	plan.data = support_read(plan.path, &plan.size);
	for (;; plan.checksum += sizeof(before)) {
		bool found;

		assert_true(plan.checksum + sizeof(before) <= plan.size);
		memcpy(&before, plan.data + plan.checksum, sizeof(before));
		memset(plan.data + plan.checksum, 0, sizeof(before));
		found = before && sum(plan.data, plan.size) == before;
		memcpy(plan.data + plan.checksum, &before, sizeof(before));
		if (found)
			break;
	}
	support_ok(plan_create(&python, &made));
	plan.site_count = made->site_count;
	plan.sites = memmem(plan.data, plan.size, &made->sites[0], 2 * sizeof(uint64_t));
	assert_non_null(plan.sites);
	plan_destroy(made);
	return plan;
}

/* With the checksum that makes it a whole one. */
static void kept_write(struct kept *plan)
{
	uint32_t checksum = 0;

	memcpy(plan->data + plan->checksum, &checksum, sizeof(checksum));
	checksum = sum(plan->data, plan->size);
	memcpy(plan->data + plan->checksum, &checksum, sizeof(checksum));
	support_write(plan->path, plan->data, plan->size);
}

static void kept_deinit(struct kept *plan)
{
	free(plan->path);
	free(plan->data);
}

/* The plan with site I changed to SITE is made anew. */
static void expect_refused(size_t i, const struct site *site)
{
	cleanup(kept_deinit) struct kept plan = kept_read();
	ino_t forged;

	memcpy(&plan.sites[i], site, sizeof(*site));
	kept_write(&plan);
	forged = inode(plan.path);
	load();
	assert_int_not_equal(inode(plan.path), forged);
}

/* SITE by so many bytes further on, with the bytes of the file that are there. */
static struct site site_moved(const struct site *site, int distance, uint8_t length)
{
	struct site moved = *site;

	moved.address += distance;
	moved.offset += distance;
	moved.length = length;
	memset(moved.bytes, 0, sizeof(moved.bytes));
	memcpy(moved.bytes, fake->image.data + moved.offset, length);
	return moved;
}

/* Whether site I is the first of its kind: to write each plan takes a moment. */
static bool is_first(const struct plan *plan, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (plan->sites[j].kind == plan->sites[i].kind &&
		    plan->sites[j].tail == plan->sites[i].tail)
			return false;
	return true;
}

/* Whole plans whose sites are no instructions of the file. */
static void test_moved(void **state)
{
	struct plan *made;

	(void)state;
	needs_root();
	load();
	support_ok(plan_create(&python, &made));
	for (size_t i = 0; i < made->site_count; i++) {
		const struct site *site = &made->sites[i];

		for (int distance = 1; distance < site->length && is_first(made, i); distance++) {
			struct site moved = site_moved(site, distance, site->length);

			expect_refused(i, &moved);
			moved = site_moved(site, distance, 1);
			expect_refused(i, &moved);
		}
		for (uint8_t length = 1; length <= 15 && i == 0; length++) {
			struct site other = site_moved(site, 0, length);

			if (length != site->length)
				expect_refused(i, &other);
		}
	}
	plan_destroy(made);
}

/* Sites on instructions that are not of their kind. */
static void test_kinds(void **state)
{
	struct plan *made;

	(void)state;
	needs_root();
	load();
	support_ok(plan_create(&python, &made));
	for (size_t i = 0; i < made->site_count; i++) {
		struct site other = made->sites[i];

		if (!is_first(made, i))
			continue;
		other.kind = SITE_GUARD;
		if (made->sites[i].kind == SITE_RAW)
			expect_refused(i, &other);
		other.kind = SITE_RAW;
		other.tail = made->sites[i].kind == SITE_RAW && !made->sites[i].tail;
		expect_refused(i, &other);
		other.kind = SITE_TRACK + 1;
		expect_refused(i, &other);
		other = made->sites[i];
		memset(&other.raw, 2, 1);
		expect_refused(i, &other);
	}
	plan_destroy(made);
}

/* A plan that could be used is only where root alone could have put it. */
static void test_owners(void **state)
{
	cleanup_free char *plans = support_path(folder, "plans"), *path = NULL;
	const char *others[3];

	(void)state;
	needs_root();
	load();
	path = kept();
	assert_non_null(path);
	others[0] = path;
	others[1] = plans;
	others[2] = folder;
	for (size_t i = 0; i < array_size(others); i++) {
		cleanup_free uint8_t *data = NULL, *after = NULL;
		ino_t before = inode(path);
		struct stat status;
		size_t size;

		assert_int_equal(stat(others[i], &status), 0);
		/* The file itself is replaced. */
		assert_int_equal(chown(others[i], SOMEBODY, 0), 0);
		load();
		assert_int_equal(inode(path) != before, i == 0);
		assert_int_equal(chown(others[i], 0, 0), 0);
		assert_int_equal(chmod(others[i], status.st_mode | 022), 0);
		before = inode(path);
		/* What is damaged would be written again if it were looked at. */
		data = support_read(path, &size);
		data[size / 2] ^= 1;
		support_write(path, data, size);
		load();
		after = support_read(path, &size);
		assert_int_equal(memcmp(data, after, size) != 0, i == 0);
		data[size / 2] ^= 1;
		support_write(path, data, size);
		assert_int_equal(chmod(others[i], status.st_mode), 0);
	}
}

/* Who is not root has none kept, whosever the folder; nor has one who only counts as root. */
static void test_not_root(void **state)
{
	cleanup_free char *plans = support_path(folder, "plans");

	(void)state;
	needs_root();
	assert_int_equal(chown(folder, SOMEBODY, SOMEBODY), 0);
	assert_int_equal(seteuid(SOMEBODY), 0);
	load();
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(access(plans, F_OK), -1);
	assert_int_equal(chown(folder, 0, 0), 0);
	assert_int_equal(setreuid(SOMEBODY, 0), 0);
	load();
	assert_int_equal(setreuid(0, 0), 0);
	assert_int_equal(access(plans, F_OK), -1);
	load();
	assert_int_equal(access(plans, F_OK), 0);
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
		cmocka_unit_test_setup_teardown(test_moved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
