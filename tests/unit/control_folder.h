/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A run folder for each test of the control socket. */
#ifndef TMBPF_TESTS_CONTROL_FOLDER_H
#define TMBPF_TESTS_CONTROL_FOLDER_H

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define PID ((int)getpid())

static char *folder;

static int setup(void **context)
{
	char *above = support_folder();

	(void)context;
	folder = support_path(above, "run");
	free(above);
	return setenv("TMBPF_RUN", folder, 1);
}

static int teardown(void **context)
{
	char *above = strdup(folder);

	(void)context;
	assert_non_null(above);
	*strrchr(above, '/') = 0;
	support_folder_remove(above);
	free(folder);
	return 0;
}

static mode_t mode_of(const char *path)
{
	struct stat found;

	assert_int_equal(lstat(path, &found), 0);
	return found.st_mode & 07777;
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

#endif
