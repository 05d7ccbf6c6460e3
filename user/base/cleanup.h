/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Scope cleanup for locals, and the explicit hand-over that returns one.
 *
 *	cleanup_free char *name = NULL;
 *	cleanup_fd int fd = -1;
 *	...
 *	*ret = take(name);
 */
#ifndef TMBPF_BASE_CLEANUP_H
#define TMBPF_BASE_CLEANUP_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup(function) __attribute__((cleanup(function)))

static inline void cleanup_free_pointer(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void cleanup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

#define cleanup_free cleanup(cleanup_free_pointer)
#define cleanup_fd   cleanup(cleanup_close)
#define cleanup_file cleanup(cleanup_fclose)
#define cleanup_dir  cleanup(cleanup_closedir)

/* The pointer's value; the pointer is NULL afterwards and its cleanup does nothing. */
#define take(pointer)                                                                              \
	({                                                                                         \
		__typeof__(pointer) taken_ = (pointer);                                            \
		(pointer) = NULL;                                                                  \
		taken_;                                                                            \
	})

/* The same for a file descriptor. */
#define take_fd(fd)                                                                                \
	({                                                                                         \
		int taken_ = (fd);                                                                 \
		(fd) = -1;                                                                         \
		taken_;                                                                            \
	})

/* Leaves the function with the error that EXPRESSION returned, if it returned one. */
#define try(expression)                                                                            \
	do {                                                                                       \
		struct error *error_ = (expression);                                               \
		if (error_)                                                                        \
			return error_;                                                             \
	} while (0)

#define array_size(array) (sizeof(array) / sizeof((array)[0]))

#endif
