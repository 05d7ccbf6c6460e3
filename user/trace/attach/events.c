// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Probes by events of tracefs: their definitions, and the guard that removes them. */
#include "trace/attach/events.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "trace/attach/kernel.h"

#define GROUP "tmbpf_" /* followed by the pid of the process that defined it */
/* Definitions that are kept though nobody uses them. */
#define SPARE_MAX 4
/* How long the kernel may take to let go of an event that was closed, in steps of 10 ms. */
#define REMOVE_TRIES 1000
/*
 * The kernel lists definitions by their position. A reader misses some while others remove theirs,
 * so only this many empty lists in a row mean that there are none.
 */
#define REMOVE_CLEAN 5
/* Definitions of dead processes that are removed at a time. */
#define STALE_MAX 256

struct definition {
	bool used;
	uint64_t *offsets; /* NULL: this place is free */
	uint32_t count;
	dev_t device;
	ino_t inode;
	unsigned int number; /* in the event's name */
	uint64_t last;       /* the number of the release that freed it */
};

static struct definition *definitions;
static size_t definition_count, definition_capacity;
static uint64_t releases;
static unsigned int numbers;
static int guard_pipe = -1;
static pid_t guard_owner;

static const char *const folders[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};

/* Opens FILE below tracefs. Returns a descriptor, or a negative errno. */
static int tracefs_open(const char *file, int flags)
{
	char path[256];
	int fd = -1;

	for (size_t i = 0; i < array_size(folders) && fd < 0; i++) {
		snprintf(path, sizeof(path), "%s/%s", folders[i], file);
		fd = open(path, flags | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

static bool text_write(int fd, const char *text, size_t length)
{
	while (length) {
		ssize_t written = write(fd, text, length);

		if (written <= 0)
			return false;
		text += written;
		length -= written;
	}
	return true;
}

/* Removes the event NAME ("GROUP/EVENT", as the list has it). Returns 0 or a negative errno. */
static int definition_remove(int fd, const char *name)
{
	char line[128];
	int length = snprintf(line, sizeof(line), "-:%s\n", name);

	return write(fd, line, length) == length ? 0 : -errno;
}

/* Whether the event NAME belongs to the process PID or, with PID 0, to one that is gone. */
static bool definition_of(const char *name, pid_t pid)
{
	long owner;
	char *end;

	if (strncmp(name, GROUP, strlen(GROUP)))
		return false;
	owner = strtol(name + strlen(GROUP), &end, 10);
	if (owner <= 0 || *end != '/')
		return false;
	return pid ? owner == pid : kill((pid_t)owner, 0) && errno == ESRCH;
}

/*
 * Removes the events of PID or, with PID 0, of processes that are gone. Returns how many it found.
 */
static int definitions_remove(int fd, pid_t pid)
{
	cleanup_fd int list_fd = tracefs_open("uprobe_events", O_RDONLY);
	cleanup_file FILE *list = list_fd < 0 ? NULL : fdopen(list_fd, "r");
	char line[512], names[STALE_MAX][64];
	int count = 0;

	if (!list)
		return 0;
	list_fd = -1; /* the stream's now */
	/* A line of each probe: "p:GROUP/EVENT FILE:OFFSET". */
	while (count < STALE_MAX && fgets(line, sizeof(line), list)) {
		char name[64];

		if (sscanf(line, "p:%63s", name) != 1 || !definition_of(name, pid) ||
		    (count && !strcmp(names[count - 1], name)))
			continue;
		memcpy(names[count++], name, sizeof(name));
	}
	for (int i = 0; i < count; i++)
		definition_remove(fd, names[i]); /* one that is busy is found again */
	return count;
}

/*
 * The guard's process. It waits until OWNER ends, which holds the other end of the pipe IN, and
 * removes OWNER's events.
 */
static void guard_run(int in, int events, pid_t owner)
{
	int clean = 0;
	char byte;

	prctl(PR_SET_NAME, "tmbpf-guard");
	setsid();
	for (int number = 1; number < NSIG; number++)
		if (number != SIGCHLD)
			signal(number, SIG_IGN);
	/* Nothing that keeps probes in a process may stay open here. */
	if (dup2(in, 0) < 0 || dup2(events, 1) < 0 || syscall(SYS_close_range, 2, ~0u, 0))
		_exit(1);
	while (read(0, &byte, 1) < 0 && errno == EINTR)
		;
	for (int i = 0; i < REMOVE_TRIES && clean < REMOVE_CLEAN; i++) {
		clean = definitions_remove(1, owner) ? 0 : clean + 1;
		usleep(10000);
	}
	_exit(0);
}

static struct error *guard_start(int events)
{
	pid_t owner = getpid(), child;
	int ends[2], number;

	if (guard_pipe >= 0 && guard_owner == owner)
		return NULL;
	if (guard_pipe >= 0) /* our parent's */
		close(guard_pipe);
	guard_pipe = -1;
	definitions_remove(events, 0);
	if (pipe2(ends, O_CLOEXEC))
		return error_create_errno(ERROR_FAILED, errno, "cannot guard the probes");
	/* Forked twice, so that nobody has to wait for it. */
	child = fork();
	if (!child) {
		if (!fork()) {
			close(ends[1]);
			guard_run(ends[0], events, owner);
		}
		_exit(0);
	}
	number = errno;
	close(ends[0]);
	if (child < 0) {
		close(ends[1]);
		return error_create_errno(ERROR_FAILED, number, "cannot guard the probes");
	}
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	guard_pipe = ends[1];
	guard_owner = owner;
	return NULL;
}

static struct error *definition_refused(int number, const struct probes *probes)
{
	return error_advise(error_create_errno(ERROR_FAILED, number,
					       "cannot define an event with %u probes in tracefs",
					       probes->count),
			    "Run as root; `tmbpf doctor` shows what this kernel allows.");
}

static struct error *definition_write(int events, const struct probes *probes, unsigned int number)
{
	cleanup_free char *text = NULL;
	size_t size;
	cleanup_file FILE *stream = open_memstream(&text, &size);
	char name[64];
	struct error *error;

	if (!stream)
		return definition_refused(ENOMEM, probes);
	snprintf(name, sizeof(name), GROUP "%d/e%u", (int)getpid(), number);
	for (uint32_t i = 0; i < probes->count; i++)
		fprintf(stream, "p:%s %s:0x%llx\n", name, probes->path,
			(unsigned long long)probes->offsets[i]);
	if (fflush(stream) || ferror(stream))
		return definition_refused(ENOMEM, probes);
	if (text_write(events, text, size))
		return NULL;
	error = definition_refused(errno, probes);
	definition_remove(events, name); /* as many as were written */
	return error;
}

static bool definition_fits(const struct definition *definition, const struct probes *probes,
			    const struct stat *file)
{
	return definition->offsets && !definition->used && definition->count == probes->count &&
	       definition->device == file->st_dev && definition->inode == file->st_ino &&
	       !memcmp(definition->offsets, probes->offsets,
		       probes->count * sizeof(*probes->offsets));
}

/* Finds a free place in the table. */
static struct error *definition_place(struct definition **ret)
{
	for (size_t i = 0; i < definition_count; i++) {
		if (!definitions[i].offsets) {
			*ret = &definitions[i];
			return NULL;
		}
	}
	try(array_reserve(&definitions, &definition_capacity, definition_count, 1,
			  sizeof(*definitions)));
	*ret = &definitions[definition_count++];
	memset(*ret, 0, sizeof(**ret));
	return NULL;
}

static struct error *definition_make(const struct probes *probes, const struct stat *file,
				     struct definition **ret)
{
	cleanup_fd int events = tracefs_open("uprobe_events", O_WRONLY | O_APPEND);
	cleanup_free uint64_t *offsets = calloc(probes->count, sizeof(*offsets));
	struct definition *definition;

	if (events < 0)
		return definition_refused(events, probes);
	if (!offsets)
		return definition_refused(ENOMEM, probes);
	try(guard_start(events));
	try(definition_place(&definition));
	try(definition_write(events, probes, numbers));
	memcpy(offsets, probes->offsets, probes->count * sizeof(*offsets));
	definition->offsets = take(offsets);
	definition->count = probes->count;
	definition->device = file->st_dev;
	definition->inode = file->st_ino;
	definition->number = numbers++;
	*ret = definition;
	return NULL;
}

static struct error *definition_get(const struct probes *probes, struct definition **ret)
{
	struct stat file;

	/* After a fork the table is our parent's. */
	if (guard_owner != getpid())
		definition_count = 0;
	if (stat(probes->path, &file))
		return error_create_errno(ERROR_FAILED, errno, "cannot probe %s", probes->path);
	for (size_t i = 0; i < definition_count; i++) {
		if (definition_fits(&definitions[i], probes, &file)) {
			*ret = &definitions[i];
			return NULL;
		}
	}
	return definition_make(probes, &file, ret);
}

/* Opens a disabled perf event of DEFINITION for PID. Returns a descriptor, or a negative errno. */
static int definition_open(const struct definition *definition, pid_t pid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.sample_period = 1,
		.wakeup_events = 1,
		.disabled = 1,
	};
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "events/" GROUP "%d/e%u/id", (int)getpid(),
		 definition->number);
	fd = tracefs_open(path, O_RDONLY);
	if (fd < 0)
		return fd;
	if (read(fd, text, sizeof(text) - 1) > 0)
		attr.config = strtoull(text, NULL, 10);
	close(fd);
	fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

struct error *event_open(const struct probes *probes, pid_t pid, int *ret_fd, int *ret_event)
{
	struct definition *definition;
	int fd;

	try(definition_get(probes, &definition));
	definition->used = true;
	fd = definition_open(definition, pid);
	if (fd < 0) {
		event_release((int)(definition - definitions));
		if (fd == -ESRCH)
			return error_create(ERROR_NOTHING,
					    "process %d exited while probes were attached", pid);
		return error_create_errno(ERROR_FAILED, fd, "cannot attach %u probes to process %d",
					  probes->count, pid);
	}
	*ret_fd = fd;
	*ret_event = (int)(definition - definitions);
	return NULL;
}

/* Removes the spare definition that was released first. */
static void spare_drop(void)
{
	struct definition *oldest = NULL;
	cleanup_fd int events = tracefs_open("uprobe_events", O_WRONLY | O_APPEND);
	char name[64];

	for (size_t i = 0; i < definition_count; i++)
		if (definitions[i].offsets && !definitions[i].used &&
		    (!oldest || definitions[i].last < oldest->last))
			oldest = &definitions[i];
	if (!oldest || events < 0)
		return;
	snprintf(name, sizeof(name), GROUP "%d/e%u", (int)getpid(), oldest->number);
	/* An event that the kernel still uses stays for the next time, or for the guard. */
	if (definition_remove(events, name))
		return;
	free(oldest->offsets);
	oldest->offsets = NULL;
}

void event_release(int event)
{
	size_t spare = 0;

	definitions[event].used = false;
	definitions[event].last = ++releases;
	for (size_t i = 0; i < definition_count; i++)
		spare += definitions[i].offsets && !definitions[i].used;
	if (spare > SPARE_MAX)
		spare_drop();
}

void events_sweep(void)
{
	cleanup_fd int events = tracefs_open("uprobe_events", O_WRONLY | O_APPEND);

	if (events >= 0)
		definitions_remove(events, 0);
}
