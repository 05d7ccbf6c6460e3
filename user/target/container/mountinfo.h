/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines of /proc/PID/mountinfo, proc(5):
 * "36 35 98:0 DIRECTORY POINT OPTIONS [FIELDS...] - TYPE SOURCE OPTIONS".
 */
#ifndef TMBPF_TARGET_CONTAINER_MOUNTINFO_H
#define TMBPF_TARGET_CONTAINER_MOUNTINFO_H

#include <stdbool.h>
#include <sys/types.h>

struct mountinfo {
	dev_t device;
	const char *directory; /* of the file system: what is mounted */
	const char *point;     /* where */
	const char *type;
	const char *options; /* the file system's, with their escapes; "" none */
};

/* What LINE says, which is cut up for it. False: it is no such line. */
bool mountinfo_parse(char *line, struct mountinfo *ret);

/* In place: \040 is how the kernel prints what would break a line into fields. */
void mountinfo_unescape(char *text);

#endif
