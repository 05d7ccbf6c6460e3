// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Writes a file beside its place, and puts it there when it is whole. */
#include "base/output.h"
#include "base/cleanup.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

struct output {
	char *path;         /* for messages, and to be replaced */
	const char *base;   /* its last part */
	char temporary[32]; /* the name in the folder, "" while there is none */
	int fd, folder;     /* folder: -1 if written to as it stands */
	mode_t mode;        /* of the file to be replaced, 0: there is none */
	bool borrowed;      /* fd is the caller's */
	size_t used;
	char buffer[65536];
};

static struct error *output_failed(const struct output *output, int number)
{
	struct error *error =
		error_create_errno(ERROR_FAILED, number, "cannot write %s", output->path);

	if (output->folder < 0)
		return error;
	return error_advise(error,
			    output->mode ? "the old file is as it was" : "no file was left there");
}

static struct error *output_alloc(char *path, struct output **ret)
{
	cleanup_free char *owned = path;
	struct output *output = malloc(sizeof(*output));

	if (!owned || !output) {
		free(output);
		return error_create_errno(ERROR_FAILED, ENOMEM, "an output buffer");
	}
	*output = (struct output){.path = take(owned), .fd = -1, .folder = -1};
	output->base = strrchr(output->path, '/');
	output->base = output->base ? output->base + 1 : output->path;
	*ret = output;
	return NULL;
}

/* A name that nobody can have prepared; the folder may be everybody's. */
static struct error *temporary_choose(struct output *output)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return output_failed(output, errno);
	snprintf(output->temporary, sizeof(output->temporary), ".tmbpf-%016llx",
		 (unsigned long long)number);
	return NULL;
}

static struct error *temporary_open(struct output *output)
{
	struct error *error;

	/* Without a name there is nothing to be left over if tmbpf is killed. */
	output->fd = openat(output->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (output->fd >= 0)
		return NULL;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return output_failed(output, errno);
	try(temporary_choose(output));
	output->fd = openat(output->folder, output->temporary,
			    O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (output->fd >= 0)
		return NULL;
	error = output_failed(output, errno);
	output->temporary[0] = '\0';
	return error;
}

static struct error *folder_open(struct output *output)
{
	size_t length = (size_t)(output->base - output->path);
	cleanup_free char *folder = length ? strndup(output->path, length) : strdup(".");

	if (!folder)
		return error_create_errno(ERROR_FAILED, ENOMEM, "an output buffer");
	output->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (output->folder < 0)
		return error_create_errno(ERROR_FAILED, errno, "cannot write %s: folder %s",
					  output->path, folder);
	return NULL;
}

struct error *output_create(const char *path, struct output **ret)
{
	cleanup(output_cleanup) struct output *output = NULL;
	struct stat status;
	bool exists = stat(path, &status) == 0;

	if (exists && S_ISREG(status.st_mode)) {
		char *real = realpath(path, NULL);

		if (!real)
			return error_create_errno(ERROR_FAILED, errno, "cannot write %s", path);
		try(output_alloc(real, &output));
		output->mode = status.st_mode & 07777;
	} else {
		try(output_alloc(strdup(path), &output));
	}
	if (exists && !S_ISREG(status.st_mode)) {
		output->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		if (output->fd < 0)
			return output_failed(output, errno);
	} else if (output->base[0] == '\0') {
		return error_create(ERROR_FAILED, "cannot write \"%s\": it names no file", path);
	} else {
		try(folder_open(output));
		try(temporary_open(output));
	}
	*ret = take(output);
	return NULL;
}

struct error *output_create_descriptor(int descriptor, const char *name, struct output **ret)
{
	struct output *output;

	try(output_alloc(strdup(name), &output));
	output->fd = descriptor;
	output->borrowed = true;
	*ret = output;
	return NULL;
}

bool output_path_is_stdout(const char *path)
{
	return !path || strcmp(path, "-") == 0;
}

struct error *output_create_path(const char *path, struct output **ret)
{
	return output_path_is_stdout(path)
		       ? output_create_descriptor(STDOUT_FILENO, "standard output", ret)
		       : output_create(path, ret);
}

struct error *output_check(const char *path)
{
	cleanup(output_cleanup) struct output *output = NULL;
	struct stat there;

	if (output_path_is_stdout(path))
		return NULL;
	if (!stat(path, &there) && !S_ISREG(there.st_mode) && !S_ISDIR(there.st_mode))
		return NULL;
	return output_create(path, &output);
}

static struct error *output_flush(struct output *output)
{
	size_t done = 0;

	while (done < output->used) {
		ssize_t written = write(output->fd, output->buffer + done, output->used - done);

		if (written < 0 && errno != EINTR)
			return output_failed(output, errno);
		if (written > 0)
			done += (size_t)written;
	}
	output->used = 0;
	return NULL;
}

struct error *output_write(struct output *output, const void *data, size_t size)
{
	const char *bytes = data;

	while (size > 0) {
		size_t room = sizeof(output->buffer) - output->used;
		size_t piece = size < room ? size : room;

		memcpy(output->buffer + output->used, bytes, piece);
		output->used += piece;
		bytes += piece;
		size -= piece;
		if (output->used == sizeof(output->buffer))
			try(output_flush(output));
	}
	return NULL;
}

/* Gives the nameless file a name, from which it can be renamed over another. */
static struct error *temporary_link(struct output *output)
{
	char link[32];
	struct error *error;

	try(temporary_choose(output));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", output->fd);
	if (linkat(AT_FDCWD, link, output->folder, output->temporary, AT_SYMLINK_FOLLOW) == 0)
		return NULL;
	error = output_failed(output, errno);
	output->temporary[0] = '\0';
	return error;
}

struct error *output_commit(struct output *output)
{
	try(output_flush(output));
	if (output->folder < 0)
		return NULL;
	if (output->mode && fchmod(output->fd, output->mode) < 0)
		return output_failed(output, errno);
	if (fsync(output->fd) < 0)
		return output_failed(output, errno);
	if (!output->temporary[0])
		try(temporary_link(output));
	if (renameat(output->folder, output->temporary, output->folder, output->base) < 0)
		return output_failed(output, errno);
	output->temporary[0] = '\0';
	/* The file is whole in any case; some file systems cannot sync a folder. */
	if (fsync(output->folder) < 0 && errno != EINVAL)
		return error_create_errno(ERROR_FAILED, errno,
					  "%s is written, but its folder cannot be synced",
					  output->path);
	return NULL;
}

void output_destroy(struct output *output)
{
	if (!output)
		return;
	if (output->temporary[0])
		unlinkat(output->folder, output->temporary, 0);
	if (output->fd >= 0 && !output->borrowed)
		close(output->fd);
	if (output->folder >= 0)
		close(output->folder);
	free(output->path);
	free(output);
}
