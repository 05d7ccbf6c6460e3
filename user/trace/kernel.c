// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

/* include/uapi/linux/bpf.h of Linux 6.6 and 6.13; the headers we build with may be older. */
#define ATTACH_UPROBE_MULTI   48
#define ATTACH_UPROBE_SESSION 57

/* The part of union bpf_attr that BPF_LINK_CREATE reads for uprobe_multi (Linux 6.6). */
struct link_create_uprobe_multi {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, multi_flags, pid, unused;
};

static int link_create(int program, const struct probes *probes, uint32_t first, uint32_t count,
		       pid_t pid)
{
	struct link_create_uprobe_multi attr = {
		.prog_fd = program,
		.attach_type = probes->session ? ATTACH_UPROBE_SESSION : ATTACH_UPROBE_MULTI,
		.path = (uintptr_t)probes->path,
		.offsets = (uintptr_t)(probes->offsets + first),
		.cookies = (uintptr_t)(probes->cookies + first),
		.cnt = count,
		.pid = pid,
	};
	int fd = syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : fd;
}

/* The kernel says only that one of many failed: halve until it is found. Returns its index, or -1. */
static int64_t find_refused(int program, const struct probes *probes, pid_t pid)
{
	uint32_t first = 0, count = probes->count;

	while (count > 1) {
		uint32_t half = count / 2;
		int fd = link_create(program, probes, first, half, pid);

		if (fd >= 0) {
			close(fd);
			first += half;
			count -= half;
		} else {
			count = half;
		}
	}
	int fd = link_create(program, probes, first, 1, pid);

	if (fd < 0)
		return first;
	close(fd);
	return -1;
}

struct error *probes_attach(int program, const struct probes *probes, pid_t pid, int *ret)
{
	int fd = link_create(program, probes, 0, probes->count, pid);
	int64_t refused;

	if (fd >= 0) {
		*ret = fd;
		return NULL;
	}
	if (fd == -ESRCH)
		return error_create(ERROR_NOTHING, "process %d exited while probes were attached",
				    pid);
	refused = find_refused(program, probes, pid);
	if (refused >= 0 && probes->count > 1)
		return error_create_errno(
			ERROR_FAILED, fd,
			"cannot attach %u probes to process %d: the kernel refuses file offset 0x%llx",
			probes->count, pid, (unsigned long long)probes->offsets[refused]);
	return error_advise(error_create_errno(ERROR_FAILED, fd,
					       "cannot attach %u probes to process %d",
					       probes->count, pid),
			    "Run as root; `tmbpf doctor` shows what this kernel allows.");
}

static int program_load(uint32_t attach_type, int *ret_errno)
{
	static const struct bpf_insn body[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach_type);
	int fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "feature", "Dual BSD/GPL", body,
			       array_size(body), &options);

	*ret_errno = fd < 0 ? -fd : 0;
	return fd;
}

/* Something of our own to probe; never called. */
static void __attribute__((noinline, used)) probed(void)
{
	__asm__ volatile("nop");
}

/* Where FUNCTION lies in our own executable; 0 if that cannot be told. */
static uint64_t own_offset(void (*function)(void))
{
	cleanup_file FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long long start, end, offset;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%llx-%llx %*s %llx", &start, &end, &offset) == 3 &&
		    (uintptr_t)function >= start && (uintptr_t)function < end)
			return (uintptr_t)function - start + offset;
	return 0;
}

static bool try_link(bool session, int *ret_errno)
{
	uint64_t offset = own_offset(probed), cookie = 0;
	struct probes probes = {"/proc/self/exe", &offset, &cookie, 1, session};
	cleanup_fd int program =
		program_load(session ? ATTACH_UPROBE_SESSION : ATTACH_UPROBE_MULTI, ret_errno);
	cleanup_fd int link = -1;

	if (program < 0)
		return false;
	link = link_create(program, &probes, 0, 1, getpid());
	*ret_errno = link < 0 ? -link : 0;
	return link >= 0;
}

