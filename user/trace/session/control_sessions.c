// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Which sessions there are: the lock of each, and their files in the run folder. */
#include "trace/session/control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "target/process/process.h"
#include "trace/session/control_internal.h"
#include "trace/session/run_folder.h"

/* How long to wait for a lock whose holder does not answer (yet, or any more). */
#define LOCK_WAIT_MS 2000
#define LOCK_STEP_MS 20

/* Whether FD is still the file at PATH: a session that ends removes its lock. */
static bool lock_current(const char *path, int fd)
{
	struct stat named, open;

	return !stat(path, &named) && !fstat(fd, &open) && named.st_ino == open.st_ino &&
	       named.st_dev == open.st_dev;
}

static struct error *lock_try(const struct control_subject *subject, const char *path,
			      int *ret_lock)
{
	for (;;) {
		cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return error_create_errno(ERROR_FAILED, errno, "cannot open %s", path);
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			if (errno != EWOULDBLOCK)
				return error_create_errno(ERROR_FAILED, errno, "cannot lock %s",
							  path);
			return error_create_errno(ERROR_FAILED, EWOULDBLOCK, "%s is traced already",
						  subject->said);
		}
		if (lock_current(path, fd)) {
			*ret_lock = take_fd(fd);
			return NULL;
		}
	}
}

/* Whether SUBJECT's session answers. A tracer that was killed holds its lock until it is gone. */
static bool session_answers(const struct control_subject *subject)
{
	struct error *error;
	int fd;

	error = control_subject_connect(subject, &fd);
	if (error) {
		error_destroy(error);
		return false;
	}
	close(fd);
	return true;
}

static struct error *subject_lock(const struct control_subject *subject, int *ret_lock)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000};
	cleanup_free char *path = NULL;
	struct error *error;

	try(run_folder_make());
	path = control_subject_path(subject, "lock");
	if (!path)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot lock the session of %s",
					  subject->said);
	for (int waited = 0;; waited += LOCK_STEP_MS) {
		error = lock_try(subject, path, ret_lock);
		if (!error || error_number(error) != EWOULDBLOCK)
			return error;
		if (waited >= LOCK_WAIT_MS || session_answers(subject))
			break;
		error_destroy(error);
		nanosleep(&step, NULL);
	}
	error_destroy(error);
	error = error_create(ERROR_FAILED, "%s is traced already", subject->said);
	if (!*subject->option)
		return error_advise(
			error,
			"`tmbpf status` shows it, and `tmbpf stop` with the same options ends it.");
	return error_advise(error, "`tmbpf status %s` shows the session, `tmbpf stop %s` ends it.",
			    subject->option, subject->option);
}

struct error *control_lock(pid_t pid, int *ret_lock)
{
	const struct control_subject subject = control_subject_of_process(pid);

	return subject_lock(&subject, ret_lock);
}

struct error *control_group_lock(const char *name, int *ret_lock)
{
	const struct control_subject subject = control_subject_of_group(name);

	return subject_lock(&subject, ret_lock);
}

/*
 * Removes the socket of a tracer of SUBJECT that was killed, but not the one of a tracer that is
 * starting.
 */
static void stale_remove(const struct control_subject *subject)
{
	cleanup_free char *path = control_subject_path(subject, "lock");
	struct error *error;
	int lock;

	if (!path)
		return;
	error = lock_try(subject, path, &lock);
	if (error) {
		error_destroy(error);
		return;
	}
	control_subject_unlisten(subject, -1);
	close(lock);
}

struct error *control_files(const char *kind, pid_t **ret, size_t *ret_count)
{
	cleanup_dir DIR *folder = NULL;
	cleanup_free pid_t *pids = NULL;
	size_t count = 0, capacity = 0;
	struct dirent *entry;

	try(run_folder_check());
	folder = opendir(run_folder_path());
	if (!folder && errno != ENOENT)
		return error_advise(error_create_errno(ERROR_FAILED, errno, "cannot read %s",
						       run_folder_path()),
				    "Run as root.");
	while (folder && (entry = readdir(folder))) {
		char *end;
		long pid = strtol(entry->d_name, &end, 10);

		if (pid <= 0 || pid > INT_MAX || *end != '.' || strcmp(end + 1, kind) != 0)
			continue;
		try(array_reserve(&pids, &capacity, count, 1, sizeof(*pids)));
		pids[count++] = (pid_t)pid;
	}
	pids_sort(pids, count);
	*ret = take(pids);
	*ret_count = count;
	return NULL;
}

/* Whether SUBJECT's session answers. Removes what a killed one left. */
static bool subject_lives(const struct control_subject *subject)
{
	if (session_answers(subject))
		return true;
	stale_remove(subject);
	return false;
}

struct error *control_sessions(pid_t **ret, size_t *ret_count)
{
	cleanup_free pid_t *pids = NULL;
	size_t found = 0, count = 0;

	try(control_files("sock", &pids, &found));
	for (size_t i = 0; i < found; i++) {
		const struct control_subject subject = control_subject_of_process(pids[i]);

		if (subject_lives(&subject))
			pids[count++] = pids[i];
	}
	*ret = take(pids);
	*ret_count = count;
	return NULL;
}

void control_names_destroy(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The NAME in "group-NAME.KIND", malloc'd; NULL if FILE is not called like that. */
static char *group_name(const char *file, const char *kind)
{
	size_t prefix = strlen(CONTROL_GROUP_PREFIX), length = strlen(file),
	       suffix = strlen(kind) + 1;

	if (length <= prefix + suffix || strncmp(file, CONTROL_GROUP_PREFIX, prefix) != 0 ||
	    file[length - suffix] != '.' || strcmp(file + length - suffix + 1, kind) != 0)
		return NULL;
	return strndup(file + prefix, length - prefix - suffix);
}

struct error *control_groups(const char *kind, char ***ret, size_t *ret_count)
{
	cleanup_dir DIR *folder = opendir(run_folder_path());
	size_t count = 0, capacity = 0;
	struct error *error = NULL;
	struct dirent *entry;
	char **names = NULL;

	try(run_folder_check());
	while (!error && folder && (entry = readdir(folder))) {
		char *name = group_name(entry->d_name, kind);
		struct control_subject subject;

		if (!name)
			continue;
		subject = control_subject_of_group(name);
		if (!strcmp(kind, "sock") && !subject_lives(&subject)) {
			free(name);
			continue;
		}
		error = array_reserve(&names, &capacity, count, 1, sizeof(*names));
		if (error)
			free(name);
		else
			names[count++] = name;
	}
	if (error) {
		control_names_destroy(names, count);
		return error;
	}
	if (count)
		qsort(names, count, sizeof(*names), name_compare);
	*ret = names;
	*ret_count = count;
	return NULL;
}
