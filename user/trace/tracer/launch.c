// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Starts a command, and holds it at the entry point of each program that it becomes. */
#include "trace/tracer/launch.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "launch.skel.h"
#include "trace/attach/kernel.h"

struct launch {
	pid_t pid;
	int go;      /* the child waits at the other end */
	int failure; /* where the child says why it cannot execute */
	char *name;  /* the command's */
	struct launch_bpf *skeleton;
	struct bpf_link *exec_link;
	struct probes_link entry_link;
	bool held;
};

pid_t launch_pid(const struct launch *launch)
{
	return launch->pid;
}

static struct error *child_fork(struct launch *launch, char **argv)
{
	int go[2], failure[2], number;
	char byte;

	if (pipe2(go, O_CLOEXEC))
		return error_create_errno(ERROR_FAILED, errno, "cannot start %s", argv[0]);
	if (pipe2(failure, O_CLOEXEC)) {
		number = errno;
		close(go[0]);
		close(go[1]);
		return error_create_errno(ERROR_FAILED, number, "cannot start %s", argv[0]);
	}
	launch->pid = fork();
	if (!launch->pid) {
		close(go[1]);
		if (read(go[0], &byte, 1) == 1)
			execvp(argv[0], argv);
		number = errno;
		if (write(failure[1], &number, sizeof(number)) < 0)
			_exit(126);
		_exit(127);
	}
	number = errno;
	close(go[0]);
	close(failure[1]);
	launch->go = go[1];
	launch->failure = failure[0];
	return launch->pid < 0
		       ? error_create_errno(ERROR_FAILED, number, "cannot start %s", argv[0])
		       : NULL;
}

static struct error *programs_load(struct launch *launch)
{
	struct launch_bpf *skeleton = launch_bpf__open();

	libbpf_set_print(NULL);
	if (!skeleton)
		return error_create_errno(ERROR_FAILED, errno, "cannot open the BPF programs");
	launch->skeleton = skeleton;
	skeleton->rodata->target = launch->pid;
	bpf_program__set_expected_attach_type(skeleton->progs.launch_entry,
					      probes_attach_type(false));
	if (launch_bpf__load(skeleton))
		return error_advise(
			error_create_errno(ERROR_FAILED, errno, "cannot load the BPF programs"),
			"`tmbpf doctor` shows what this kernel and these privileges allow.");
	launch->exec_link = bpf_program__attach(skeleton->progs.launch_exec);
	if (!launch->exec_link)
		return error_create_errno(ERROR_FAILED, errno, "cannot watch for exec");
	return NULL;
}

struct error *launch_create(char **argv, struct launch **ret)
{
	struct launch *launch = calloc(1, sizeof(*launch));
	struct error *error;

	if (!launch)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot start %s", argv[0]);
	launch->go = launch->failure = -1;
	launch->entry_link = PROBES_LINK_NONE;
	launch->name = strdup(argv[0]);
	error = launch->name ? child_fork(launch, argv)
			     : error_create_errno(ERROR_FAILED, ENOMEM, "cannot start %s", argv[0]);
	if (!error)
		error = programs_load(launch);
	if (error) {
		launch_destroy(launch);
		return error;
	}
	*ret = launch;
	return NULL;
}

static void entry_unwatch(struct launch *launch)
{
	probes_detach(&launch->entry_link);
}

void launch_destroy(struct launch *launch)
{
	if (!launch)
		return;
	entry_unwatch(launch);
	bpf_link__destroy(launch->exec_link);
	launch_bpf__destroy(launch->skeleton);
	if (launch->go >= 0)
		close(launch->go); /* without a byte: the child gives up */
	if (launch->failure >= 0)
		close(launch->failure);
	if (launch->held)
		kill(launch->pid, SIGCONT);
	free(launch->name);
	free(launch);
}

/* The file offset of the entry point of the program that the child has become. */
static struct error *entry_offset(const char *path, uint64_t *ret)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr header;
	Elf64_Phdr segment;

	if (fd < 0 || pread(fd, &header, sizeof(header), 0) != sizeof(header))
		return error_create_errno(ERROR_FAILED, errno, "cannot read the command's program");
	if (memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
	    header.e_machine != EM_X86_64 || header.e_phentsize != sizeof(segment))
		return error_create(ERROR_FAILED, "the command is no 64-bit x86 program");
	for (unsigned int i = 0; i < header.e_phnum; i++) {
		if (pread(fd, &segment, sizeof(segment), header.e_phoff + i * sizeof(segment)) !=
		    sizeof(segment))
			break;
		if (segment.p_type == PT_LOAD &&
		    header.e_entry - segment.p_vaddr < segment.p_filesz) {
			*ret = header.e_entry - segment.p_vaddr + segment.p_offset;
			return NULL;
		}
	}
	return error_create(ERROR_FAILED, "the command's program has no entry point");
}

static struct error *entry_watch(struct launch *launch)
{
	uint64_t offset, cookie = 0;
	struct probes probes = {.offsets = &offset, .cookies = &cookie, .count = 1};
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/exe", launch->pid);
	probes.path = path;
	try(entry_offset(path, &offset));
	return probes_attach(bpf_program__fd(launch->skeleton->progs.launch_entry), &probes,
			     launch->pid, &launch->entry_link);
}

static void child_continue(struct launch *launch)
{
	ssize_t written = 0;

	if (launch->held) {
		launch->held = false;
		kill(launch->pid, SIGCONT);
	} else if (launch->go >= 0) {
		written = write(launch->go, "g", 1);
		close(launch->go);
		launch->go = -1;
	}
	(void)written; /* waitpid() will show a child that is gone */
}

/* RET: it stopped; false: it ended. */
static struct error *child_wait(struct launch *launch, bool *ret, int *ret_status)
{
	int number = 0;

	for (;;) {
		if (waitpid(launch->pid, ret_status, WUNTRACED) < 0) {
			if (errno == EINTR)
				continue;
			return error_create_errno(ERROR_FAILED, errno,
						  "cannot wait for the command");
		}
		break;
	}
	*ret = WIFSTOPPED(*ret_status);
	launch->held = *ret;
	if (!*ret && read(launch->failure, &number, sizeof(number)) == sizeof(number))
		return error_create_errno(ERROR_FAILED, number, "cannot execute %s", launch->name);
	return NULL;
}

struct error *launch_next(struct launch *launch, bool *ret, int *ret_status)
{
	bool stopped;

	child_continue(launch);
	try(child_wait(launch, &stopped, ret_status));
	if (stopped) {
		try(entry_watch(launch));
		child_continue(launch);
		try(child_wait(launch, &stopped, ret_status));
		entry_unwatch(launch);
	}
	*ret = stopped;
	return NULL;
}
