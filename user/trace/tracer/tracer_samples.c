// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Probes that sample all the time: page faults and large blocks. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "target/process/process.h"
#include "trace/attach/kernel.h"
#include "trace/attach/sites.h"
#include "trace/tracer/tracer_internal.h"

/*
 * How often to open all events anew because threads were started meanwhile. After that such threads
 * count as lost.
 */
#define THREADS_LOOKS 8

/* Opens the event on thread TID, not yet counting. Returns a descriptor, or a negative errno. */
static int fault_open(pid_t tid, uint64_t period)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.sample_period = period,
		.sample_type = PERF_SAMPLE_ADDR,
		.disabled = 1,
		.inherit = 1, /* new threads do, forked children do not */
		.inherit_thread = 1,
		.exclude_hv = 1,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0 &&
	    errno == EINVAL) { /* before Linux 5.13: there the program tells forked children */
		attr.inherit_thread = 0;
		fd = (int)syscall(SYS_perf_event_open, &attr, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

static int tid_compare(const void *left, const void *right)
{
	pid_t a = *(const pid_t *)left, b = *(const pid_t *)right;

	return a < b ? -1 : a > b;
}

/* The ids of the process's threads, ascending. */
static struct error *threads_list(const struct tracer *tracer, pid_t **ret, size_t *ret_count)
{
	cleanup_free pid_t *tids = NULL;
	cleanup_dir DIR *directory = NULL;
	size_t count = 0, capacity = 0;
	const struct dirent *entry;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)tracer->process->pid);
	directory = opendir(path);
	if (!directory) {
		int number = errno;

		try(process_check(tracer->process));
		return error_create_errno(ERROR_FAILED, number, "cannot read %s", path);
	}
	while ((entry = readdir(directory))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid <= 0)
			continue;
		try(array_reserve(&tids, &capacity, count, 1, sizeof(*tids)));
		tids[count++] = tid;
	}
	if (count)
		qsort(tids, count, sizeof(*tids), tid_compare);
	*ret = take(tids);
	*ret_count = count;
	return NULL;
}

struct faults { /* events that are being opened */
	int *fds;
	size_t count, capacity;
};

static void faults_deinit(struct faults *faults)
{
	for (size_t i = 0; i < faults->count; i++)
		close(faults->fds[i]);
	free(faults->fds);
	*faults = (struct faults){0};
}

static struct error *fault_add(const struct tracer *tracer, struct faults *faults, pid_t tid,
			       uint64_t period)
{
	int fd;

	try(array_reserve(&faults->fds, &faults->capacity, faults->count, 1, sizeof(int)));
	fd = fault_open(tid, period);
	if (fd == -ESRCH)
		return NULL; /* it has just ended */
	if (fd < 0)
		return error_create_errno(ERROR_FAILED, fd,
					  "cannot sample page faults of thread %d", tid);
	faults->fds[faults->count++] = fd;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, bpf_program__fd(tracer->skeleton->progs.page_fault)))
		return error_create_errno(ERROR_FAILED, errno,
					  "cannot sample page faults of thread %d", tid);
	return NULL;
}

/* How many of AFTER are not in BEFORE. Both are ascending. */
static size_t threads_new(const pid_t *after, size_t after_count, const pid_t *before,
			  size_t before_count)
{
	size_t count = 0;

	for (size_t i = 0; i < after_count; i++)
		count += !bsearch(&after[i], before, before_count, sizeof(*before), tid_compare);
	return count;
}

/*
 * Opens events on all threads. RET_NEW: threads that were started meanwhile, maybe by one that had
 * no event yet.
 */
static struct error *faults_open(const struct tracer *tracer, uint64_t period,
				 struct faults *faults, size_t *ret_new)
{
	cleanup_free pid_t *before = NULL, *after = NULL;
	size_t before_count, after_count;

	try(threads_list(tracer, &before, &before_count));
	for (size_t i = 0; i < before_count; i++)
		try(fault_add(tracer, faults, before[i], period));
	try(threads_list(tracer, &after, &after_count));
	*ret_new = threads_new(after, after_count, before, before_count);
	return NULL;
}

/* The same. If there are not descriptors enough for two events a thread, the old ones go first. */
static struct error *faults_open_instead(struct tracer *tracer, uint64_t period,
					 struct faults *faults, size_t *ret_new)
{
	struct error *error = faults_open(tracer, period, faults, ret_new);

