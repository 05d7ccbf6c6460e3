/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Strings that are kept once, and only as long as somebody holds them. */
#ifndef TMBPF_BASE_STRING_POOL_H
#define TMBPF_BASE_STRING_POOL_H

#include <stddef.h>

struct texts;
struct text;

/* NULL without memory. */
struct texts *texts_create(void);
/* Destroys all texts, held or not. Accepts NULL. */
void texts_destroy(struct texts *texts);

/* The text equal to STRING, held once more. Without memory the empty text, which is always there. */
struct text *texts_take(struct texts *texts, const char *string);
void texts_hold(struct text *text);
void texts_release(struct texts *texts, struct text *text);

const char *text_data(const struct text *text);
size_t text_length(const struct text *text);

#endif
