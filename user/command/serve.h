/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The tracer process: started in the background, it holds a session and answers what is asked of it. */
#ifndef TMBPF_COMMAND_SERVE_H
#define TMBPF_COMMAND_SERVE_H

#include <sys/types.h>

#include "trace/tracer.h"

struct error;

/*
 * Forks the tracer of PID and returns when its probes are on, or with the error why they are not. The tracer is no child
 * to wait for: it has a session of its own, and none of our files.
 */
struct error *serve_start(pid_t pid, const struct tracer_options *options);

struct session;

/* Answers what is asked of SESSION until it ends; if its process did that, the last totals are kept. See session_serve(). */
struct error *serve_session(struct session *session, int signals);

#endif
