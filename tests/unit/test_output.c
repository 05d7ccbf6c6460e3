// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Files that appear whole or not at all. */
#include "support.h"
#include "base/cleanup.h"
#include "base/output.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void assert_content(const char *path, const char *expected)
{
	size_t size;
	cleanup_free uint8_t *data = support_read(path, &size);

	assert_int_equal(size, strlen(expected));
	assert_memory_equal(data, expected, size);
}

static void write_whole(const char *path, const char *text)
{
	cleanup(output_cleanup) struct output *output = NULL;

	support_ok(output_create(path, &output));
	support_ok(output_write(output, text, strlen(text)));
	support_ok(output_commit(output));
}

static void test_new_and_replaced(void **state)
{
	struct support_place *place = *state;
	struct stat status;

	write_whole(place->path, "one");
	assert_content(place->path, "one");
	assert_int_equal(chmod(place->path, 0640), 0);
	write_whole(place->path, "two");
	assert_content(place->path, "two");
	assert_int_equal(stat(place->path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640);
	assert_int_equal(support_entries(place->folder), 1);
}

static void test_dropped(void **state)
{
	struct support_place *place = *state;
	struct output *output;

	write_whole(place->path, "old");
	support_ok(output_create(place->path, &output));
	support_ok(output_write(output, "new", 3));
	assert_content(place->path, "old");
	output_destroy(output);
	assert_content(place->path, "old");
	assert_int_equal(support_entries(place->folder), 1);
	output_destroy(NULL);
}

static void test_link_is_followed(void **state)
{
	struct support_place *place = *state;
	cleanup_free char *link = support_path(place->folder, "link");
	struct stat status;

	write_whole(place->path, "old");
	assert_int_equal(symlink("file", link), 0);
	write_whole(link, "new");
	assert_content(place->path, "new");
	assert_int_equal(lstat(link, &status), 0);
	assert_true(S_ISLNK(status.st_mode));
}

static void test_large(void **state)
{
	struct support_place *place = *state;
	cleanup(output_cleanup) struct output *output = NULL;
	size_t size = 1 << 20, read_size;
	cleanup_free char *data = malloc(size);
	cleanup_free uint8_t *back = NULL;

	assert_non_null(data);
	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 31 >> 3);
	support_ok(output_create(place->path, &output));
	for (size_t i = 0; i < size; i += 4099)
		support_ok(output_write(output, data + i, size - i < 4099 ? size - i : 4099));
	support_ok(output_commit(output));
	back = support_read(place->path, &read_size);
	assert_int_equal(read_size, size);
	assert_memory_equal(back, data, size);
}

static void test_full_device(void **state)
{
	cleanup(output_cleanup) struct output *output = NULL;
	struct stat status;

	(void)state;
	support_ok(output_create("/dev/full", &output));
	support_ok(output_write(output, "x", 1));
	support_fails(output_commit(output), ERROR_FAILED,
		      "cannot write /dev/full: No space left on device");
	assert_int_equal(stat("/dev/full", &status), 0);
	assert_true(S_ISCHR(status.st_mode));
}

static void test_no_folder(void **state)
{
	struct support_place *place = *state;
	cleanup_free char *path = support_path(place->folder, "gone/file");
	cleanup_free char *slash = support_path(place->folder, "new/");
	struct output *output;

	support_fails(output_create(path, &output), ERROR_FAILED, "No such file or directory");
	support_fails(output_create(slash, &output), ERROR_FAILED, "names no file");
	support_fails(output_create(place->folder, &output), ERROR_FAILED, "Is a directory");
	assert_int_equal(support_entries(place->folder), 0);
}

static void test_descriptor(void **state)
{
	struct support_place *place = *state;
	cleanup(output_cleanup) struct output *output = NULL;
	cleanup_fd int fd = open(place->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	support_ok(output_create_descriptor(fd, "somewhere", &output));
	support_ok(output_write(output, "abc", 3));
	support_ok(output_commit(output));
	assert_content(place->path, "abc");
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_new_and_replaced, support_place_make,
						support_place_remove),
		cmocka_unit_test_setup_teardown(test_dropped, support_place_make,
						support_place_remove),
		cmocka_unit_test_setup_teardown(test_link_is_followed, support_place_make,
						support_place_remove),
		cmocka_unit_test_setup_teardown(test_large, support_place_make,
						support_place_remove),
		cmocka_unit_test(test_full_device),
		cmocka_unit_test_setup_teardown(test_no_folder, support_place_make,
						support_place_remove),
		cmocka_unit_test_setup_teardown(test_descriptor, support_place_make,
						support_place_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
