// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The namespaces, boot and host that a path or a time is of. */
#include "target/process/namespace.h"
#include "base/cleanup.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void boot_id_read(char ret[BOOT_ID_SIZE])
{
	cleanup_fd int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, ret, BOOT_ID_SIZE - 1);

	ret[length < 0 ? 0 : length] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}

void host_name_read(char ret[HOST_NAME_SIZE])
{
	if (gethostname(ret, HOST_NAME_SIZE - 1))
		*ret = '\0';
	ret[HOST_NAME_SIZE - 1] = '\0';
}

uint64_t namespace_own(void)
{
	struct stat status;

	return stat("/proc/self/ns/mnt", &status) == 0 ? status.st_ino : 0;
}

static bool root_is_ours(pid_t pid)
{
	struct stat theirs, ours;
	char path[64], name[2];

	snprintf(path, sizeof(path), "/proc/%d/root", (int)pid);
	/* Another root is not even looked at: its file system may be the process's own. */
	return readlink(path, name, sizeof(name)) == 1 && stat(path, &theirs) == 0 &&
	       stat("/", &ours) == 0 && theirs.st_dev == ours.st_dev &&
	       theirs.st_ino == ours.st_ino;
}

uint64_t namespace_of_paths(pid_t pid)
{
	struct stat status;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
	if (stat(path, &status) < 0)
		return 0;
	if (status.st_ino == namespace_own() && !root_is_ours(pid))
		return 0;
	return status.st_ino;
}
