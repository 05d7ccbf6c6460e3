// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "base/version.h"
#include "command/command.h"
#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

static const struct command *const commands[] = {
	&command_start, &command_status, &command_clear,  &command_snapshot,
	&command_stop,  &command_where,  &command_run,    &command_doctor,
	&command_stats, &command_diff,   &command_export, &command_heap,
};

const char *argp_program_version = "tmbpf " TMBPF_VERSION;

static const char usage_head[] =
	"tmbpf: tracemalloc for a process you cannot touch. Shows where a running, unmodified\n"
	"CPython allocates the memory it holds.\n"
	"\n"
	"Usage: tmbpf COMMAND [OPTION...]\n"
	"  or:  tmbpf -p PID [OPTION...]    watch a process\n"
	"\n";

static const char usage_tail[] =
	"\n"
	"`tmbpf COMMAND --help` explains a command, with an example; `tmbpf -p PID --help` the options of watching.\n"
	"--version tells the version.\n"
	"\n" COMMAND_EXIT_STATUSES "\n";

static void usage_print(FILE *file)
{
	fputs(usage_head, file);
	for (size_t i = 0; i < array_size(commands); i++)
		fprintf(file, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fputs(usage_tail, file);
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < array_size(commands); i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

/* The effective capabilities; 0 if the kernel does not tell. */
static uint64_t capabilities_get(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data) < 0)
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

static struct error *privileges_check(const struct command *command)
{
	const uint64_t bpf = 1ull << CAP_BPF | 1ull << CAP_PERFMON;
	const uint64_t others = 1ull << CAP_SYS_PTRACE | 1ull << CAP_DAC_READ_SEARCH;
	uint64_t effective = capabilities_get();

	if ((effective & others) == others &&
	    ((effective & bpf) == bpf || effective & 1ull << CAP_SYS_ADMIN))
		return NULL;
	return error_advise(error_create(ERROR_FAILED,
					 "%s needs privileges: to load BPF programs and to read "
					 "another process",
					 command->name),
			    "Run it as root, or with CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and "
			    "CAP_DAC_READ_SEARCH.");
}

static bool help_wanted(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0)
			return false;
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-?") == 0 ||
		    strcmp(argv[i], "--usage") == 0 || strcmp(argv[i], "--version") == 0)
			return true;
	}
	return false;
}

static struct error *command_execute(const struct command *command, int argc, char **argv)
{
	if (command->needs & COMMAND_NEEDS_PRIVILEGES && !help_wanted(argc, argv))
		try(privileges_check(command));
	return command->run(argc, argv);
}

static struct error *tmbpf_run(int argc, char **argv)
{
	const struct command *command;
	cleanup_free char *name = NULL;

	if (argc < 2) {
		usage_print(stderr);
		return error_create(ERROR_USAGE, "a command is missing");
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0) {
		usage_print(stdout);
		return NULL;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		printf("%s\n", argp_program_version);
		return NULL;
	}
	/* Options without a word before them watch a process. */
	if (argv[1][0] == '-')
		return command_execute(&command_live, argc, argv);
	command = command_find(argv[1]);
	if (!command)
		return error_advise(error_create(ERROR_USAGE, "%s: no such command", argv[1]),
				    "`tmbpf --help` lists them.");
	if (asprintf(&name, "tmbpf %s", command->name) < 0) {
		name = NULL;
		return error_create_errno(ERROR_FAILED, ENOMEM, "cannot run %s", command->name);
	}
	argv[1] = name;
	return command_execute(command, argc - 1, argv + 1);
}

/* What was printed may not have arrived: on a full disk, say. */
static struct error *stdout_check(void)
{
	bool failed = ferror(stdout);

	errno = EIO;
	if (fflush(stdout) == 0 && !failed)
		return NULL;
	return error_create_errno(ERROR_FAILED, errno, "cannot write standard output");
}

int main(int argc, char **argv)
{
	struct error *error;
	int status = 0;

	text_locale_init();
	error = tmbpf_run(argc, argv);
	if (!error)
		error = stdout_check();
	if (error) {
		fflush(stdout);
		status = error_kind(error);
		error_print(error);
		error_destroy(error);
	}
	return status;
}
