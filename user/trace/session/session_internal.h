/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the session*.c files share. From the bottom: session_walk.c tells what the target holds,
 * session_heap_check.c checks that, session.c starts and ends a session, and session_serve.c is its
 * loop.
 */
#ifndef TMBPF_TRACE_SESSION_SESSION_INTERNAL_H
#define TMBPF_TRACE_SESSION_SESSION_INTERNAL_H

#include "trace/session/session.h"

/* Keeps ERROR's message as the session's warning, and destroys ERROR. NULL is accepted. */
void session_warn(struct session *session, struct error *error);
/* Whether the target has ended or cannot be reached any more. */
bool session_gone(const struct session *session);
/* Walks over the pools if a walk of the session's own is due at NOW, in monotonic nanoseconds. */
void session_walk_own(struct session *session, uint64_t now);

/* From now on the heap check compares with the heap as it is now. Failures go to session->grown. */
void session_heap_check_begin(struct session *session);
void session_heap_check_end(struct session *session);

/* Starts the sampling of a session in the default mode. */
struct error *session_sampler_start(struct session *session);

#endif
