// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* This very process, and children of it, from outside. */
#include "support.h"
#include "base/cleanup.h"
#include "target/process/process.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char landmark[] = "something to be read";

static void process_cleanup(struct process **process)
{
	process_destroy(*process);
}

static void test_self(void **state)
{
	cleanup(process_cleanup) struct process *process = NULL;
	uint64_t rss, anon, value;
	char text[sizeof(landmark)];
	int seccomp;

	(void)state;
	support_ok(process_create(getpid(), &process));
	support_ok(process_check(process));
	assert_int_equal(process->pid, getpid());
	assert_true(process->start_time > 0);
	assert_non_null(strstr(process->command_line, "test_process"));
	assert_non_null(strstr(process->executable, "test_process"));
	support_ok(memory_read(&process->memory, (uintptr_t)landmark, text, sizeof(text)));
	assert_string_equal(text, landmark);
	support_ok(memory_read(&process->memory, 0, text, 0));
	support_fails(memory_read(&process->memory, 8, text, 8), ERROR_FAILED,
		      "cannot read 8 bytes");
	support_fails(memory_read_u64(&process->memory, UINT64_MAX - 6, &value), ERROR_FAILED,
		      "beyond all addresses");
	support_ok(process_resident(process, &rss, &anon));
	assert_true(rss > anon && anon > 0);
	support_ok(process_seccomp(process, &seccomp));
	assert_true(seccomp >= 0 && seccomp <= 2);
}

/* A read that runs from what is there into what is not fails whole. */
static void test_edge(void **state)
{
	cleanup(process_cleanup) struct process *process = NULL;
	uint8_t *pages =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t data[16];

	(void)state;
	assert_true(pages != MAP_FAILED);
	assert_int_equal(munmap(pages + 4096, 4096), 0);
	support_ok(process_create(getpid(), &process));
	support_ok(memory_read(&process->memory, (uintptr_t)pages + 4080, data, 16));
	support_fails(memory_read(&process->memory, (uintptr_t)pages + 4088, data, 16),
		      ERROR_FAILED, "cannot read 8 bytes");
	munmap(pages, 4096);
}

static const struct process_map *map_at(const struct process_map *maps, size_t count,
					uint64_t address)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (address >= maps[i].start && address < maps[i].end)
			return &maps[i];
	return NULL;
}

static void test_maps(void **state)
{
	cleanup(process_cleanup) struct process *process = NULL;
	const struct process_map *map;
	struct process_map *maps;
	struct stat file, self;
	size_t count, i;
	int fd = -1;

	(void)state;
	support_ok(process_create(getpid(), &process));
	support_ok(process_maps(process, &maps, &count));
	for (i = 1; i < count; i++)
		assert_true(maps[i - 1].end <= maps[i].start);
	map = map_at(maps, count, (uintptr_t)test_maps);
	assert_non_null(map);
	assert_true(map->readable && map->executable && !map->writable && !map->shared);
	assert_false(map->deleted);
	assert_string_equal(map->path, process->executable);
	support_ok(process_open_map(process, map, &fd));
	assert_int_equal(fstat(fd, &file), 0);
	assert_int_equal(stat("/proc/self/exe", &self), 0);
	assert_int_equal(file.st_ino, self.st_ino);
	close(fd);
	map = map_at(maps, count, (uintptr_t)&count);
	assert_non_null(map);
	assert_string_equal(map->path, "[stack]");
	support_fails(process_open_map(process, map, &fd), ERROR_FAILED, "no file is mapped");
	process_maps_destroy(maps, count);
}

/*
 * A file with a newline in its name is deleted, and another is in its place: the mapped one is
 * opened.
 */