void kernel_features_probe(struct kernel_features *ret)
{
	cleanup_fd int program = -1;

	memset(ret, 0, sizeof(*ret));
	libbpf_set_print(NULL);
	ret->btf = !access("/sys/kernel/btf/vmlinux", R_OK);
	program = program_load(0, &ret->bpf_errno);
	ret->bpf = program >= 0;
	ret->uprobe_multi_errno = ret->uprobe_session_errno = ret->bpf_errno;
	ret->uprobe_multi = ret->bpf && try_link(false, &ret->uprobe_multi_errno);
	ret->uprobe_session = ret->bpf && try_link(true, &ret->uprobe_session_errno);
	ret->task_storage = libbpf_probe_bpf_map_type(BPF_MAP_TYPE_TASK_STORAGE, NULL) == 1;
}

static void feature_print(FILE *out, const char *name, bool have, int number, const char *purpose)
{
	/* Without privileges nothing can be tried. */
	const char *found = number == EPERM || number == EACCES ? "?  " : "no ";

	fprintf(out, "%-15s %s  %s%s%s\n", name, have ? "yes" : found, purpose,
		number && !have ? ": " : "", number && !have ? strerror(number) : "");
}

void kernel_features_print(const struct kernel_features *features, FILE *out)
{
	feature_print(out, "BTF", features->btf, 0,
		      "the kernel's types, /sys/kernel/btf/vmlinux (needed)");
	feature_print(out, "BPF", features->bpf, features->bpf_errno, "loading programs (needed)");
	feature_print(out, "task storage", features->task_storage, features->bpf_errno,
		      "a record for each thread (needed)");
	feature_print(out, "uprobe_multi", features->uprobe_multi, features->uprobe_multi_errno,
		      "all probes by one link, Linux 6.6 (needed)");
	feature_print(out, "uprobe session", features->uprobe_session,
		      features->uprobe_session_errno,
		      "malloc results that return to unknown places, Linux 6.13");
}

#define TRAPS 20000

/* Runs in a child: waits for a byte, calls what is probed, and tells how long that took, TIMES times. */
static void traps_run(int in, int out, int times)
{
	void (*volatile call)(void) = probed;
	char byte;

	while (times-- && read(in, &byte, 1) == 1) {
		uint64_t begin = clock_now(CLOCK_PROCESS_CPUTIME_ID), ns;

		for (int i = 0; i < TRAPS; i++)
			call();
		ns = clock_now(CLOCK_PROCESS_CPUTIME_ID) - begin;
		if (write(out, &ns, sizeof(ns)) != sizeof(ns))
			break;
	}
}

static struct error *traps_time(const int pipes[4], uint64_t *ret)
{
	if (write(pipes[1], "", 1) != 1 || read(pipes[2], ret, sizeof(*ret)) != sizeof(*ret))
		return error_create(ERROR_FAILED, "cannot measure what a probe costs");
	return NULL;
}

static struct error *traps_compare(pid_t child, const int pipes[4], uint64_t *ret)
{
	uint64_t offset = own_offset(probed), cookie = 0, before, after;
	struct probes probes = {"/proc/self/exe", &offset, &cookie, 1, false};
	int number;
	cleanup_fd int program = program_load(ATTACH_UPROBE_MULTI, &number);
	cleanup_fd int link = -1;

	if (program < 0)
		return error_create_errno(ERROR_FAILED, number, "cannot load a BPF program");
	try(traps_time(pipes, &before));
	try(probes_attach(program, &probes, child, &link));
	try(traps_time(pipes, &after));
	*ret = after > before ? (after - before) / TRAPS : 0;
	return NULL;
}

struct error *trap_measure(uint64_t *ret)
{
	int pipes[4] = {-1, -1, -1, -1};
	struct error *error;
	pid_t child = -1;

	if (!pipe(pipes) && !pipe(pipes + 2))
		child = fork();
	if (!child) {
		close(pipes[1]);
		traps_run(pipes[0], pipes[3], 2);
		_exit(0);
	}
	/* A child that ends is seen at its end of the pipes. */
	for (int i = 0; i < 4 && child > 0; i += 3) {
		close(pipes[i]);
		pipes[i] = -1;
	}
	if (child < 0)
		error = error_create_errno(ERROR_FAILED, errno,
					   "cannot measure what a probe costs");
	else
		error = traps_compare(child, pipes, ret);
	for (size_t i = 0; i < array_size(pipes); i++)
		if (pipes[i] >= 0)
			close(pipes[i]);
	if (child > 0)
		waitpid(child, NULL, 0);
	return error;
}
