// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads /proc/PID/pagemap. */
#include "target/process/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "target/process/process.h"

struct error *pagemap_open(const struct process *process, int *ret)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)process->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int number = errno;
		struct error *error = process_check(process);

		return error ? error
			     : error_create_errno(ERROR_FAILED, number,
						  "process %d: cannot read %s", (int)process->pid,
						  path);
	}
	*ret = fd;
	return NULL;
}

size_t pagemap_read(int pagemap, uint64_t address, size_t count, uint64_t *ret)
{
	ssize_t got = pread(pagemap, ret, count * sizeof(*ret),
			    (off_t)(address / PAGEMAP_PAGE * sizeof(*ret)));

	return got < 0 ? 0 : (size_t)got / sizeof(*ret);
}
