// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The bytes of a pickle, through a buffer. */
#include "format/pickle_input.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* The buffer holds so much, or the longest piece that was asked for and as much again. */
#define BUFFER ((size_t)64 << 10)

struct error *pickle_input_init(struct pickle_input *input, const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_create_errno(ERROR_FAILED, errno, "cannot read %s", path);
	if (S_ISDIR(status.st_mode))
		return error_create_errno(ERROR_FAILED, EISDIR, "cannot read %s", path);
	if (S_ISREG(status.st_mode) && status.st_size == 0)
		return error_create(ERROR_FAILED, "%s is empty", path);
	*input = (struct pickle_input){.path = path, .fd = take_fd(fd)};
	return NULL;
}

void pickle_input_deinit(struct pickle_input *input)
{
	if (input->path)
		close(input->fd);
	free(input->data);
	*input = (struct pickle_input){0};
}

/* Reads once, to where there is room behind what the buffer holds. */
static struct error *input_read(struct pickle_input *input)
{
	ssize_t got;

	do
		got = read(input->fd, input->data + input->size, input->capacity - input->size);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return error_create_errno(ERROR_FAILED, errno, "byte %" PRIu64,
					  input->base + input->size);
	input->ended = got == 0;
	input->size += (size_t)got;
	return NULL;
}

/* As pickle_input_fill(), and fewer bytes where the file ends. */
static struct error *input_fill(struct pickle_input *input, size_t size)
{
	size_t left = input->size - input->used;

	if (input->used > 0)
		memmove(input->data, input->data + input->used, left);
	input->base += input->used;
	input->used = 0;
	input->size = left;
	if (input->capacity < size + BUFFER / 2)
		try(array_reserve(&input->data, &input->capacity, 0, size + BUFFER, 1));
	while (input->size < size && !input->ended)
		try(input_read(input));
	return NULL;
}

struct error *pickle_input_fill(struct pickle_input *input, size_t size)
{
	try(input_fill(input, size));
	if (input->size >= size)
		return NULL;
	return error_create(ERROR_FAILED, "at byte %" PRIu64 ": it ends there: it is truncated",
			    input->base + input->size);
}

struct error *pickle_input_ended(struct pickle_input *input, bool *ret)
{
	if (input->used == input->size)
		try(input_fill(input, 1));
	*ret = input->used == input->size;
	return NULL;
}
