// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The system calls that are let through, and what becomes of all others. */
#include "sandbox/confine.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <ucontext.h>

#include "base/cleanup.h"
#include "base/error.h"

/* include/uapi/linux/fs.h of Linux 6.7: _IOWR('f', 16, struct pm_scan_arg), of 96 bytes. */
#define PAGEMAP_SCAN_REQUEST 0xc0606610
/*
 * What uprobes make of probed instructions (Linux 6.11, 6.18). Filters of 6.14 and later never see
 * these.
 */
#define CALL_URETPROBE 335
#define CALL_UPROBE    336

static const int session_calls[] = {
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	/* files */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(lseek),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(getdents64),
	SCMP_SYS(getcwd),
	SCMP_SYS(fcntl),
	SCMP_SYS(dup),
	SCMP_SYS(flock),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fsync),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(umask),
	SCMP_SYS(fchmod),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(linkat),
	SCMP_SYS(renameat),
	SCMP_SYS(memfd_create),
	/* what asks it */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(accept4),
	SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),
	SCMP_SYS(getsockopt),
	SCMP_SYS(getsockname),
	/* time */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	/* itself */
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(capget),
	SCMP_SYS(capset), /* only ever to less */
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack), /* sanitizers, when a thread ends */
	SCMP_SYS(restart_syscall),
	SCMP_SYS(tgkill), /* abort() */
	SCMP_SYS(wait4),
	SCMP_SYS(futex),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_get_priority_min),
	SCMP_SYS(sched_setscheduler),
	SCMP_SYS(getcpu),
	SCMP_SYS(getrusage),
	SCMP_SYS(getrlimit),
	SCMP_SYS(setrlimit),
	SCMP_SYS(prlimit64),
	SCMP_SYS(sysinfo),
	SCMP_SYS(uname),
	SCMP_SYS(getrandom),
	/* the process that it is about */
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(perf_event_open),
	CALL_URETPROBE,
	CALL_UPROBE,
};

static const int watcher_calls[] = {
	SCMP_SYS(mmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(bpf),
	SCMP_SYS(ioctl),
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(setsid),
	SCMP_SYS(kill),
	SCMP_SYS(waitid),
	SCMP_SYS(prctl),
	SCMP_SYS(seccomp),
	SCMP_SYS(sched_setaffinity),
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(connect),
	SCMP_SYS(socketpair),
	SCMP_SYS(pipe),
	SCMP_SYS(pipe2),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(chdir),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(signalfd4),
	SCMP_SYS(sigaltstack),
};

/* A call that is allowed only with this VALUE under MASK of one argument. */
struct allowed {
	int call;
	unsigned int argument;
	uint64_t mask, value;
};

#define ANY_BIT UINT64_MAX
/* The part of an int or unsigned int argument that the kernel looks at. */
#define INT UINT32_MAX

static const struct allowed session_allowed[] = {
	/* No code comes in. */
	{SCMP_SYS(mmap), 2, PROT_EXEC, 0},
	{SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
	/* Whether a process is there. */
	{SCMP_SYS(kill), 1, INT, 0},
	{SCMP_SYS(bpf), 0, INT, BPF_MAP_CREATE},
	{SCMP_SYS(bpf), 0, INT, BPF_MAP_LOOKUP_ELEM},
	{SCMP_SYS(bpf), 0, INT, BPF_MAP_UPDATE_ELEM},
	{SCMP_SYS(bpf), 0, INT, BPF_MAP_DELETE_ELEM},
	{SCMP_SYS(bpf), 0, INT, BPF_MAP_GET_NEXT_KEY},
	{SCMP_SYS(bpf), 0, INT, BPF_MAP_LOOKUP_AND_DELETE_ELEM},
	{SCMP_SYS(bpf), 0, INT, BPF_MAP_LOOKUP_BATCH},
	{SCMP_SYS(bpf), 0, INT, BPF_MAP_UPDATE_BATCH},
	{SCMP_SYS(bpf), 0, INT, BPF_OBJ_GET_INFO_BY_FD},
	{SCMP_SYS(bpf), 0, INT, BPF_LINK_CREATE},
	{SCMP_SYS(ioctl), 1, INT, PERF_EVENT_IOC_SET_BPF},
	{SCMP_SYS(ioctl), 1, INT, PERF_EVENT_IOC_ENABLE},
	{SCMP_SYS(ioctl), 1, INT, PERF_EVENT_IOC_DISABLE},
	{SCMP_SYS(ioctl), 1, INT, PAGEMAP_SCAN_REQUEST},
};

static const struct allowed watcher_allowed[] = {
	{SCMP_SYS(socket), 0, ANY_BIT, AF_UNIX},
};

static volatile uint64_t refused;
static volatile sig_atomic_t refused_call = -1;

/* Runs between the kernel's refusal and the next instruction, and sets the call's result. */
static void refused_handle(int number, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)number;
	refused = refused + 1;
	refused_call = info->si_syscall;
	interrupted->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
}

static struct error *confine_failed(int number)
{
	return error_create_errno(ERROR_FAILED, number, "cannot filter system calls");
}

static int calls_add(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int failed = 0;

	for (size_t i = 0; i < count && !failed; i++)
		failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return failed;
}

static int allowed_add(scmp_filter_ctx filter, const struct allowed *allowed, size_t count)
{
	int failed = 0;

	for (size_t i = 0; i < count && !failed; i++) {
		const struct scmp_arg_cmp compared = SCMP_CMP(
			allowed[i].argument, SCMP_CMP_MASKED_EQ, allowed[i].mask, allowed[i].value);

		failed = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, allowed[i].call, 1,
						&compared);
	}
	return failed;
}

static int filter_fill(scmp_filter_ctx filter, enum confine kind)
{
	int failed = calls_add(filter, session_calls, array_size(session_calls));

	if (!failed && kind == CONFINE_SESSION)
		failed = allowed_add(filter, session_allowed, array_size(session_allowed));
	if (!failed && kind == CONFINE_WATCHER)
		failed = calls_add(filter, watcher_calls, array_size(watcher_calls));
	if (!failed && kind == CONFINE_WATCHER)
		failed = allowed_add(filter, watcher_allowed, array_size(watcher_allowed));
	return failed;
}

struct error *confine(enum confine kind)
{
	struct sigaction action = {.sa_sigaction = refused_handle, .sa_flags = SA_SIGINFO};
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
	int failed;

	if (!filter)
		return confine_failed(ENOMEM);
	failed = filter_fill(filter, kind);
	/* By a tree instead of one call after another: each read of the process goes through it. */
	if (!failed)
		seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!failed && sigaction(SIGSYS, &action, NULL))
		failed = -errno;
	if (!failed)
		failed = seccomp_load(filter);
	seccomp_release(filter);
	return failed ? confine_failed(failed) : NULL;
}

uint64_t confine_refused(const char **ret_name)
{
	static char name[64];
	char *found;

	*name = 0;
	if (refused_call >= 0) {
		found = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, refused_call);
		snprintf(name, sizeof(name), "%s", found ? found : "unknown");
		free(found);
	}
	*ret_name = name;
	return refused;
}
