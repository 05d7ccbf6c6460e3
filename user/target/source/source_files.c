// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Finds and reads source files as a process had them. */
#include "target/source/source_files.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/lookup.h"
#include "target/process/namespace.h"
#include "target/process/process.h"
#include "target/source/source.h"
#include "target/source/source_text.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define FILE_MAX  ((off_t)8 << 20)   /* bytes of one file */
#define CACHE_MAX ((size_t)64 << 20) /* bytes of all that are kept */

struct file {
	char *name;
	bool refused; /* there are no lines, and will be none */
	struct source_text text;
};

struct source_files {
	int root;          /* of absolute names; -1: there are none */
	bool own_folder;   /* relative names are relative to our working directory */
	char *folder;      /* or to this one below ROOT, NULL: not known */
	int64_t unchanged; /* a file must not have changed since: nanoseconds since the epoch */
	struct file *files;
	size_t file_count, file_capacity;
	struct lookup lookup;
	size_t cached; /* bytes */
};

static int file_open_at(int root, const char *path, bool below)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_NO_MAGICLINKS | (below ? RESOLVE_IN_ROOT : 0),
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/*
 * The working directory of the process below its root, if it is there: a name that the kernel tells
 * may be of a folder that was removed, or that another mount hides.
 */
static char *folder_read(int proc, int root)
{
	cleanup_fd int folder = openat(proc, "cwd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int found = -1;
	struct stat real, named;
	char path[PATH_MAX];
	ssize_t length;

	length = readlinkat(proc, "cwd", path, sizeof(path) - 1);
	if (folder < 0 || length <= 0)
		return NULL;
	path[length] = '\0';
	found = file_open_at(root, path, true);
	if (found < 0 || fstat(folder, &real) < 0 || fstat(found, &named) < 0 ||
	    real.st_dev != named.st_dev || real.st_ino != named.st_ino)
		return NULL;
	return strdup(path);
}

/* Opens the root of the process, if it is still the same. */
static void process_open(struct source_files *source, const struct source_origin *origin)
{
	cleanup_fd int proc = -1, root = -1;
	struct error *error;
	uint64_t start;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", (int)origin->pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return;
	root = openat(proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* After the opening: PROC stays the process's, and fails where that has ended. */
	error = process_start_time(origin->pid, &start);
	if (error || root < 0 || start != origin->start_time) {
		error_destroy(error);
		return;
	}
	source->folder = folder_read(proc, root);
	source->root = take_fd(root);
}

/* When the process started, nanoseconds since the epoch, rounded up to a tick. */
static int64_t start_nanos(uint64_t start_time)
{
	long ticks = sysconf(_SC_CLK_TCK);

	if (ticks <= 0 || start_time > INT64_MAX / NSEC_PER_SEC)
		return 0;
	return (int64_t)clock_now(CLOCK_REALTIME) - (int64_t)clock_now(CLOCK_BOOTTIME) +
	       (int64_t)(start_time + 1) * ((int64_t)NSEC_PER_SEC / ticks);
}

static void origin_open(struct source_files *source, const struct source_origin *origin)
{
	char boot_id[BOOT_ID_SIZE];

	source->unchanged = origin->time_nanos;
	if (origin->pid == 0) {
		source->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		source->own_folder = true;
		return;
	}
	boot_id_read(boot_id);
	if (*boot_id == '\0' || strcmp(boot_id, origin->boot_id) != 0 || origin->start_time == 0)
		return;
	if (start_nanos(origin->start_time) < source->unchanged)
		source->unchanged = start_nanos(origin->start_time);
	process_open(source, origin);
	if (source->root < 0 && origin->mount_namespace != 0 &&
	    origin->mount_namespace == namespace_own())
		source->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

struct error *source_files_create(const struct source_origin *origin, struct source_files **ret)
{
	struct source_files *source = calloc(1, sizeof(*source));

	if (!source)
		return error_create_errno(ERROR_FAILED, ENOMEM, "source files");
	source->root = -1;
	if (origin->time_nanos > 0)
		origin_open(source, origin);
	*ret = source;
	return NULL;
}

void source_files_destroy(struct source_files *source)
{
	if (!source)
		return;
	for (size_t i = 0; i < source->file_count; i++) {
		free(source->files[i].name);
		source_text_deinit(&source->files[i].text);
	}
	if (source->root >= 0)
		close(source->root);
	free(source->folder);
	free(source->files);
	lookup_deinit(&source->lookup);
	free(source);
}

/* A descriptor that only says which file it is: nothing was opened that opening could disturb. */
static int file_find(const struct source_files *source, const char *name)
{
	char path[PATH_MAX];
	int length;

	if (*name == '/')
		return file_open_at(source->root, name, true);
	if (source->own_folder)
		return file_open_at(AT_FDCWD, name, false);
	if (!source->folder)
		return -1;
	length = snprintf(path, sizeof(path), "%s/%s", source->folder, name);
	return length < 0 || (size_t)length >= sizeof(path)
		       ? -1
		       : file_open_at(source->root, path, true);
}

static bool file_usable(const struct source_files *source, const struct stat *status)
{
	return S_ISREG(status->st_mode) && status->st_size > 0 && status->st_size <= FILE_MAX &&
	       /* What was put in place with an old time has a new change of its inode. */
	       clock_nanos(&status->st_mtim) <= source->unchanged &&
	       clock_nanos(&status->st_ctim) <= source->unchanged;
}

/* The whole content; NULL if it is not SIZE bytes. */
static char *content_read(int fd, size_t size)
{
	char *data = malloc(size);
	size_t used = 0;

	while (data && used < size) {
		ssize_t got = read(fd, data + used, size - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			free(data);
			return NULL;
		}
		used += (size_t)got;
	}
	return data;
}

static bool file_read(struct source_files *source, struct file *file)
{
	cleanup_fd int found = file_find(source, file->name);
	cleanup_fd int fd = -1;
	struct stat before, after;
	char path[40], *data;

	if (found < 0 || fstat(found, &before) < 0 || !file_usable(source, &before))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", found);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return false;
	data = content_read(fd, (size_t)before.st_size);
	if (!data)
		return false;
	if (fstat(fd, &after) < 0 || after.st_size != before.st_size ||
	    !file_usable(source, &after)) {
		free(data);
		return false;
	}
	return source_text_init(&file->text, file->name, data, (size_t)before.st_size);
}

static bool name_equal(const void *context, uint32_t position, const void *key)
{
	const struct source_files *source = context;

	return strcmp(source->files[position].name, key) == 0;
}

static struct file *file_of(struct source_files *source, const char *name)
{
	uint64_t hash = lookup_hash(0, name, strlen(name));
	uint32_t position = lookup_find(&source->lookup, hash, name_equal, source, name);
	struct file file = {.name = NULL};
	struct error *error;

	if (position != LOOKUP_NONE)
		return &source->files[position];
	file.name = strdup(name);
	error = array_reserve(&source->files, &source->file_capacity, source->file_count, 1,
			      sizeof(*source->files));
	if (!error && file.name)
		error = lookup_add(&source->lookup, hash, (uint32_t)source->file_count);
	if (error || !file.name) {
		/* Without memory there is no line. */
		error_destroy(error);
		free(file.name);
		return NULL;
	}
	source->files[source->file_count] = file;
	return &source->files[source->file_count++];
}

static void cache_drop(struct source_files *source)
{
	for (size_t i = 0; i < source->file_count; i++)
		source_text_deinit(&source->files[i].text);
	source->cached = 0;
}

char *source_files_line(struct source_files *source, const char *name, uint32_t lineno,
			bool *ret_refused)
{
	struct file *file;

	*ret_refused = true;
	/* What Python itself made has such a name: "<string>". */
	if (source->root < 0 || *name == '\0' || *name == '<')
		return NULL;
	file = file_of(source, name);
	if (!file || file->refused)
		return NULL;
	if (!file->text.data) {
		if (source->cached > CACHE_MAX)
			cache_drop(source);
		file->refused = !file_read(source, file);
		source->cached += source_text_memory(&file->text);
	}
	*ret_refused = file->refused;
	return source_text_line(&file->text, lineno);
}
