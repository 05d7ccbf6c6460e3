// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The files that a command was given. */
#include "command/options/files.h"

#include <errno.h>

#include "base/array.h"
#include "base/error.h"

error_t files_add(struct files *files, const char *file)
{
	struct error *error = array_reserve(&files->list, &files->capacity, files->count, 1,
					    sizeof(*files->list));

	if (error) {
		error_destroy(error);
		return ENOMEM;
	}
	files->list[files->count++] = file;
	return 0;
}
