// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Who a process is, whether it is still there, and its memory. */
#include "target/process/process.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/process/namespace.h"
#include "target/process/proc.h"

#define COMMAND_LINE_MAX 4096
#define KERNEL_THREAD    0x00200000 /* PF_KTHREAD, include/linux/sched.h */
#define EXITING          0x4        /* PF_EXITING, likewise */

/* The length of a printable UTF-8 character at TEXT, 0 if there is none. */
static size_t printable_length(const unsigned char *text, size_t size)
{
	size_t length, i;

	if (text[0] < 0x80)
		return text[0] >= 0x20 && text[0] < 0x7f;
	if (text[0] >= 0xc2 && text[0] <= 0xdf)
		length = 2;
	else if (text[0] >= 0xe0 && text[0] <= 0xef)
		length = 3;
	else if (text[0] >= 0xf0 && text[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (length > size)
		return 0;
	for (i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* C1 controls, overlong forms, surrogates, beyond U+10FFFF. */
	if ((text[0] == 0xc2 && text[1] < 0xa0) || (text[0] == 0xe0 && text[1] < 0xa0) ||
	    (text[0] == 0xed && text[1] >= 0xa0) || (text[0] == 0xf0 && text[1] < 0x90) ||
	    (text[0] == 0xf4 && text[1] >= 0x90))
		return 0;
	return length;
}

static void text_make_printable(char *text, size_t size)
{
	size_t i = 0;

	while (i < size) {
		size_t length = printable_length((unsigned char *)text + i, size - i);

		if (!length)
			text[i] = '?';
		i += length ? length : 1;
	}
}

static struct error *command_line_read(pid_t pid, const char *comm, char **ret)
{
	char text[COMMAND_LINE_MAX + 1];
	size_t length, i;

	try(proc_read(pid, "cmdline", text, sizeof(text), &length));
	while (length && !text[length - 1])
		length--;
	if (!length)
		length = snprintf(text, sizeof(text), "[%s]", comm);
	for (i = 0; i < length; i++)
		if (!text[i])
			text[i] = ' ';
	text[length] = 0;
	text_make_printable(text, length);
	*ret = strdup(text);
	return *ret ? NULL : error_create_errno(ERROR_FAILED, ENOMEM, "process %d", (int)pid);
}

/* 64-bit x86 by the header of the program that it runs. */
static struct error *architecture_check(pid_t pid)
{
	cleanup_fd int fd = -1;
	Elf64_Ehdr header;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return proc_failed(pid, errno, "open its executable");
	if (pread(fd, &header, sizeof(header), 0) < (ssize_t)sizeof(Elf32_Ehdr) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG))
		return error_create(ERROR_FAILED, "process %d: its executable is not an ELF file",
				    (int)pid);
	/* e_machine lies at the same offset in both classes. */
	if (header.e_ident[EI_CLASS] != ELFCLASS64)
		return error_create(ERROR_FAILED,
				    "process %d is a 32-bit program; tmbpf knows 64-bit x86 only",
				    (int)pid);
	if (header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64)
		return error_create(ERROR_FAILED,
				    "process %d is a program for another architecture (ELF machine "
				    "%u); tmbpf knows x86-64 only",
				    (int)pid, header.e_machine);
	return NULL;
}

static struct error *executable_read(pid_t pid, char **ret)
{
	char path[64], target[4097];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return proc_failed(pid, errno, "see its executable");
	target[length] = 0;
	*ret = strdup(target);
	return *ret ? NULL : error_create_errno(ERROR_FAILED, ENOMEM, "process %d", (int)pid);
}

/*
 * The id of the container by the name of its control group: the last 64 hexadecimal digits in a row
 * of /proc/PID/cgroup, "/docker/ID", ".../docker-ID.scope", ".../cri-containerd-ID.scope".
 */
static struct error *container_read(pid_t pid, char ret[PROCESS_CONTAINER_SIZE])
{
	char text[16384], *at = text;

	try(proc_read(pid, "cgroup", text, sizeof(text), NULL));
	ret[0] = 0;
	while (*at) {
		size_t digits = strspn(at, "0123456789abcdef");

		if (digits == PROCESS_CONTAINER_SIZE - 1)
			snprintf(ret, PROCESS_CONTAINER_SIZE, "%.*s", (int)digits, at);
		at += digits;
		at += strcspn(at, "0123456789abcdef");
	}
	return NULL;
}

/* Can process_vm_readv read it? The kernel asks the same of PTRACE_MODE_ATTACH_REALCREDS. */
static struct error *permission_check(pid_t pid)
{
	char byte;
	/* An address that nothing is mapped at: EFAULT means that we were let in. */
	struct iovec local = {&byte, 1}, remote = {NULL, 1};

	if (process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0 && errno != EFAULT)
		return proc_failed(pid, errno, "read its memory");
	return NULL;
}

static struct error *pidfd_create(pid_t pid, int *ret)
{
	int fd = syscall(SYS_pidfd_open, pid, 0), number = errno;
	char text[64];

	if (fd >= 0) {
		*ret = fd;
		return NULL;
	}
	if (number == ESRCH)
		return proc_gone(pid);
	/* EINVAL, on newer kernels ENOENT: the id of a thread that is not its process' first. */
	if (number == EINVAL || number == ENOENT) {
		try(proc_status_read(pid, 0, "Tgid", text, sizeof(text)));
		if (atoi(text) != pid)
			return error_create(ERROR_FAILED, "%d is a thread of process %s", (int)pid,
					    text);
	}
	return error_create_errno(ERROR_FAILED, number, "process %d: cannot open a pidfd",
				  (int)pid);
}

static struct error *process_read(struct memory *memory, uint64_t address, void *ret, size_t size)
{
	struct process *process = (struct process *)memory;
	size_t done = 0;

	while (done < size) {
		struct iovec local = {(char *)ret + done, size - done};
		struct iovec remote = {(void *)(address + done), size - done};
		ssize_t got = process_vm_readv(process->pid, &local, 1, &remote, 1, 0);

		if (got < 0 && errno == EFAULT)
			return error_create_errno(ERROR_FAILED, errno,
						  "process %d: cannot read %zu bytes at 0x%" PRIx64,
						  (int)process->pid, size - done, address + done);
		if (got < 0)
			return proc_failed(process->pid, errno, "read its memory");
		if (!got)
			return error_create(ERROR_FAILED,
					    "process %d: nothing to read at 0x%" PRIx64,
					    (int)process->pid, address + done);
		done += got;
	}
	return NULL;
}

struct error *process_read_pieces(const struct process *process, uint64_t address, size_t stride,
				  size_t size, size_t count, void *ret)
{
	struct iovec remote[IOV_MAX];
	size_t done = 0;

	while (done < count) {
		size_t batch = count - done < IOV_MAX ? count - done : IOV_MAX;
		struct iovec local = {(char *)ret + done * size, batch * size};
		ssize_t got;

		for (size_t i = 0; i < batch; i++)
			remote[i] = (struct iovec){(void *)(address + (done + i) * stride), size};
		got = process_vm_readv(process->pid, &local, 1, remote, batch, 0);
		if (got < 0 && errno != EFAULT)
			return proc_failed(process->pid, errno, "read its memory");
		if (got != (ssize_t)(batch * size))
			return error_create_errno(ERROR_FAILED, EFAULT,
						  "process %d: cannot read what lies from "
						  "0x%" PRIx64 " on",
						  (int)process->pid, address + done * stride);
		done += batch;
	}
	return NULL;
}

static struct error *state_check(pid_t pid, const struct proc_stat *stat)
{
	if (stat->flags & KERNEL_THREAD)
		return error_create(ERROR_FAILED, "process %d is a kernel thread", (int)pid);
	if (stat->state == 'Z' && stat->threads > 1)
		return error_create(
			ERROR_FAILED,
			"the first thread of process %d has ended: its memory cannot be read",
			(int)pid);
	if (stat->state == 'Z')
		return error_create(ERROR_FAILED, "process %d is a zombie: it has ended", (int)pid);
	if (stat->state == 'X' || stat->state == 'x')
		return proc_gone(pid);
	return NULL;
}

static struct error *process_init(struct process *process, pid_t pid)
{
	struct proc_stat stat;

	process->memory.read = process_read;
	process->pid = pid;
	try(pidfd_create(pid, &process->pidfd));
	try(proc_stat_read(pid, &stat));
	try(state_check(pid, &stat));
	text_make_printable(stat.comm, strlen(stat.comm));
	try(architecture_check(pid));
	try(permission_check(pid));
	try(proc_inner_pid(pid, 0, &process->inner_pid));
	try(executable_read(pid, &process->executable));
	try(command_line_read(pid, stat.comm, &process->command_line));
	try(container_read(pid, process->container));
	process->start_time = stat.start_time;
	process->mount_namespace = namespace_of_paths(pid);
	process->start_code = stat.start_code;
	process->start_stack = stat.start_stack;
	/* What was read belongs together if it is the same process still. */
	return process_check(process);
}

struct error *process_create(pid_t pid, struct process **ret)
{
	struct process *process;
	struct error *error;

	if (pid <= 0)
		return error_create(ERROR_USAGE, "%d is no process id", (int)pid);
	process = calloc(1, sizeof(*process));
	if (!process)
		return error_create_errno(ERROR_FAILED, ENOMEM, "process %d", (int)pid);
	process->pidfd = -1;
	error = process_init(process, pid);
	if (error) {
		process_destroy(process);
		return error;
	}
	*ret = process;
	return NULL;
}

void process_destroy(struct process *process)
{
	if (!process)
		return;
	if (process->pidfd >= 0)
		close(process->pidfd);
	free(process->command_line);
	free(process->executable);
	free(process);
}

struct error *process_check(const struct process *process)
{
	struct pollfd poll_fd = {.fd = process->pidfd, .events = POLLIN};
	struct proc_stat stat;

	if (poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & POLLIN))
		return error_create(ERROR_NOTHING, "process %d has ended", (int)process->pid);
	try(proc_stat_read(process->pid, &stat));
	if (stat.start_time != process->start_time)
		return error_create(ERROR_NOTHING, "process %d has ended; its id is another's now",
				    (int)process->pid);
	if (stat.state == 'Z')
		return error_create(
			ERROR_NOTHING,
			"the first thread of process %d has ended: its memory is out of reach",
			(int)process->pid);
	/*
	 * A process that ends loses its memory before it is told to have ended (fs/proc/array.c,
	 * do_task_stat). The memory that an exec gives it has no code either for a moment.
	 */
	if (!stat.start_code && process->start_code && stat.flags & EXITING)
		return error_create(ERROR_NOTHING, "process %d has ended", (int)process->pid);
	if (stat.start_code != process->start_code || stat.start_stack != process->start_stack)
		return error_create(ERROR_NOTHING, "process %d runs another program now (execve)",
				    (int)process->pid);
	return NULL;
}

uint64_t process_stat(const struct process *process, unsigned int field)
{
	char text[2048];
	struct error *error = proc_read(process->pid, "stat", text, sizeof(text), NULL);

	if (error) {
		error_destroy(error);
		return 0;
	}
	return proc_stat_number(text, field);
}

struct error *process_start_time(pid_t pid, uint64_t *ret)
{
	struct proc_stat stat;

	try(proc_stat_read(pid, &stat));
	*ret = stat.start_time;
	return NULL;
}

struct error *process_origin(pid_t pid, pid_t *ret_parent, uint64_t *ret_started)
{
	struct proc_stat stat;

	try(proc_stat_read(pid, &stat));
	/* The first thread alone may have ended, with others running on. */
	if ((stat.state == 'Z' || stat.state == 'X') && stat.threads <= 1)
		return error_create(ERROR_NOTHING, "process %d has ended", (int)pid);
	*ret_parent = stat.parent;
	*ret_started = stat.start_time;
	return NULL;
}

struct error *process_parent(pid_t pid, pid_t *ret)
{
	uint64_t started;

	return process_origin(pid, ret, &started);
}

static struct error *resident_read(pid_t pid, const char *name, uint64_t *ret)
{
	char text[64];

	try(proc_status_read(pid, 0, name, text, sizeof(text)));
	*ret = strtoull(text, NULL, 10) * 1024; /* the kernel's "kB" are KiB */
	return NULL;
}

struct error *process_resident(const struct process *process, uint64_t *ret_rss, uint64_t *ret_anon)
{
	uint64_t rss, anon;

	try(resident_read(process->pid, "VmRSS", &rss));
	try(resident_read(process->pid, "RssAnon", &anon));
	*ret_rss = rss;
	*ret_anon = anon;
	return NULL;
}

struct error *process_seccomp(const struct process *process, int *ret)
{
	char text[64];

	try(proc_status_read(process->pid, 0, "Seccomp", text, sizeof(text)));
	*ret = atoi(text);
	return NULL;
}

static int pid_compare(const void *a, const void *b)
{
	return *(const pid_t *)a - *(const pid_t *)b;
}

void pids_sort(pid_t *pids, size_t count)
{
	if (count)
		qsort(pids, count, sizeof(*pids), pid_compare);
}
