// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Source lines: how files are split, which are read, and a helper that is stuck. */
#include "support.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "target/process/namespace.h"
#include "target/process/process.h"
#include "target/source/source.h"
#include "target/source/source_memo.h"
#include "target/source/source_text.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static bool text_make(struct source_text *text, const char *name, const char *data, size_t size)
{
	char *copy = malloc(size);

	assert_non_null(copy);
	memcpy(copy, data, size);
	return source_text_init(text, name, copy, size);
}

static void line_is(const struct source_text *text, uint32_t lineno, const char *expected)
{
	cleanup_free char *line = source_text_line(text, lineno);

	if (!expected) {
		assert_null(line);
		return;
	}
	assert_non_null(line);
	assert_string_equal(line, expected);
}

static void test_lines(void **state)
{
	static const char data[] = "\xef\xbb\xbf one\n\ttwo \r\nthree\rfour\n\n\fsix\0seven";
	struct source_text text = {0};

	(void)state;
	assert_true(text_make(&text, "a.py", data, sizeof(data) - 1));
	line_is(&text, 0, NULL);
	line_is(&text, 1, "one");
	line_is(&text, 2, "two");
	line_is(&text, 3, "three");
	line_is(&text, 4, "four");
	line_is(&text, 5, "");
	line_is(&text, 6, "six");
	line_is(&text, 7, NULL);
	line_is(&text, UINT32_MAX, NULL);
	assert_true(source_text_memory(&text) >= sizeof(data));
	source_text_deinit(&text);
	assert_int_equal(source_text_memory(&text), 0);
	/* Ends that end nothing. */
	assert_true(text_make(&text, "a.pyw", "\r\n\n\r", 4));
	line_is(&text, 3, "");
	line_is(&text, 4, NULL);
	source_text_deinit(&text);
}

static void test_encodings(void **state)
{
	static const char *const cookies[] = {"# -*- coding: Latin-1 -*-\n",
					      "\n  # vim: fileencoding=iso-8859-1 :\n",
					      "#!/usr/bin/python\n#coding:latin1\n"};
	static const char *const others[] = {"# -*- coding: latin-15 -*-\n", "coding: latin-1\n",
					     "\n\n# coding: latin-1\n", "# coding latin-1\n", ""};
	struct source_text text = {0};
	char data[100];

	(void)state;
	for (size_t i = 0; i < array_size(cookies); i++) {
		int length = snprintf(data, sizeof(data), "%s\xe9", cookies[i]);

		assert_true(text_make(&text, "a.py", data, (size_t)length));
		line_is(&text, (uint32_t)text.line_count, "\xc3\xa9");
		source_text_deinit(&text);
	}
	for (size_t i = 0; i < array_size(others); i++) {
		int length = snprintf(data, sizeof(data), "%s\xe9", others[i]);

		assert_true(text_make(&text, "a.py", data, (size_t)length));
		line_is(&text, (uint32_t)text.line_count, "\xe9");
		source_text_deinit(&text);
	}
}

static void test_long_line(void **state)
{
	static const char euro[] = {'\xe2', '\x82', '\xac'};
	struct source_text text = {0};
	char data[1000];

	(void)state;
	for (size_t offset = 0; offset < 3; offset++) {
		cleanup_free char *line = NULL;

		memset(data, 'x', sizeof(data));
		for (size_t i = offset; i + 3 <= sizeof(data); i += 3)
			memcpy(data + i, euro, sizeof(euro));
		assert_true(text_make(&text, "a.py", data, sizeof(data)));
		line = source_text_line(&text, 1);
		assert_non_null(line);
		assert_in_range(strlen(line), 200, 203);
		assert_string_equal(line + strlen(line) - 6, "\xe2\x82\xac...");
		source_text_deinit(&text);
	}
	/* What is no UTF-8 is cut all the same. */
	memset(data, 0x80, sizeof(data));
	assert_true(text_make(&text, "a.py", data, sizeof(data)));
	memcpy(data + 196, "...", 4);
	line_is(&text, 1, data);
	source_text_deinit(&text);
}

static void test_is_python(void **state)
{
	struct source_text text = {0};

	(void)state;
	assert_true(text_make(&text, "x", "#!/usr/bin/env python3\n", 23));
	source_text_deinit(&text);
	assert_false(text_make(&text, "x", "#!/bin/sh\npython\n", 17));
	assert_false(text_make(&text, "x", "python\n", 7));
	assert_false(text_make(&text, "x", "#", 1));
	assert_false(text_make(&text, "py", "x\n", 2));
	assert_null(text.data);
}

static int64_t now_nanos(void)
{
	return (int64_t)clock_now(CLOCK_REALTIME);
}

