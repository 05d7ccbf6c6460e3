// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Capabilities: which are kept for what, and how the others are given up. */
#include "sandbox/privileges.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

#define BIT(capability) (1ull << (capability))

/*
 * Reading takes CAP_SYS_PTRACE (/proc/PID/maps, process_vm_readv) and CAP_DAC_READ_SEARCH (files
 * that only the process may read, /proc/PID/pagemap). CAP_CHECKPOINT_RESTORE opens
 * /proc/PID/map_files, which is surer than a path.
 */
#define READ_NEEDED (BIT(CAP_SYS_PTRACE) | BIT(CAP_DAC_READ_SEARCH))
#define READ_ALL    (READ_NEEDED | BIT(CAP_CHECKPOINT_RESTORE))
#define BPF_NEEDED  (BIT(CAP_BPF) | BIT(CAP_PERFMON))
/*
 * CAP_SYS_NICE: a sampling window's probes are put in at one go. CAP_SYS_RESOURCE: before Linux
 * 5.11 maps are locked memory.
 */
#define WINDOWS_ALL (READ_ALL | BPF_NEEDED | BIT(CAP_SYS_NICE))
#define ATTACH_ALL  (WINDOWS_ALL | BIT(CAP_SYS_RESOURCE))
#define WRITE_ALL   (BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FOWNER))

static const uint64_t sets[] = {
	[PRIVILEGES_NONE] = 0,
	[PRIVILEGES_READ] = READ_ALL,
	[PRIVILEGES_ATTACH] = ATTACH_ALL,
	[PRIVILEGES_EXACT] = READ_ALL | BPF_NEEDED,
	[PRIVILEGES_WINDOWS] = WINDOWS_ALL,
};

static void caps_free(cap_t *caps)
{
	if (*caps)
		cap_free(*caps);
}

static uint64_t permitted_get(void)
{
	cleanup(caps_free) cap_t caps = cap_get_proc();
	uint64_t permitted = 0;

	for (cap_value_t i = 0; caps && i < cap_max_bits(); i++) {
		cap_flag_value_t value = CAP_CLEAR;

		if (!cap_get_flag(caps, i, CAP_PERMITTED, &value) && value == CAP_SET)
			permitted |= BIT(i);
	}
	return permitted;
}

/* 0, or an errno. */
static int caps_set(uint64_t permitted, uint64_t effective)
{
	cleanup(caps_free) cap_t caps = cap_init();

	for (cap_value_t i = 0; caps && i < cap_max_bits(); i++) {
		if (permitted & BIT(i) && cap_set_flag(caps, CAP_PERMITTED, 1, &i, CAP_SET))
			return errno;
		if (effective & BIT(i) && cap_set_flag(caps, CAP_EFFECTIVE, 1, &i, CAP_SET))
			return errno;
	}
	return caps && !cap_set_proc(caps) ? 0 : errno;
}

static struct error *keep_failed(int number)
{
	return error_create_errno(ERROR_FAILED, number, "cannot give up privileges");
}

/* Before Linux 5.8 CAP_SYS_ADMIN stood for CAP_BPF and CAP_PERFMON; without them it still does. */
static uint64_t kept_of(uint64_t wanted, uint64_t permitted)
{
	if (wanted & BPF_NEEDED && (permitted & BPF_NEEDED) != BPF_NEEDED)
		wanted |= BIT(CAP_SYS_ADMIN);
	return wanted & permitted;
}

struct error *privileges_begin(void)
{
	uint64_t permitted = permitted_get();
	int number;

	/* What is executed from here gets nothing by having been started by us. */
	cap_reset_ambient();
	if (!geteuid() || !permitted)
		return NULL;
	if (prctl(PR_SET_DUMPABLE, 0))
		return keep_failed(errno);
	number = caps_set(kept_of(ATTACH_ALL, permitted), 0);
	return number ? keep_failed(number) : NULL;
}

bool privileges_root(void)
{
	return !getuid() && !geteuid();
}

bool privileges_load(void)
{
	uint64_t permitted = permitted_get();

	return (permitted & BPF_NEEDED) == BPF_NEEDED || permitted & BIT(CAP_SYS_ADMIN);
}

bool privileges_read(void)
{
	return (permitted_get() & READ_NEEDED) == READ_NEEDED;
}

void privileges_raise(void)
{
	uint64_t permitted = permitted_get();

	/* If that fails, what needs them fails, and says so. */
	if (geteuid() && permitted)
		caps_set(permitted, permitted);
}

void privileges_lower(void)
{
	uint64_t permitted = permitted_get();

	if (geteuid() && permitted)
		caps_set(permitted, 0);
}

/*
 * Needs CAP_SETPCAP, which only root has here. Others have no new privileges (PR_SET_NO_NEW_PRIVS),
 * so a program that they execute gets no more either.
 */
static void bounding_clear(void)
{
	for (cap_value_t i = 0; i < cap_max_bits(); i++)
		if (cap_get_bound(i) == 1)
			cap_drop_bound(i);
}

/*
 * Whether perf_event_open() takes more than CAP_PERFMON: Debian's kernel 5.10 has a
 * perf_event_paranoid of 3, which asks for CAP_SYS_ADMIN.
 */
static bool perf_refused(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_DUMMY,
		.disabled = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return errno == EACCES || errno == EPERM;
	close(fd);
	return false;
}

struct error *privileges_keep(enum privileges kept, bool writes)
{
	uint64_t wanted = sets[kept], admin = permitted_get() & BIT(CAP_SYS_ADMIN), set;
	int number;

	if (writes && !geteuid())
		wanted |= WRITE_ALL;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0))
		return keep_failed(errno);
	bounding_clear();
	cap_reset_ambient();
	set = kept_of(wanted, permitted_get());
	if (wanted & BPF_NEEDED && !caps_set(set | admin, set) && perf_refused())
		set |= admin;
	number = caps_set(set, set);
	return number ? keep_failed(number) : NULL;
}

struct error *privileges_end(void)
{
	int number = geteuid() ? caps_set(0, 0) : 0;

	return number ? keep_failed(number) : NULL;
}

char *privileges_text(void)
{
	cleanup(caps_free) cap_t caps = cap_get_proc();
	char *text = caps ? cap_to_text(caps, NULL) : NULL, *copy;

	if (!text)
		return NULL;
	copy = strdup(text);
	cap_free(text);
	return copy;
}
