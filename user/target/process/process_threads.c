// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The threads of a process: which there are, and whether all of them sleep. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "target/process/proc.h"
#include "target/process/process.h"

/* The state of thread TASK as proc(5) has it, 0 unknown. */
static char thread_state(pid_t pid, pid_t task)
{
	char text[512], path[64];
	struct error *error;
	const char *state;

	snprintf(path, sizeof(path), "task/%d/stat", (int)task);
	error = proc_read(pid, path, text, sizeof(text), NULL);
	if (error) {
		error_destroy(error);
		return 0;
	}
	state = proc_stat_field(text, PROC_STAT_STATE);
	return state ? *state : 0;
}

bool process_asleep(const struct process *process)
{
	cleanup_dir DIR *directory = NULL;
	struct dirent *entry;
	char path[64];
	bool any = false;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)process->pid);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		int task = atoi(entry->d_name);

		if (task <= 0)
			continue;
		if (thread_state(process->pid, task) != 'S')
			return false;
		any = true;
	}
	return any;
}

static bool is_task(const struct dirent *entry)
{
	return entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
}

static struct error *threads_read(const struct process *process, DIR *directory, pid_t **ret,
				  size_t *ret_count)
{
	cleanup_free pid_t *list = NULL;
	size_t count = 0, capacity = 0;
	struct dirent *entry;

	while ((entry = readdir(directory))) {
		struct error *error = NULL;
		pid_t task;

		if (!is_task(entry))
			continue;
		if (count == capacity) {
			pid_t *grown =
				reallocarray(list, capacity = capacity * 2 + 16, sizeof(*list));

			if (!grown)
				return error_create_errno(ERROR_FAILED, ENOMEM, "threads");
			list = grown;
		}
		task = atoi(entry->d_name);
		/* In our own namespace the ids are the same. */
		if (process->inner_pid != process->pid)
			error = proc_inner_pid(process->pid, task, &task);
		/* A thread may end while we look. */
		if (error && error_kind(error) != ERROR_NOTHING)
			return error;
		if (!error)
			list[count++] = task;
		error_destroy(error);
	}
	*ret = take(list);
	*ret_count = count;
	return NULL;
}

struct error *process_threads(const struct process *process, pid_t **ret, size_t *ret_count)
{
	cleanup_dir DIR *directory = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)process->pid);
	directory = opendir(path);
	if (!directory)
		return proc_failed(process->pid, errno, "see its threads");
	return threads_read(process, directory, ret, ret_count);
}
