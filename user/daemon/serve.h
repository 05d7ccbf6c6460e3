/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tracer process. It is started in the background, holds a session, and answers what is asked
 * of it.
 */
#ifndef TMBPF_DAEMON_SERVE_H
#define TMBPF_DAEMON_SERVE_H

#include <stdbool.h>
#include <sys/types.h>

#include "trace/session/session.h"

struct error;

/*
 * Forks the tracer of PID. Returns when its probes are on, or with the error why they are not. The
 * tracer is no child to wait for: it has a session of its own, and none of our files.
 */
struct error *serve_start(pid_t pid, const struct tracer_options *options);

/* The most that a tracer reports. */
#define SERVE_REPORT_MAX 8192

/* What a tracer that belongs to a group reports at its end, where it came to that. */
enum {
	SERVE_STOPPED = 's', /* the process runs on */
	SERVE_ENDED = 'e',   /* the process has ended */
	SERVE_LOST = 'l',    /* the same, and what was known at last could not be kept */
	SERVE_EXECED = 'x',  /* the process is another program now */
};

/* What makes a session one of a group, which a process of its own starts and watches. */
struct serve_member {
	struct session_origin origin;
	/* To be called in the tracer: frees what the group has open; may be NULL. */
	void (*forked)(void *context);
	void *context;
};

/*
 * The same without waiting. RET, to be closed, gives what serve_error() understands: "0" when all
 * probes are on, or why they are not; with MEMBER later one of SERVE_... when the session has ended
 * as it should. End of file: the tracer is gone.
 */
struct error *serve_begin(pid_t pid, const struct tracer_options *options,
			  const struct serve_member *member, int *ret);
/* The error in the SIZE bytes that a tracer has reported; NULL if they begin with "0". */
struct error *serve_error(const char *text, size_t size);

/*
 * For other processes of that kind. RUN is called in one, with the descriptor to report to; all
 * others but the first three are closed. PREPARE (may be NULL) is called before that. RET gives
 * what is reported; serve_wait() waits for it, and closes RET. serve_detach() gives up the terminal
 * and the folder.
 */
struct error *serve_fork(void (*prepare)(void *context), void (*run)(int report, void *context),
			 void *context, int *ret);
struct error *serve_wait(int report);
void serve_report(int fd, const struct error *error);
void serve_detach(void);
/* A descriptor for SIGTERM and SIGINT, which are blocked. */
int serve_signals(void);

/*
 * SESSION is begun: gives up the privileges that only its beginning needed; see privileges_keep().
 */
struct error *serve_attached(const struct session *session, bool writes);

/*
 * Answers what is asked of SESSION until it ends. If its process has ended, the last totals are
 * kept. See session_serve().
 */
struct error *serve_session(struct session *session, int signals);

#endif
