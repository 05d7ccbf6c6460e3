// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The run folder, the locks in it, and which sessions they tell of. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "control_folder.h"
#include "support.h"
#include "trace/session/control.h"
#include "trace/session/run_folder.h"

static void test_folder(void **context)
{
	(void)context;
	support_ok(run_folder_check()); /* it is not there */
	support_ok(run_folder_make());
	assert_string_equal(run_folder_path(), folder);
	assert_int_equal(mode_of(folder), 0700);
	support_ok(run_folder_make()); /* it is there */
	support_ok(run_folder_check());
	assert_int_equal(chmod(folder, 0770), 0);
	support_fails(run_folder_make(), ERROR_FAILED, "only this user");
	assert_int_equal(chmod(folder, 0702), 0);
	support_fails(run_folder_make(), ERROR_FAILED, "only this user");
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(symlink("/tmp", folder), 0);
	support_fails(run_folder_make(), ERROR_FAILED, "only this user");
	assert_int_equal(unlink(folder), 0);
	support_write(folder, "", 0);
	support_fails(run_folder_make(), ERROR_FAILED, "only this user");
	assert_int_equal(unlink(folder), 0);
	setenv("TMBPF_RUN", "/nowhere/at/all", 1);
	support_fails(run_folder_make(), ERROR_FAILED, "/nowhere/at/all");
	unsetenv("TMBPF_RUN");
	free(control_path(1, "sock"));
	setenv("TMBPF_RUN", folder, 1);
}

static void test_path(void **context)
{
	cleanup_free char *path = control_path(PID, "pb.gz"), *expected = NULL;

	(void)context;
	assert_true(asprintf(&expected, "%s/%d.pb.gz", folder, PID) > 0);
	assert_string_equal(path, expected);
}

static void test_files(void **context)
{
	static const char *const names[] = {"20.status",  "3.status",  "100.status", "7.statuses",
					    "0.status",   "-4.status", "status",     "5status",
					    "5.snapshot", "x.status"};
	cleanup_free pid_t *pids = NULL, *none = NULL;
	size_t count = 1;

	(void)context;
	support_ok(control_files("status", &none, &count)); /* no folder */
	assert_int_equal(count, 0);
	support_ok(run_folder_make());
	for (size_t i = 0; i < array_size(names); i++) {
		cleanup_free char *path = support_path(folder, names[i]);

		support_write(path, "", 0);
	}
	support_ok(control_files("status", &pids, &count));
	assert_int_equal(count, 3);
	assert_int_equal(pids[0], 3);
	assert_int_equal(pids[1], 20);
	assert_int_equal(pids[2], 100);
}

static void test_lock(void **context)
{
	cleanup_free char *path = control_path(PID, "lock");
	int lock, other, listener;

	(void)context;
	support_ok(control_lock(PID, &lock));
	support_ok(control_listen(PID, &listener));
	assert_int_equal(mode_of(path), 0600);
	support_fails(control_lock(PID, &other), ERROR_FAILED, "traced already");
	support_ok(control_lock(PID + 1, &other)); /* another process */
	close(other);
	/* Its session ends, and takes the lock's file away. */
	control_unlisten(PID, listener);
	close(lock);
	assert_int_equal(access(path, F_OK), -1);
	support_ok(control_lock(PID, &lock));
	close(lock);
	support_ok(control_lock(PID, &lock)); /* one that was killed leaves the file */
	close(lock);
	/* Nobody's link is followed. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	support_fails(control_lock(PID, &lock), ERROR_FAILED, "cannot open");
}

/* The file that is locked is taken away and made anew meanwhile: the old lock protects nothing. */
static void test_lock_of_a_file_that_is_gone(void **context)
{
	cleanup_free char *path = control_path(PID, "lock");
	int first, second;

	(void)context;
	support_ok(control_lock(PID, &first));
	assert_int_equal(unlink(path), 0);
	support_ok(control_lock(PID, &second));
	assert_int_equal(flock(second, LOCK_EX | LOCK_NB), 0);
	close(first);
	close(second);
}

static void test_sessions(void **context)
{
	static const pid_t listed[] = {300, 7, 4000000, 12};
	cleanup_free char *stale = control_path(99, "sock"), *other = control_path(5, "pb.gz"),
			  *odd = support_path(folder, "12x.sock");
	int listeners[array_size(listed)];
	size_t count = 77;
	pid_t *pids = NULL;

	(void)context;
	support_ok(control_sessions(&pids, &count)); /* no folder */
	assert_int_equal(count, 0);
	free(pids);
	support_ok(run_folder_make());
	for (size_t i = 0; i < array_size(listed); i++)
		support_ok(control_listen(listed[i], &listeners[i]));
	support_write(stale, "", 0);
	support_write(other, "", 0);
	support_write(odd, "", 0);
	support_ok(control_sessions(&pids, &count));
	assert_int_equal(count, 4);
	assert_int_equal(pids[0], 7);
	assert_int_equal(pids[1], 12);
	assert_int_equal(pids[2], 300);
	assert_int_equal(pids[3], 4000000);
	free(pids);
	for (size_t i = 0; i < array_size(listed); i++)
		control_unlisten(listed[i], listeners[i]);
	support_ok(control_sessions(&pids, &count));
	assert_int_equal(count, 0);
	free(pids);
}

static void old_make(const char *path)
{
	const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

	support_write(path, "", 0);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/*
 * A name alone does not tell whether a file is still being written. Its age is that of the inode's
 * last change.
 */
static void test_sweep(void **context)
{
	cleanup_free char *dead = control_path(7, "lock"), *dead_socket = control_path(7, "sock");
	cleanup_free char *held = control_path(8, "lock"), *held_socket = control_path(8, "sock");
	cleanup_free char *whole = control_path(9, "snapshot"), *status = control_path(9, "status");
	cleanup_free char *young = control_path(10, "snapshot");
	int lock, listeners[2];

	(void)context;
	run_folder_sweep(); /* no folder */
	support_ok(run_folder_make());
	support_ok(control_lock(7, &lock));
	support_ok(control_listen(7, &listeners[0]));
	close(lock);
	close(listeners[0]);
	support_ok(control_lock(8, &lock));
	support_ok(control_listen(8, &listeners[1]));
	old_make(whole);
	old_make(status);
	old_make(young); /* its inode was changed just now */
	run_folder_sweep();
	assert_int_not_equal(access(dead, F_OK), 0);
	assert_int_not_equal(access(dead_socket, F_OK), 0);
	assert_int_equal(access(held, F_OK), 0);
	assert_int_equal(access(held_socket, F_OK), 0);
	assert_int_equal(access(whole, F_OK), 0);
	assert_int_equal(access(status, F_OK), 0);
	assert_int_equal(access(young, F_OK), 0);
	control_unlisten(8, listeners[1]);
	close(lock);
	/* In a folder to which others can write nothing is removed. */
	support_write(dead, "", 0);
	assert_int_equal(chmod(folder, 0777), 0);
	run_folder_sweep();
	assert_int_equal(access(dead, F_OK), 0);
	assert_int_equal(chmod(folder, 0700), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(folder),
		TEST(path),
		TEST(files),
		TEST(lock),
		TEST(lock_of_a_file_that_is_gone),
		TEST(sessions),
		TEST(sweep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
