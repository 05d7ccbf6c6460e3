/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Source lines that were asked for before: tracebacks have most of their frames in common. */
#ifndef TMBPF_TARGET_SOURCE_SOURCE_MEMO_H
#define TMBPF_TARGET_SOURCE_SOURCE_MEMO_H

#include "base/lookup.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source_memo { /* all zero: empty */
	struct source_memo_line *lines;
	size_t count, capacity;
	struct lookup lookup;
};

/* False: not known. *RET is the line, which stays the memo's until the next call, or NULL: none. */
bool source_memo_find(const struct source_memo *memo, const char *name, uint32_t lineno,
		      const char **ret);
/* LINE may be NULL. What does not fit is not kept. */
void source_memo_add(struct source_memo *memo, const char *name, uint32_t lineno, const char *line);
/* Frees; all zero afterwards. */
void source_memo_deinit(struct source_memo *memo);

#endif
