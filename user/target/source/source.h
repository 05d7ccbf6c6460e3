/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lines of source files as one process had them.
 *
 * Names come from a target or a file and may be anything, so only what is known to be the right
 * file is read, and only Python source: a regular file below the root that the name was meant for,
 * no link leads out of it, whose name ends in .py or .pyw or whose first line is "#!...python". It
 * must not have changed since the process started, or since the snapshot was taken where no more is
 * known. Its size is bounded. Where one of this is not so, there is no line.
 *
 * Files are read by a helper process: a file system of the target's (FUSE, say) may let a reader
 * wait for ever. Then the helper is killed, and there are no more lines.
 */
#ifndef TMBPF_TARGET_SOURCE_SOURCE_H
#define TMBPF_TARGET_SOURCE_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct source;

struct source_origin {
	pid_t pid; /* 0: not known: names are taken as Python's linecache takes them, from here */
	uint64_t start_time;      /* of the process, ticks since boot; 0 unknown */
	const char *boot_id;      /* "" unknown */
	uint64_t mount_namespace; /* 0 unknown */
	int64_t time_nanos;       /* when it was seen, since the epoch; 0: there are no lines */
};

/* Without a process or its files there are no lines; fails where the helper cannot be started. */
struct error *source_create(const struct source_origin *origin, struct source **ret);
/* NULL is accepted. */
void source_destroy(struct source *source);

/*
 * Line LINENO (from 1 on) of FILENAME in UTF-8, without blanks at its ends, cut after 200 bytes or
 * so; NULL: none. The caller's to free. Coding cookies other than those of UTF-8 and Latin-1 are
 * not heeded: bytes stay as they are, and text_display() shows those that are no UTF-8.
 */
char *source_line(struct source *source, const char *filename, uint32_t lineno);

/* Whether there are no more lines because one took too long. */
bool source_stuck(const struct source *source);

#endif
