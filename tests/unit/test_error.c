// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Errors as objects, also without memory; hand-over of pointers. */
#include "support.h"
#include "base/cleanup.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static void test_message(void **state)
{
	struct error *error = error_create(ERROR_NOTHING, "no session for %d", 42);

	(void)state;
	assert_string_equal(error_message(error), "no session for 42");
	assert_int_equal(error_kind(error), ERROR_NOTHING);
	assert_int_equal(error_number(error), 0);
	assert_null(error_advice(error));
	error_destroy(error);
	error_destroy(NULL);
}

static void test_errno(void **state)
{
	struct error *error = error_create_errno(ERROR_FAILED, EACCES, "cannot open %s", "x");

	(void)state;
	assert_string_equal(error_message(error), "cannot open x: Permission denied");
	assert_int_equal(error_number(error), EACCES);
	error_destroy(error);
	error = error_create_errno(ERROR_FAILED, -ENOENT, "y");
	assert_string_equal(error_message(error), "y: No such file or directory");
	assert_int_equal(error_number(error), ENOENT);
	error_destroy(error);
}

static void test_prefix_and_advice(void **state)
{
	struct error *error = error_create(ERROR_USAGE, "inner");

	(void)state;
	assert_ptr_equal(error_prefix(error, "pid %d", 7), error);
	assert_string_equal(error_message(error), "pid 7: inner");
	assert_ptr_equal(error_advise(error, "try %s", "this"), error);
	error_advise(error, "try %s", "that");
	assert_string_equal(error_advice(error), "try that");
	assert_int_equal(error_kind(error), ERROR_USAGE);
	error_destroy(error);
}

/* What error_print() writes to standard error. */
static void print_to(const struct error *error, char *buffer, size_t size)
{
	cleanup_file FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	size_t used;

	assert_non_null(file);
	assert_true(saved >= 0);
	assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
	error_print(error);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	rewind(file);
	used = fread(buffer, 1, size - 1, file);
	buffer[used] = '\0';
}

static void test_print(void **state)
{
	struct error *error = error_create(ERROR_FAILED, "bad name \033[2J\x7f");
	char text[256];

	(void)state;
	error_advise(error, "do something");
	print_to(error, text, sizeof(text));
	assert_string_equal(text, "tmbpf: bad name \\x1b[2J\\x7f\ntmbpf: do something\n");
	error_destroy(error);
}

static struct error *fails(void)
{
	return error_create(ERROR_FAILED, "it");
}

static struct error *passes_on(int *steps)
{
	try(NULL);
	++*steps;
	try(fails());
	++*steps;
	return NULL;
}

static void test_try(void **state)
{
	int steps = 0;

	(void)state;
	support_fails(passes_on(&steps), ERROR_FAILED, "it");
	assert_int_equal(steps, 1);
}

static void test_take(void **state)
{
	char *text = strdup("mine");
	char *taken = take(text);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int taken_fd = take_fd(fd);

	(void)state;
	assert_null(text);
	assert_string_equal(taken, "mine");
	free(taken);
	assert_int_equal(fd, -1);
	assert_int_equal(close(taken_fd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_prefix_and_advice),
		cmocka_unit_test(test_print),
		cmocka_unit_test(test_try),
		cmocka_unit_test(test_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
