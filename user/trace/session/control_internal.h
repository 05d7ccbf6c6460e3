/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What control.c (the socket) and control_sessions.c (the sessions that there are) share. */
#ifndef TMBPF_TRACE_SESSION_CONTROL_INTERNAL_H
#define TMBPF_TRACE_SESSION_CONTROL_INTERNAL_H

#include <sys/types.h>

struct error;

#define CONTROL_GROUP_PREFIX "group-"

/* Whom a session is of: a process, or a group. */
struct control_subject {
	pid_t pid;        /* 0: a group's */
	char file[96];    /* how the names of its files begin */
	char said[96];    /* "process 1234" */
	char option[112]; /* how a command names it: "-p 1234" */
};

struct control_subject control_subject_of_process(pid_t pid);
struct control_subject control_subject_of_group(const char *name);
/* The path of SUBJECT's file of KIND, malloc'd; NULL without memory. */
char *control_subject_path(const struct control_subject *subject, const char *kind);

/* A connection to SUBJECT's session; ERROR_NOTHING if nobody listens. */
struct error *control_subject_connect(const struct control_subject *subject, int *ret);
/* Removes SUBJECT's socket and lock, and closes FD unless it is negative. */
void control_subject_unlisten(const struct control_subject *subject, int fd);

#endif
