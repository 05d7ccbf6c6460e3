/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Strings that are kept once, and only as long as somebody holds them. */
#ifndef TMBPF_BASE_STRING_POOL_H
#define TMBPF_BASE_STRING_POOL_H

#include <stddef.h>

struct string_pool;
struct pooled_string;

/* NULL without memory. */
struct string_pool *string_pool_create(void);
/* Destroys all strings, held or not. Accepts NULL. */
void string_pool_destroy(struct string_pool *pool);

/*
 * The string equal to STRING, held once more. Without memory it is the empty one, which is always
 * there.
 */
struct pooled_string *string_pool_intern(struct string_pool *pool, const char *string);
void string_pool_hold(struct pooled_string *string);
void string_pool_release(struct string_pool *pool, struct pooled_string *string);

const char *pooled_string_data(const struct pooled_string *string);
size_t pooled_string_length(const struct pooled_string *string);

#endif
