// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a confined process can do, and what it is refused; each in a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/confine.h"
#include "sandbox/privileges.h"
#include "support.h"

/* Runs CHECK in a child; it returns 0, or the number of what is wrong. */
static void child_check(int (*check)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child)
		_exit(check());
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the child ended with %#x", status);
}

static bool refused(long result)
{
	return result == -1 && errno == ENOSYS;
}

static int session_check(void)
{
	char *const arguments[] = {"/bin/true", NULL};
	struct iovec piece = {&(char){0}, 1};
	const char *name = NULL;
	uint64_t before;

	if (confine(CONFINE_SESSION) || confine_refused(&name) || *name)
		return 1;
	/* What it does is still done. */
	if (close(open("/proc/self/stat", O_RDONLY | O_CLOEXEC)) || !malloc(1 << 24) ||
	    kill(getppid(), 0) || confine_refused(&name))
		return 2;
	if (!refused(execv("/bin/true", arguments)) || confine_refused(&name) != 1 ||
	    strcmp(name, "execve") != 0)
		return 3;
	if (!refused(process_vm_writev(getpid(), &piece, 1, &piece, 1, 0)) ||
	    !refused(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL)) ||
	    !refused(kill(getppid(), SIGCONT)) || !refused(socket(AF_INET, SOCK_STREAM, 0)) ||
	    !refused(setuid(0)) || !refused(chmod("/nowhere", 0)))
		return 4;
	confine_refused(&name);
	if (strcmp(name, "chmod") != 0)
		return 5;
	if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		    MAP_FAILED ||
	    errno != ENOSYS)
		return 6;
	before = confine_refused(&name);
	return fork() != -1 || errno != ENOSYS || confine_refused(&name) <= before ? 7 : 0;
}

static int watcher_child(void)
{
	const char *name;

	if (confine_refused(&name) || confine(CONFINE_SESSION))
		return 1;
	return fork() == -1 && confine_refused(&name) ? 0 : 2;
}

/* It forks those that are confined once more. */
static int watcher_check(void)
{
	char *const arguments[] = {"/bin/true", NULL};
	const char *name;
	int status = 1;
	pid_t child;

	if (confine(CONFINE_WATCHER))
		return 1;
	child = fork();
	if (!child)
		_exit(watcher_child());
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		return 2;
	if (close(socket(AF_UNIX, SOCK_STREAM, 0)) || confine_refused(&name))
		return 3;
	return refused(execv("/bin/true", arguments)) && refused(socket(AF_INET, SOCK_STREAM, 0))
		       ? 0
		       : 4;
}

static int privileges_check(void)
{
	if (privileges_begin() || privileges_keep(PRIVILEGES_NONE, false) || privileges_load())
		return 1;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE) != 0)
		return 2;
	for (int i = 0; i < 64; i++)
		if (prctl(PR_CAPBSET_READ, i) == 1 && !geteuid())
			return 3;
	privileges_raise(); /* nothing comes back */
	return privileges_load() ? 4 : 0;
}

static void test_session(void **context)
{
	(void)context;
	child_check(session_check);
}

static void test_watcher(void **context)
{
	(void)context;
	child_check(watcher_check);
}

static void test_privileges(void **context)
{
	(void)context;
	child_check(privileges_check);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session),
		cmocka_unit_test(test_watcher),
		cmocka_unit_test(test_privileges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
