/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The lines of one Python source file. */
#ifndef TMBPF_TARGET_SOURCE_SOURCE_TEXT_H
#define TMBPF_TARGET_SOURCE_SOURCE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source_text { /* all zero: none */
	char *data;
	size_t size;
	uint32_t *starts; /* offsets of lines */
	size_t line_count;
	bool latin_1; /* else UTF-8, or what is not known to be either */
};

/*
 * Takes DATA, SIZE bytes, which were read from NAME. False: it is no Python source, or there is no
 * memory; DATA is freed then.
 */
bool source_text_init(struct source_text *text, const char *name, char *data, size_t size);
/* Frees; all zero afterwards. */
void source_text_deinit(struct source_text *text);

/* Bytes that TEXT takes. */
size_t source_text_memory(const struct source_text *text);

/* See source_line(). */
char *source_text_line(const struct source_text *text, uint32_t lineno);

#endif
