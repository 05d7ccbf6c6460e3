/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Files of overlay mounts. A process that mapped a file before it was copied up (a chmod is enough)
 * goes on to map the one in the lower folder, while whatever opens the path, /proc/PID/exe and
 * /proc/PID/map_files included, gets the copy in the upper one (fs/overlayfs/inode.c,
 * ovl_d_real_inode; fs/proc/base.c, map_files_get_link).
 */
#ifndef TMBPF_TARGET_CONTAINER_OVERLAY_H
#define TMBPF_TARGET_CONTAINER_OVERLAY_H

#include <stdbool.h>

#include "target/process/process.h"

struct error;

/*
 * Of the file FD that opened for MAP: whether it has a copy in an upper folder, so that it may be
 * another than is mapped; also true where that cannot be seen. Then RET_LOWER is the file that it
 * was copied from, to be closed, or -1 if it cannot be found from here.
 */
struct error *overlay_lower(const struct process *process, const struct process_map *map, int fd,
			    bool *ret_copied, int *ret_lower);

/*
 * The value of KEY among the comma-separated OPTIONS of a mount, unescaped; malloc'd, NULL if
 * there is none. Exposed for tests.
 */
char *overlay_option(const char *options, const char *key);

#endif
