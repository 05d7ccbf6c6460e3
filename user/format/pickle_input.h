/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bytes of a pickle, from the first to the last and once, through a buffer: the file may be
 * larger than memory, a pipe, or shrink while it is read.
 */
#ifndef TMBPF_FORMAT_PICKLE_INPUT_H
#define TMBPF_FORMAT_PICKLE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

struct pickle_input {
	const char *path;
	int fd;
	bool ended;
	uint8_t *data;     /* the buffer; it begins at byte BASE of the file */
	size_t used, size; /* taken from it, and what it holds */
	size_t capacity;
	uint64_t base;
};

/* PATH is borrowed. A folder and an empty file are refused. */
struct error *pickle_input_init(struct pickle_input *input, const char *path);
/* Also one that was not initialised, but is all zero. */
void pickle_input_deinit(struct pickle_input *input);

/* Gets SIZE bytes into the buffer, or fails where the file ends before. */
struct error *pickle_input_fill(struct pickle_input *input, size_t size);

/* Where the next byte stands in the file. */
static inline uint64_t pickle_input_offset(const struct pickle_input *input)
{
	return input->base + input->used;
}

/* The next SIZE bytes: the input's, until the next call. */
static inline struct error *pickle_input_next(struct pickle_input *input, size_t size,
					      const uint8_t **ret)
{
	if (input->size - input->used < size) {
		struct error *error = pickle_input_fill(input, size);

		if (error)
			return error;
	}
	*ret = input->data + input->used;
	input->used += size;
	return NULL;
}

/* Whether nothing follows. */
struct error *pickle_input_ended(struct pickle_input *input, bool *ret);

#endif
