/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What this process is allowed to do, and how it gives that up. Capabilities come from being root,
 * or from the program's file (setcap), or from whoever started it (ambient ones).
 *
 * A user who is not root, but may run this program with capabilities, must not get more by it than
 * tracing. So these count only between privileges_raise() and privileges_lower(), and the files
 * that the user names, to read and to write, are opened outside. Root may open them anyway.
 */
#ifndef TMBPF_SANDBOX_PRIVILEGES_H
#define TMBPF_SANDBOX_PRIVILEGES_H

#include <stdbool.h>

struct error;

/* What is kept. Each also has capabilities that it can do without, where they are there. */
enum privileges {
	PRIVILEGES_NONE,
	PRIVILEGES_READ,    /* reading another process */
	PRIVILEGES_ATTACH,  /* that, and loading and attaching programs */
	PRIVILEGES_EXACT,   /* a session whose probes are on */
	PRIVILEGES_WINDOWS, /* one that attaches now and again */
};

/*
 * To be called at the start of the program, before anything else. A user who is not root keeps only
 * what tracing needs, lowered.
 */
struct error *privileges_begin(void);

/*
 * Whether this is really root: not a user whom the program's file, or whoever started it, gave some
 * of root's privileges. What root keeps in files between runs is used, and written, by root alone.
 */
bool privileges_root(void);
/*
 * Whether programs can be loaded and attached, as far as capabilities go. A process of one's own
 * can then be traced.
 */
bool privileges_load(void);
/* Whether other users' processes can be read. */
bool privileges_read(void);

void privileges_raise(void);
void privileges_lower(void);

/* What these two ask for, as setcap takes it. */
#define PRIVILEGES_LOAD_TEXT "cap_bpf,cap_perfmon"
#define PRIVILEGES_ALL_TEXT  PRIVILEGES_LOAD_TEXT ",cap_sys_ptrace,cap_dac_read_search"

/*
 * Gives up all but KEPT for good, in this process and those that it forks: other capabilities, also
 * through programs that it might execute, and being looked into by its own user. What is kept
 * counts from now on. With WRITES, root still writes files where others may not.
 */
struct error *privileges_keep(enum privileges kept, bool writes);

/*
 * Gives up the rest, for a user who is not root: for a command that only talks to a session from
 * now on.
 */
struct error *privileges_end(void);

/* The capabilities there are now, as cap_to_text(3) writes them; malloc'd, NULL unknown. */
char *privileges_text(void);

#endif
