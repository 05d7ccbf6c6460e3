// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the kernel offers, the link that carries the probes, and what a probe costs. */
#include "trace/attach/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/environment.h"
#include "base/error.h"
#include "target/process/memory.h"
#include "trace/attach/events.h"

/* From include/uapi/linux/bpf.h of Linux 6.6 and 6.13; the headers we build with may be older. */
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

/*
 * Finds the probe that the kernel refuses, by halving: the kernel says only that one of many
 * failed. Returns its index, or -1.
 */
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

static struct error *attach_by_event(int program, const struct probes *probes, pid_t pid,
				     struct probes_link *ret)
{
	struct probes_link link;

	try(event_open(probes, pid, &link.fd, &link.event));
	if (ioctl(link.fd, PERF_EVENT_IOC_SET_BPF, program) ||
	    ioctl(link.fd, PERF_EVENT_IOC_ENABLE, 0)) {
		int number = errno;

		probes_detach(&link);
		return error_create_errno(ERROR_FAILED, number,
					  "cannot attach %u probes to process %d", probes->count,
					  pid);
	}
	*ret = link;
	return NULL;
}

static struct error *attach_by_link(int program, const struct probes *probes, pid_t pid,
				    struct probes_link *ret)
{
	int fd = link_create(program, probes, 0, probes->count, pid);
	int64_t refused;

	if (fd >= 0) {
		*ret = (struct probes_link){fd, -1};
		return NULL;
	}
	if (fd == -ESRCH)
		return error_create(ERROR_NOTHING, "process %d exited while probes were attached",
				    pid);
	refused = find_refused(program, probes, pid);
	if (refused >= 0 && probes->count > 1)
		return error_create_errno(ERROR_FAILED, fd,
					  "cannot attach %u probes to process %d: "
					  "the kernel refuses file offset 0x%llx",
					  probes->count, pid,
					  (unsigned long long)probes->offsets[refused]);
	return error_advise(error_create_errno(ERROR_FAILED, fd,
					       "cannot attach %u probes to process %d",
					       probes->count, pid),
			    "Run as root; `tmbpf doctor` shows what this kernel allows.");
}

struct error *probes_attach(int program, const struct probes *probes, pid_t pid,
			    struct probes_link *ret)
{
	if (probes_way() == PROBES_EVENTS)
		return attach_by_event(program, probes, pid, ret);
	return attach_by_link(program, probes, pid, ret);
}

void probes_detach(struct probes_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	if (link->event >= 0)
		event_release(link->event);
	*link = PROBES_LINK_NONE;
}

int probes_attach_type(bool session)
{
	if (probes_way() == PROBES_EVENTS)
		return 0;
	return session ? ATTACH_UPROBE_SESSION : ATTACH_UPROBE_MULTI;
}

static bool events_wanted(void)
{
	const char *wanted = environment_trusted("TMBPF_ATTACH");

	return wanted && !strcmp(wanted, "events");
}

/* NOLINTNEXTLINE(misc-redundant-expression): two of these are 0 */
enum { LOAD_ADDRESS = BPF_LD | BPF_DW | BPF_IMM };

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

/* A function of our own to probe. */
static void __attribute__((noinline, used)) probed(void)
{
	__asm__ volatile("nop");
}

/* The file offset of FUNCTION in our own executable; 0: it cannot be told. */
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

static bool try_session(int *ret_errno)
{
	uint64_t offset = own_offset(probed), cookie = 0;
	struct probes probes = {"/proc/self/exe", &offset, &cookie, 1, true};
	cleanup_fd int program = program_load(ATTACH_UPROBE_SESSION, ret_errno);
	cleanup_fd int link = -1;

	if (program < 0)
		return false;
	link = link_create(program, &probes, 0, 1, getpid());
	*ret_errno = link < 0 ? -link : 0;
	return link >= 0;
}

/* Loads a program that adds 1 to the 64-bit word of the array MAP. */
static int counter_load(uint32_t attach_type, int map)
{
	const struct bpf_insn body[] = {
		{.code = LOAD_ADDRESS,
		 .dst_reg = BPF_REG_1,
		 .src_reg = BPF_PSEUDO_MAP_VALUE,
		 .imm = map},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_STX | BPF_DW | BPF_ATOMIC,
		 .dst_reg = BPF_REG_1,
		 .src_reg = BPF_REG_0,
		 .imm = BPF_ADD},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach_type);
	int fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "feature", "Dual BSD/GPL", body,
			       array_size(body), &options);

	return fd < 0 ? -errno : fd;
}

static void *probed_call(void *nothing)
{
	probed();
	return nothing;
}

/* Whether hits of a thread other than the first one are counted. */
static bool thread_counts(int map)
{
	uint32_t zero = 0;
	uint64_t hits = 0;
	pthread_t thread;

	if (pthread_create(&thread, NULL, probed_call, NULL))
		return false;
	pthread_join(thread, NULL);
	return !bpf_map_lookup_elem(map, &zero, &hits) && hits;
}

/* Whether WAY works here, for all threads of a process. */
static bool try_way(enum probes_way way, int *ret_errno)
{
	uint64_t offset = own_offset(probed), cookie = 0;
	struct probes probes = {"/proc/self/exe", &offset, &cookie, 1, false};
	struct probes_link link = PROBES_LINK_NONE;
	struct error *error;
	cleanup_fd int map =
		bpf_map_create(BPF_MAP_TYPE_ARRAY, "feature", sizeof(uint32_t), 8, 1, NULL);
	cleanup_fd int program = -1;
	bool counts;

	if (map >= 0)
		program = counter_load(way == PROBES_MULTI ? ATTACH_UPROBE_MULTI : 0, map);
	if (program < 0) {
		*ret_errno = map < 0 ? errno : -program;
		return false;
	}
	error = way == PROBES_MULTI ? attach_by_link(program, &probes, getpid(), &link)
				    : attach_by_event(program, &probes, getpid(), &link);
	if (error) {
		*ret_errno = error_number(error);
		error_destroy(error);
		return false;
	}
	counts = thread_counts(map);
	*ret_errno = counts ? 0 : EOPNOTSUPP;
	probes_detach(&link);
	return counts;
}

