// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The run folder: its place, whether it is safe, and what killed tracers left in it. */
#include "trace/session/run_folder.h"

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

#include "base/cleanup.h"
#include "base/environment.h"
#include "base/error.h"
#include "trace/attach/events.h"

#define ROOTS_FOLDER "/run/tmbpf"
/* Seconds after which a file that is being written has its final name. */
#define HALF_WRITTEN 60

/* Whether PATH is a folder of this user's that nobody else can write to. */
static bool is_own(const char *path)
{
	struct stat found;

	return !lstat(path, &found) && S_ISDIR(found.st_mode) && found.st_uid == geteuid() &&
	       !(found.st_mode & 0022);
}

static void own_name(char *ret, size_t size)
{
	const char *runtime = environment_user("XDG_RUNTIME_DIR");
	char logins[40];

	snprintf(logins, sizeof(logins), "/run/user/%u", geteuid());
	if (!runtime || *runtime != '/' || strlen(runtime) > size / 2 || !is_own(runtime))
		runtime = logins;
	if (is_own(runtime))
		snprintf(ret, size, "%s/tmbpf", runtime);
	else
		snprintf(ret, size, "/tmp/tmbpf-%u", geteuid());
}

const char *run_folder_path(void)
{
	static char own[256];
	const char *path = environment_user("TMBPF_RUN");

	if (path && *path)
		return path;
	if (!geteuid())
		return ROOTS_FOLDER;
	if (!*own)
		own_name(own, sizeof(own));
	return own;
}

struct error *run_folder_check(void)
{
	const char *path = run_folder_path();
	struct stat found;

	if (is_own(path) || (lstat(path, &found) && errno == ENOENT))
		return NULL;
	return error_advise(error_create(ERROR_FAILED,
					 "%s is not a directory that only this user can write to",
					 path),
			    "Run as root, or set TMBPF_RUN to a directory of your own.");
}

struct error *run_folder_make(void)
{
	const char *path = run_folder_path();

	if (mkdir(path, 0700) && errno != EEXIST)
		return error_advise(error_create_errno(ERROR_FAILED, errno, "cannot make %s", path),
				    "Run as root, or set TMBPF_RUN to a directory of your own.");
	return run_folder_check();
}

/* Whether NAME ends in "." KIND. RET_LENGTH is the length of what stands before that. */
static bool is_kind(const char *name, const char *kind, size_t *ret_length)
{
	const char *dot = strrchr(name, '.');

	if (!dot || dot == name || strcmp(dot + 1, kind) != 0)
		return false;
	*ret_length = dot - name;
	return true;
}

static bool is_old(int folder, const char *name)
{
	struct stat found;
	time_t now = time(NULL);

	return !fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW) && S_ISREG(found.st_mode) &&
	       now - found.st_ctim.tv_sec > HALF_WRITTEN;
}

/*
 * Leaves a session alone that holds its lock. One that starts just now tries again
 * (control_sessions.c).
 */
static void lock_sweep(int folder, const char *name, size_t length)
{
	cleanup_fd int fd = openat(folder, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char other[NAME_MAX + 8];
	struct stat held, named;

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &held) ||
	    fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) || held.st_ino != named.st_ino)
		return;
	snprintf(other, sizeof(other), "%.*s.sock", (int)length, name);
	unlinkat(folder, other, 0);
	unlinkat(folder, name, 0);
}

/* Whether NAME is a snapshot without its status, which is written after it. */
static bool is_half(int folder, const char *name, size_t length)
{
	char other[NAME_MAX + 8];

	snprintf(other, sizeof(other), "%.*s.status", (int)length, name);
	return faccessat(folder, other, F_OK, AT_SYMLINK_NOFOLLOW) && is_old(folder, name);
}

void run_folder_sweep(void)
{
	cleanup_dir DIR *folder = is_own(run_folder_path()) ? opendir(run_folder_path()) : NULL;
	const struct dirent *entry;
	size_t length;

	while (folder && (entry = readdir(folder))) {
		const char *name = entry->d_name;

		if (is_kind(name, "lock", &length))
			lock_sweep(dirfd(folder), name, length);
		else if (is_kind(name, "snapshot", &length) && is_half(dirfd(folder), name, length))
			unlinkat(dirfd(folder), name, 0);
		else if (!strncmp(name, ".tmbpf-", 7) && is_old(dirfd(folder), name))
			unlinkat(dirfd(folder), name, 0);
	}
	events_sweep();
}
