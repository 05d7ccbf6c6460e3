/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The commands, one file each, in one table (main.c). A command's run() gives an error or NULL;
 * main() prints it, and its kind is the exit status. Results go to standard output, which main()
 * flushes and checks; messages to standard error.
 */
#ifndef TMBPF_COMMAND_COMMAND_H
#define TMBPF_COMMAND_COMMAND_H

struct error;

/* What main() checks before it runs a command. */
enum command_needs {
	COMMAND_NEEDS_NOTHING = 0,
	/* To load BPF programs and to read another process: root, or the capabilities for it. */
	COMMAND_NEEDS_PRIVILEGES = 1 << 0,
	/* About sessions: what killed ones have left is removed first. */
	COMMAND_OF_SESSIONS = 1 << 1,
};

struct command {
	const char *name;    /* the word */
	const char *summary; /* one line for `tmbpf --help` */
	unsigned int needs;  /* COMMAND_NEEDS_*; not checked where --help is asked for */
	/* ARGV[0] is "tmbpf NAME"; what follows are the command's own arguments. */
	struct error *(*run)(int argc, char **argv);
};

/* What `tmbpf -p PID`, without a word, runs; its argv[0] is "tmbpf". */
extern const struct command command_live;
extern const struct command command_start;
extern const struct command command_status;
extern const struct command command_clear;
extern const struct command command_snapshot;
extern const struct command command_stop;
extern const struct command command_where;
extern const struct command command_run;
extern const struct command command_doctor;
extern const struct command command_stats;
extern const struct command command_diff;
extern const struct command command_export;
extern const struct command command_heap;

/* The end of each command's --help, behind its examples. */
#define COMMAND_EXIT_STATUSES                                                                      \
	"Exit status: 0 done, 1 failed, 2 wrong usage, 3 nothing to report on (no session, no "    \
	"such process)."

#endif