static bool plain_wanted(void)
{
	const char *wanted = environment_trusted("TMBPF_PROGRAMS");

	return wanted && !strcmp(wanted, "plain");
}

/*
 * The programs of perf events run with interrupts off. If they may use tables that take memory
 * while they run, so may those of probes, and the kernel does not warn of it.
 */
bool runtime_memory_try(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	cleanup_fd int map =
		bpf_map_create(BPF_MAP_TYPE_HASH, "feature", sizeof(uint32_t), 8, 1, &options);
	const struct bpf_insn body[] = {
		{.code = LOAD_ADDRESS,
		 .dst_reg = BPF_REG_1,
		 .src_reg = BPF_PSEUDO_MAP_FD,
		 .imm = map},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	cleanup_fd int program = -1;

	if (map >= 0)
		program = bpf_prog_load(BPF_PROG_TYPE_PERF_EVENT, "feature", "Dual BSD/GPL", body,
					array_size(body), NULL);
	return program >= 0;
}

void kernel_features_probe(struct kernel_features *ret)
{
	cleanup_fd int program = -1;
	/* Before Linux 5.11 maps count as locked memory. */
	struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};

	memset(ret, 0, sizeof(*ret));
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	libbpf_set_print(NULL);
	ret->btf = !access("/sys/kernel/btf/vmlinux", R_OK);
	program = program_load(0, &ret->bpf_errno);
	ret->bpf = program >= 0;
	ret->uprobe_multi_errno = ret->uprobe_session_errno = ret->bpf_errno;
	ret->uprobe_events_errno = ret->bpf_errno;
	ret->uprobe_multi = ret->bpf && try_way(PROBES_MULTI, &ret->uprobe_multi_errno);
	/* Tried only if it is needed: it leaves a guard process beside us. */
	ret->uprobe_events = ret->bpf && (!ret->uprobe_multi || events_wanted()) &&
			     try_way(PROBES_EVENTS, &ret->uprobe_events_errno);
	ret->uprobe_session = ret->uprobe_multi && !ret->uprobe_events &&
			      try_session(&ret->uprobe_session_errno);
	ret->loops = ret->bpf && !plain_wanted() &&
		     libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_loop, NULL) == 1;
	ret->runtime_memory = ret->bpf && runtime_memory_try();
}

enum probes_way probes_way(void)
{
	static enum probes_way way;
	int number;

	if (way != PROBES_NONE)
		return way;
	if (!events_wanted() && try_way(PROBES_MULTI, &number))
		way = PROBES_MULTI;
	else if (try_way(PROBES_EVENTS, &number))
		way = PROBES_EVENTS;
	return way;
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
	feature_print(out, "bpf_loop", features->loops, features->bpf_errno,
		      "programs that do not take turns, --lazy-free, Linux 5.17");
	feature_print(out, "memory at hand", features->runtime_memory, features->bpf_errno,
		      "tables that grow, Linux 6.1");
	feature_print(out, "uprobe_multi", features->uprobe_multi, features->uprobe_multi_errno,
		      "all probes by one link, Linux 6.6 (this or the next is needed)");
	/* It is not tried if there is uprobe_multi. */
	if (!features->uprobe_multi || features->uprobe_events)
		feature_print(out, "uprobe events", features->uprobe_events,
			      features->uprobe_events_errno, "all probes by one event of tracefs");
	feature_print(out, "uprobe session", features->uprobe_session,
		      features->uprobe_session_errno,
		      "malloc results that return to unknown places, Linux 6.13");
}

/*
 * The program of probe_try(), once loaded, and the process that loaded it: in a child the
 * descriptor may be another file's.
 */
static struct {
	int fd;
	pid_t pid;
} trial = {-1, 0};

struct error *probe_try_prepare(void)
{
	int number;

	if (trial.pid == getpid())
		return NULL;
	trial.fd = program_load(probes_attach_type(false), &number);
	if (trial.fd < 0)
		return error_create_errno(ERROR_FAILED, number, "cannot load a BPF program");
	trial.pid = getpid();
	return NULL;
}

struct error *probe_try(const char *path, uint64_t offset, pid_t pid, struct memory *memory,
			uint64_t address, bool *ret)
{
	uint64_t cookie = 0;
	struct probes probes = {.path = path, .offsets = &offset, .cookies = &cookie, .count = 1};
	struct probes_link link;
	struct error *error;
	uint8_t before, after;

	try(probe_try_prepare());
	try(memory_read_u8(memory, address, &before));
	try(probes_attach(trial.fd, &probes, pid, &link));
	error = memory_read_u8(memory, address, &after);
	probes_detach(&link);
	try(error);
	*ret = before != after;
	return NULL;
}

#define TRAPS 20000

/*
 * Runs in a child, TIMES times: waits for a byte, calls the probed function, and writes how long
 * that took.
 */
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
	cleanup_fd int program = program_load(probes_attach_type(false), &number);
	cleanup(probes_detach) struct probes_link link = PROBES_LINK_NONE;

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
	/* The end of the child is seen at its ends of the pipes. */
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