/* A line of FILE as ORIGIN has it; to be freed. */
static char *line_of(const struct source_origin *origin, const char *file, uint32_t lineno)
{
	struct source *source;
	char *line;

	support_ok(source_create(origin, &source));
	line = source_line(source, file, lineno);
	assert_false(source_stuck(source));
	source_destroy(source);
	return line;
}

static void shows(const struct source_origin *origin, const char *file, const char *expected)
{
	cleanup_free char *line = line_of(origin, file, 1);

	if (!expected) {
		assert_null(line);
		return;
	}
	assert_non_null(line);
	assert_string_equal(line, expected);
}

static void test_origins(void **state)
{
	char *folder = support_folder();
	cleanup_free char *file = support_path(folder, "a.py");
	cleanup_free char *big = support_path(folder, "big.py");
	struct source_origin origin = {.boot_id = ""};
	char boot_id[BOOT_ID_SIZE];
	int fd;

	(void)state;
	support_write(file, "x = 1\n", 6);
	/* Nothing is known: as linecache, but for what is newer. */
	shows(&origin, file, NULL);
	origin.time_nanos = now_nanos() + 1000000000;
	shows(&origin, file, "x = 1");
	shows(&origin, folder, NULL);
	shows(&origin, "", NULL);
	origin.time_nanos = now_nanos() - 1000000000;
	shows(&origin, file, NULL);
	origin.time_nanos = now_nanos() + 60000000000;
	fd = open(big, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && pwrite(fd, "x", 1, (off_t)8 << 20) == 1);
	close(fd);
	shows(&origin, big, NULL);
	/* We ourselves: what was written since we began is not what we run. */
	boot_id_read(boot_id);
	assert_int_equal(strlen(boot_id), 36);
	origin.pid = getpid();
	origin.boot_id = boot_id;
	support_ok(process_start_time(getpid(), &origin.start_time));
	origin.mount_namespace = namespace_of_paths(getpid());
	assert_int_equal(origin.mount_namespace, namespace_own());
	/* The clock that start times are of ticks each 10 ms. */
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	support_write(file, "x = 1\n", 6);
	shows(&origin, file, NULL);
	/* Another boot, another process, another namespace. */
	origin.boot_id = "x";
	shows(&origin, file, NULL);
	support_folder_remove(folder);
}

static void test_memo(void **state)
{
	struct source_memo memo = {0};
	const char *line;

	(void)state;
	assert_false(source_memo_find(&memo, "a", 1, &line));
	for (uint32_t i = 0; i < 65536; i++)
		source_memo_add(&memo, i % 2 ? "a" : "b", i, i % 3 ? "line" : NULL);
	assert_true(source_memo_find(&memo, "a", 1, &line));
	assert_string_equal(line, "line");
	assert_true(source_memo_find(&memo, "a", 3, &line));
	assert_null(line);
	assert_false(source_memo_find(&memo, "b", 1, &line));
	/* Full: the next one is the first. */
	source_memo_add(&memo, "c", 1, "x");
	assert_true(source_memo_find(&memo, "c", 1, &line));
	assert_string_equal(line, "x");
	assert_false(source_memo_find(&memo, "a", 1, &line));
	source_memo_deinit(&memo);
	assert_false(source_memo_find(&memo, "c", 1, &line));
}

static pid_t helper_find(void)
{
	cleanup_file FILE *file = NULL;
	char path[64];
	int pid = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &pid), 1);
	return pid;
}

static void test_stuck(void **state)
{
	char *folder = support_folder();
	cleanup_free char *file = support_path(folder, "a.py");
	struct source_origin origin = {.boot_id = "", .time_nanos = now_nanos() + 60000000000};
	struct source *source;
	char *line;
	pid_t helper;

	(void)state;
	support_write(file, "x = 1\n", 6);
	support_ok(source_create(&origin, &source));
	line = source_line(source, file, 1);
	assert_non_null(line);
	free(line);
	helper = helper_find();
	assert_int_equal(kill(helper, SIGSTOP), 0);
	assert_null(source_line(source, file, 2));
	assert_true(source_stuck(source));
	assert_null(source_line(source, file, 3));
	/* What was told before is known. */
	line = source_line(source, file, 1);
	assert_non_null(line);
	free(line);
	source_destroy(source);
	assert_true(waitpid(helper, NULL, 0) == helper || errno == ECHILD);
	/* One that has gone is not waited for. */
	support_ok(source_create(&origin, &source));
	assert_int_equal(kill(helper_find(), SIGKILL), 0);
	assert_null(source_line(source, file, 1));
	assert_false(source_stuck(source));
	source_destroy(source);
	source_destroy(NULL);
	support_folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),     cmocka_unit_test(test_encodings),
		cmocka_unit_test(test_long_line), cmocka_unit_test(test_is_python),
		cmocka_unit_test(test_origins),   cmocka_unit_test(test_memo),
		cmocka_unit_test(test_stuck),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