static void test_maps_deleted(void **state)
{
	cleanup(process_cleanup) struct process *process = NULL;
	cleanup_free char *path = NULL;
	char *folder = support_folder();
	const struct process_map *map;
	struct process_map *maps;
	char text[8] = "";
	void *mapped;
	size_t count;
	int fd;

	(void)state;
	path = support_path(folder, "a\nb (deleted)");
	support_write(path, "mapped", 6);
	fd = open(path, O_RDONLY);
	mapped = mmap(NULL, 6, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(mapped != MAP_FAILED);
	close(fd);
	unlink(path);
	support_write(path, "other!", 6);
	support_ok(process_create(getpid(), &process));
	support_ok(process_maps(process, &maps, &count));
	map = map_at(maps, count, (uintptr_t)mapped);
	assert_non_null(map);
	assert_true(map->deleted);
	assert_string_equal(map->path, path);
	support_ok(process_open_map(process, map, &fd));
	assert_int_equal(read(fd, text, 6), 6);
	assert_string_equal(text, "mapped");
	close(fd);
	process_maps_destroy(maps, count);
	munmap(mapped, 6);
	support_folder_remove(folder);
}

static void *thread_wait(void *argument)
{
	char byte;

	/* Until the writing end is closed. */
	return read(*(int *)argument, &byte, 1) ? argument : NULL;
}

static void test_threads(void **state)
{
	cleanup(process_cleanup) struct process *process = NULL;
	cleanup_free pid_t *threads = NULL;
	pthread_t thread;
	int pipes[2];
	size_t count;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pthread_create(&thread, NULL, thread_wait, &pipes[0]), 0);
	support_ok(process_create(getpid(), &process));
	support_ok(process_threads(process, &threads, &count));
	assert_int_equal(count, 2);
	assert_true(threads[0] == getpid() || threads[1] == getpid());
	close(pipes[1]);
	pthread_join(thread, NULL);
	close(pipes[0]);
}

/* A child that waits for a signal. */
static pid_t child_start(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		for (;;)
			pause();
	return pid;
}

static void test_ended(void **state)
{
	cleanup(process_cleanup) struct process *process = NULL;
	struct process *other = NULL;
	struct process_map *maps;
	pid_t pid = child_start();
	uint64_t value;
	size_t count;

	(void)state;
	support_ok(process_create(pid, &process));
	support_ok(process_check(process));
	kill(pid, SIGKILL);
	waitid(P_PID, pid, NULL, WEXITED | WNOWAIT);
	/* A zombie. */
	support_fails(process_check(process), ERROR_NOTHING, "has ended");
	support_fails(process_create(pid, &other), ERROR_FAILED, "is a zombie");
	support_fails(process_maps(process, &maps, &count), ERROR_NOTHING, "");
	waitpid(pid, NULL, 0);
	support_fails(process_check(process), ERROR_NOTHING, "has ended");
	support_fails(process_create(pid, &other), ERROR_NOTHING, "no process");
	support_fails(memory_read_u64(&process->memory, (uintptr_t)landmark, &value), ERROR_NOTHING,
		      "no process");
}

/* Its pid is the same, and so is its start time. */
static void test_exec(void **state)
{
	cleanup(process_cleanup) struct process *process = NULL;
	int pipes[2], status;
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(pipes[1]);
		if (read(pipes[0], &byte, 1) == 1)
			execl("/bin/sleep", "sleep", "100", NULL);
		_exit(1);
	}
	support_ok(process_create(pid, &process));
	assert_int_equal(write(pipes[1], "x", 1), 1);
	for (;;) {
		struct error *error = process_check(process);

		if (error) {
			support_fails(error, ERROR_NOTHING, "runs another program now");
			break;
		}
		usleep(1000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(pipes[0]);
	close(pipes[1]);
}

static void test_wrong(void **state)
{
	struct process *process = NULL;

	(void)state;
	support_fails(process_create(0, &process), ERROR_USAGE, "no process id");
	support_fails(process_create(-1, &process), ERROR_USAGE, "no process id");
	support_fails(process_create(4194305, &process), ERROR_NOTHING, "no process 4194305");
	assert_null(process);
	process_destroy(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),    cmocka_unit_test(test_edge),
		cmocka_unit_test(test_maps),    cmocka_unit_test(test_maps_deleted),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_ended),
		cmocka_unit_test(test_exec),    cmocka_unit_test(test_wrong),
	};

	return cmocka_run_group_tests_name("processes", tests, NULL, NULL);
}
