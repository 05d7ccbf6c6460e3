// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Measures what attaching and removing probes costs a process, on a child of our own. */
#include "trace/attach/disturbance.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "trace/attach/kernel.h"
#include "trace/attach/priority.h"

#define TIMES 3
/*
 * Nanoseconds. A step of the child takes less than STEP; a longer gap is an interrupt, and each
 * breakpoint that is written or removed is one. In a gap beyond STEP + GAPS * GAP_WIDTH somebody
 * else had the processor.
 */
#define STEP      1000
#define GAP_WIDTH 200
#define GAPS      250
/*
 * With fewer gaps the child hardly ran. Then a probe is taken to cost ASSUMED seconds, on and off:
 * 4 to 6 microseconds were measured on Linux 6.18 in a virtual machine.
 */
#define GAPS_LEAST 30
#define ASSUMED    8e-6
/* A child that nobody ends ends itself after this. */
#define CHILD_SECONDS 10

struct shared {
	_Atomic uint32_t gaps[GAPS]; /* how many there were of each length */
	_Atomic bool ready;
};

/*
 * Leaves PROCESSOR to the tracer. If there is no other one this changes nothing, and the child is
 * not interrupted.
 */
static void processor_leave(int processor)
{
	cpu_set_t others;

	memset(&others, 0xff, sizeof(others));
	CPU_CLR(processor, &others);
	sched_setaffinity(0, sizeof(others), &others);
}

/*
 * Runs in the child: maps the file like an interpreter, and counts how often the kernel interrupts
 * it.
 */
static void child_run(const char *path, int processor, struct shared *shared)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t begin = clock_now(CLOCK_MONOTONIC), before = begin;
	struct stat file;
	const void *mapped; /* until the child ends */

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	processor_leave(processor);
	if (fd < 0 || fstat(fd, &file))
		return;
	mapped = mmap(NULL, file.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	if (mapped == MAP_FAILED)
		return;
	shared->ready = true;
	while (before - begin < CHILD_SECONDS * NSEC_PER_SEC) {
		uint64_t after = clock_now(CLOCK_MONOTONIC);

		if (after - before >= STEP && after - before < STEP + GAPS * GAP_WIDTH)
			shared->gaps[(after - before - STEP) / GAP_WIDTH]++;
		before = after;
	}
}

static void milliseconds_sleep(long milliseconds)
{
	struct timespec time = {.tv_nsec = milliseconds * 1000000};

	nanosleep(&time, NULL);
}

static struct error *probes_try(int program, const struct probes *probes, pid_t child)
{
	cleanup(priority_restore) struct priority priority;
	struct probes_link link;

	priority_raise(&priority);
	try(probes_attach(program, probes, child, &link));
	probes_detach(&link);
	return NULL;
}

/* The median of the gaps, in seconds; 0: there were too few. */
static double gap_median(const struct shared *shared)
{
	uint32_t count = 0, before = 0, i;

	for (i = 0; i < GAPS; i++)
		count += shared->gaps[i];
	if (count < GAPS_LEAST)
		return 0;
	for (i = 0; before + shared->gaps[i] < (count + 1) / 2; i++)
		before += shared->gaps[i];
	return (STEP + (i + 0.5) * GAP_WIDTH) / 1e9;
}

static struct error *child_measure(int program, const struct probes *probes, pid_t child,
				   struct shared *shared, double *ret)
{
	double gap;

	for (int i = 0; i < CHILD_SECONDS * 100 && !shared->ready; i++)
		milliseconds_sleep(10);
	/* The machine is so busy that the child did not come to run. */
	if (!shared->ready) {
		*ret = ASSUMED * probes->count;
		return NULL;
	}
	for (int i = 0; i < GAPS; i++)
		shared->gaps[i] = 0;
	for (int i = 0; i < TIMES; i++) {
		struct error *error = probes_try(program, probes, child);

		/* The machine is so slow that the child's time was up. */
		if (error && error_kind(error) == ERROR_NOTHING) {
			error_destroy(error);
			break;
		}
		try(error);
	}
	gap = gap_median(shared);
	*ret = (gap > 0 ? 2 * gap : ASSUMED) * probes->count;
	return NULL;
}

struct error *disturbance_measure(int program, const struct probes *probes, double *ret)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int processor = sched_getcpu();
	cpu_set_t before, here;
	struct error *error;
	pid_t child;

	if (shared == MAP_FAILED)
		return error_create_errno(ERROR_FAILED, errno,
					  "cannot measure what attaching probes costs");
	child = fork();
	if (!child) {
		child_run(probes->path, processor, shared);
		_exit(0);
	}
	/* The two must run at the same time: interrupts go from one processor to another. */
	CPU_ZERO(&here);
	CPU_SET(processor, &here);
	if (!sched_getaffinity(0, sizeof(before), &before))
		sched_setaffinity(0, sizeof(here), &here);
	else
		CPU_ZERO(&before);
	if (child < 0) {
		error = error_create_errno(ERROR_FAILED, errno,
					   "cannot measure what attaching probes costs");
	} else {
		error = child_measure(program, probes, child, shared, ret);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (CPU_COUNT(&before))
		sched_setaffinity(0, sizeof(before), &before);
	munmap(shared, sizeof(*shared));
	return error;
}
