// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "trace/disturbance.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "trace/kernel.h"

#define TIMES 5
/* A step of the child takes less than this (nanoseconds); what is longer, it did not run. */
#define STEP 1000
/* A child that nobody ends ends itself. */
#define CHILD_SECONDS 10

struct shared {
	_Atomic uint64_t lost; /* nanoseconds */
	_Atomic bool ready;
};

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* Whether another process ran instead since it was asked last. */
static bool switched(long *switches)
{
	struct rusage usage = {0};
	bool yes;

	getrusage(RUSAGE_SELF, &usage);
	yes = usage.ru_nivcsw != *switches;
	*switches = usage.ru_nivcsw;
	return yes;
}

/* The child: has the file mapped as an interpreter has, runs, and adds up the time that the kernel took from it. */
static void child_run(const char *path, struct shared *shared)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t begin = now(), before = begin;
	long switches = 0;
	struct stat file;
	const void *mapped; /* until the child ends */

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd < 0 || fstat(fd, &file))
		return;
	mapped = mmap(NULL, file.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (mapped == MAP_FAILED)
		return;
	shared->ready = true;
	while (before - begin < CHILD_SECONDS * 1000000000ull) {
		uint64_t after = now();

		if (after - before > STEP && !switched(&switches))
			shared->lost += after - before;
		before = after;
	}
}

static void milliseconds_sleep(long milliseconds)
{
	struct timespec time = {.tv_nsec = milliseconds * 1000000};

	nanosleep(&time, NULL);
}

static struct error *lost_measure(int program, const struct probes *probes, pid_t child,
				  const struct shared *shared, double *ret)
{
	uint64_t before = shared->lost, begin = now(), length, lost;
	int link;

	try(probes_attach(program, probes, child, &link));
	close(link);
	length = now() - begin;
	lost = shared->lost - before;
	/* What it loses anyway in as long a time. */
	before = shared->lost;
	milliseconds_sleep((long)(length / 1000000) + 1);
	before = shared->lost - before;
	*ret = lost > before ? (double)(lost - before) / 1e9 : 0;
	return NULL;
}

static struct error *child_measure(int program, const struct probes *probes, pid_t child,
				   const struct shared *shared, double *ret)
{
	double lost[TIMES], other;

	for (int i = 0; i < 100 && !shared->ready; i++)
		milliseconds_sleep(10);
	if (!shared->ready)
		return error_create(ERROR_FAILED, "cannot measure what attaching probes costs");
	for (int i = 0; i < TIMES; i++) {
		try(lost_measure(program, probes, child, shared, &lost[i]));
		for (int k = i; k > 0 && lost[k] < lost[k - 1]; k--) {
			other = lost[k];
			lost[k] = lost[k - 1];
			lost[k - 1] = other;
		}
	}
	*ret = lost[TIMES / 2];
	return NULL;
}

struct error *disturbance_measure(int program, const struct probes *probes, double *ret)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct error *error;
	pid_t child;

	if (shared == MAP_FAILED)
		return error_create_errno(ERROR_FAILED, errno,
					  "cannot measure what attaching probes costs");
	child = fork();
	if (!child) {
		child_run(probes->path, shared);
		_exit(0);
	}
	if (child < 0) {
		error = error_create_errno(ERROR_FAILED, errno,
					   "cannot measure what attaching probes costs");
	} else {
		error = child_measure(program, probes, child, shared, ret);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	munmap(shared, sizeof(*shared));
	return error;
}
