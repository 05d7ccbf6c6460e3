// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Files of /proc/PID, read and taken apart; what it means that one cannot be read. */
#include "target/process/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

struct error *proc_gone(pid_t pid)
{
	return error_create(ERROR_NOTHING, "no process %d", (int)pid);
}

static struct error *denied(pid_t pid, int number, const char *what)
{
	struct error *error =
		error_create_errno(ERROR_FAILED, number, "process %d: cannot %s", (int)pid, what);

	return error_advise(error,
			    "Run tmbpf as root, or with CAP_SYS_PTRACE. Root may lack it in a "
			    "container, or for a process that a security module protects.");
}

struct error *proc_failed(pid_t pid, int number, const char *what)
{
	if (number == ESRCH || number == ENOENT)
		return proc_gone(pid);
	if (number == EACCES || number == EPERM)
		return denied(pid, number, what);
	return error_create_errno(ERROR_FAILED, number, "process %d: cannot %s", (int)pid, what);
}

struct error *proc_read(pid_t pid, const char *name, char *ret, size_t size, size_t *ret_length)
{
	cleanup_fd int fd = -1;
	size_t length = 0;
	char path[64], what[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	snprintf(what, sizeof(what), "read /proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return proc_failed(pid, errno, what);
	while (length < size - 1) {
		ssize_t got = read(fd, ret + length, size - 1 - length);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return proc_failed(pid, errno, what);
		if (!got)
			break;
		length += got;
	}
	ret[length] = 0;
	if (ret_length)
		*ret_length = length;
	return NULL;
}

const char *proc_stat_field(const char *text, unsigned int field)
{
	const char *at = strrchr(text, ')');

	for (unsigned int i = 2; at && i < field; i++)
		at = strchr(at + 1, ' ');
	return at ? at + 1 : NULL;
}

uint64_t proc_stat_number(const char *text, unsigned int field)
{
	const char *word = proc_stat_field(text, field);

	return word ? strtoull(word, NULL, 10) : 0;
}

struct error *proc_stat_read(pid_t pid, struct proc_stat *ret)
{
	char text[2048], *comm, *end;

	try(proc_read(pid, "stat", text, sizeof(text), NULL));
	comm = strchr(text, '(');
	end = strrchr(text, ')');
	if (!comm || !end || end < comm || !proc_stat_field(text, PROC_STAT_START_STACK))
		return error_create(ERROR_FAILED, "/proc/%d/stat is not understood", (int)pid);
	ret->state = *proc_stat_field(text, PROC_STAT_STATE);
	ret->parent = (pid_t)proc_stat_number(text, PROC_STAT_PARENT);
	ret->threads = proc_stat_number(text, PROC_STAT_THREADS);
	ret->flags = proc_stat_number(text, PROC_STAT_FLAGS);
	ret->start_time = proc_stat_number(text, PROC_STAT_START_TIME);
	ret->start_code = proc_stat_number(text, PROC_STAT_START_CODE);
	ret->start_stack = proc_stat_number(text, PROC_STAT_START_STACK);
	*end = 0;
	snprintf(ret->comm, sizeof(ret->comm), "%s", comm + 1);
	return NULL;
}

struct error *proc_status_read(pid_t pid, pid_t task, const char *name, char *ret, size_t size)
{
	char text[16384], path[64] = "status", *line, *save = NULL;
	size_t length = strlen(name);

	if (task)
		snprintf(path, sizeof(path), "task/%d/status", (int)task);
	try(proc_read(pid, path, text, sizeof(text), NULL));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strncmp(line, name, length) || line[length] != ':')
			continue;
		line += length + 1;
		snprintf(ret, size, "%s", line + strspn(line, " \t"));
		return NULL;
	}
	return error_create(ERROR_FAILED, "/proc/%d/status does not say %s", (int)pid, name);
}

struct error *proc_inner_pid(pid_t pid, pid_t task, pid_t *ret)
{
	char text[512], *last;
	long value;

	try(proc_status_read(pid, task, "NSpid", text, sizeof(text)));
	last = strrchr(text, '\t');
	value = strtol(last ? last + 1 : text, NULL, 10);
	if (value <= 0 || value > INT32_MAX)
		return error_create(ERROR_FAILED, "/proc/%d/status: NSpid is not understood",
				    (int)pid);
	*ret = value;
	return NULL;
}