	if (!error || error_number(error) != EMFILE || !tracer->fault_count)
		return error;
	error_destroy(error);
	faults_deinit(faults);
	tracer_faults_close(tracer);
	return faults_open(tracer, period, faults, ret_new);
}

struct error *tracer_faults_open(struct tracer *tracer, uint64_t period)
{
	cleanup(faults_deinit) struct faults faults = {0};
	__typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;
	size_t new = 1;

	/*
	 * A thread that was started meanwhile may have inherited an event, or may have none. That
	 * cannot be told, and two events would count double. So everything is opened once more.
	 */
	for (int i = 0; i < THREADS_LOOKS && new; i++) {
		faults_deinit(&faults);
		try(faults_open_instead(tracer, period, &faults, &new));
	}
	__atomic_fetch_add(&state->losses[TMBPF_LOSS_FAULT_THREADS], new, __ATOMIC_SEQ_CST);
	tracer_faults_close(tracer);
	for (size_t i = 0; i < faults.count; i++)
		ioctl(faults.fds[i], PERF_EVENT_IOC_ENABLE, 0);
	tracer->fault_fds = take(faults.fds);
	tracer->fault_count = faults.count;
	faults.count = 0;
	return NULL;
}

void tracer_faults_close(struct tracer *tracer)
{
	for (size_t i = 0; i < tracer->fault_count; i++)
		close(tracer->fault_fds[i]);
	free(tracer->fault_fds);
	tracer->fault_fds = NULL;
	tracer->fault_count = 0;
}

struct error *tracer_large_group_attach(struct tracer *tracer, size_t index, pid_t pid,
					struct probes_link *ret)
{
	const struct tmbpf_bpf *skeleton = tracer->skeleton;
	uint32_t room = sites_count(tracer->sites);
	cleanup_free uint64_t *offsets = calloc(room + 1, sizeof(*offsets));
	cleanup_free uint64_t *cookies = calloc(room + 1, sizeof(*cookies));
	struct probes probes;

	if (!offsets || !cookies)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot attach the probes");
	sites_group_raw(tracer->sites, index, offsets, cookies, &probes);
	if (!probes.count) {
		*ret = PROBES_LINK_NONE;
		return NULL;
	}
	probes.session &= skeleton->rodata->cfg.large_returns;
	return probes_attach(bpf_program__fd(probes.session ? skeleton->progs.probe_large_session
							    : skeleton->progs.probe_large),
			     &probes, pid, ret);
}

struct error *tracer_large_attach(struct tracer *tracer)
{
	size_t count = sites_group_count(tracer->sites);

	if (tracer->large_count)
		return NULL;
	tracer->large_links = calloc(count + 1, sizeof(*tracer->large_links));
	if (!tracer->large_links)
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot attach the probes");
	for (size_t i = 0; i < count; i++) {
		struct error *error = tracer_large_group_attach(
			tracer, i, tracer->process->pid, &tracer->large_links[tracer->large_count]);

		if (error) {
			tracer_large_detach(tracer);
			return error;
		}
		tracer->large_count += tracer->large_links[tracer->large_count].fd >= 0;
	}
	return sites_store_returns(tracer->sites, 0, bpf_map__fd(tracer->skeleton->maps.returns));
}

void tracer_large_detach(struct tracer *tracer)
{
	for (size_t i = 0; i < tracer->large_count; i++)
		probes_detach(&tracer->large_links[i]);
	free(tracer->large_links);
	tracer->large_links = NULL;
	tracer->large_count = 0;
}

void tracer_sampling(struct tracer *tracer, bool on)
{
	__atomic_store_n(&tracer->skeleton->bss->state.sampling, on, __ATOMIC_SEQ_CST);
}

void tracer_samples_cost(const struct tracer *tracer, struct tracer_samples_cost *ret)
{
	const __typeof__(tracer->skeleton->bss->state) *state = &tracer->skeleton->bss->state;

	ret->fault_hits = state->fault_hits;
	ret->large_hits = state->large_hits;
	ret->fault_ns = state->fault_ns;
	ret->large_ns = state->large_ns;
}

void tracer_samples_forget(struct tracer *tracer)
{
	tracer_hash_clear(bpf_map__fd(tracer->skeleton->maps.sampled_codes));
}
