// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The program: which command runs, whether it may, and how it ends. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "base/version.h"
#include "command/command.h"
#include "sandbox/privileges.h"
#include "trace/session/run_folder.h"
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct command *const commands[] = {
	&command_start, &command_status, &command_clear,  &command_snapshot,
	&command_stop,  &command_where,  &command_run,    &command_doctor,
	&command_stats, &command_diff,   &command_export, &command_heap,
};

/* The words that this program was started with. */
static char **given;

const char *argp_program_version = "tmbpf " TMBPF_VERSION;

static const char usage_head[] =
	"tmbpf: tracemalloc for a process you cannot touch. Shows where a running, unmodified\n"
	"CPython allocates the memory it holds.\n"
	"\n"
	"Usage: tmbpf COMMAND [OPTION...]\n"
	"  or:  tmbpf -p PID [OPTION...]    watch a process; with --follow, also those it starts\n"
	"  or:  tmbpf --container ID|NAME   watch the processes of a container\n"
	"  or:  tmbpf --cgroup PATH         watch the processes of a control group\n"
	"\n";

static const char usage_tail[] =
	"\n"
	"`tmbpf COMMAND --help` explains a command, with an example; `tmbpf -p PID --help` the "
	"options of watching.\n"
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

/* TEXT as a shell takes it for one word, appended to FILE. */
static void word_print(const char *text, FILE *file)
{
	const char *plain =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,@%+";

	if (*text && !text[strspn(text, plain)]) {
		fputs(text, file);
		return;
	}
	fputc('\'', file);
	for (; *text; text++)
		fputs(*text == '\'' ? "'\\''" : (char[]){*text, 0}, file);
	fputc('\'', file);
}

/*
 * How to run what was given with more privileges, for ALL processes or for one's own; malloc'd,
 * NULL without memory.
 */
static char *remedy_text(bool all)
{
	const char *capabilities = all ? PRIVILEGES_ALL_TEXT : PRIVILEGES_LOAD_TEXT;
	const char *whose = all ? "everybody's" : "your own";
	char program[PATH_MAX] = "", *text = NULL;
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	size_t size;
	FILE *file = open_memstream(&text, &size);

	if (!file)
		return NULL;
	program[length > 0 ? length : 0] = 0;
	if (geteuid()) {
		fputs("Run it as root: sudo", file);
		for (char **word = given; *word; word++) {
			fputc(' ', file);
			word_print(*word, file);
		}
		fprintf(file, "; or once, for processes of %s: sudo setcap %s+ep ", whose,
			capabilities);
		word_print(program, file);
	} else {
		fprintf(file,
			"This root was denied some of %s: allow its container or service these",
			PRIVILEGES_ALL_TEXT);
	}
	fclose(file);
	return text;
}

static struct error *privileges_check(const struct command *command)
{
	cleanup_free char *remedy = NULL;

	if (privileges_load())
		return NULL;
	remedy = remedy_text(false);
	return error_create(ERROR_FAILED, "%s needs privileges. %s", command->name,
			    remedy ? remedy : "Run it as root");
}

/* What was denied for want of privileges, or is not to be seen by this user. */
static struct error *error_remedy(const struct command *command, struct error *error)
{
	cleanup_free char *remedy = NULL;
	int number = error ? error_number(error) : 0;

	if ((number == EPERM || number == EACCES) && !(privileges_load() && privileges_read()))
		/* What needs none for processes of one's own was denied another's. */
		remedy = remedy_text(privileges_load() ||
				     !(command->needs & COMMAND_NEEDS_PRIVILEGES));
	else if (error && error_kind(error) == ERROR_NOTHING && geteuid() &&
		 command->needs & COMMAND_OF_SESSIONS)
		return error_advise(error,
				    "Sessions of other users are not seen: root's are by root.");
	return remedy ? error_advise(error, "%s", remedy) : error;
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
	bool help = help_wanted(argc, argv);

	if (command->needs & COMMAND_NEEDS_PRIVILEGES && !help)
		try(privileges_check(command));
	if (command->needs & COMMAND_OF_SESSIONS && !help)
		run_folder_sweep();
	return error_remedy(command, command->run(argc, argv));
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
	given = calloc(argc + 1, sizeof(*given));
	if (given)
		memcpy(given, argv, argc * sizeof(*given));
	error = given ? privileges_begin() : error_create_errno(ERROR_FAILED, ENOMEM, "tmbpf");
	if (!error)
		error = tmbpf_run(argc, argv);
	if (!error)
		error = stdout_check();
	if (error) {
		fflush(stdout);
		status = error_kind(error);
		error_print(error);
		error_destroy(error);
	}
	free(given);
	return status;
}
