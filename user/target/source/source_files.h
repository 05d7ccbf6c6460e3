/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What source.c's helper process does: see there. */
#ifndef TMBPF_TARGET_SOURCE_SOURCE_FILES_H
#define TMBPF_TARGET_SOURCE_SOURCE_FILES_H

#include <stdbool.h>
#include <stdint.h>

struct error;
struct source_files;
struct source_origin;

/* Fails without memory only. */
struct error *source_files_create(const struct source_origin *origin, struct source_files **ret);
/* NULL is accepted. */
void source_files_destroy(struct source_files *files);

/* As source_line(); *RET_REFUSED: the file has no lines at all. */
char *source_files_line(struct source_files *files, const char *filename, uint32_t lineno,
			bool *ret_refused);

#endif
